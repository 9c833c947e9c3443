"""A package read back by coremltools: its own checks of operators, operands, types and shapes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping

from edgec.ir.errors import VerifyError
from edgec.targets.coreml.mil import coremltools, load_program
from edgec.targets.coreml.silence import silent
from edgec.targets.files import temporary_folder, write_file


def check_reload(files: Mapping[str, bytes]) -> None:
    """VerifyError where coremltools cannot read the package of these files, or finds its program wrong."""
    with temporary_folder("edgec-reload-") as temporary:
        folder = temporary / "read.mlpackage"
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_file(folder / path, content)
        try:
            with silent(logging.WARNING), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = coremltools.models.MLModel(str(folder), skip_model_load=True)
                load_program(model.get_spec(), model.get_spec().specificationVersion, model.weights_dir)
        except Exception as error:  # coremltools raises types of many kinds, all from Exception
            raise VerifyError(f"coremltools cannot read the package back: {error}") from error
