"""Graphs in files: an ONNX model, or a graph in text form, whose larger arrays lie in an .npz of the same name."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.graph import Module
from edgec.ir.parse import parse_module
from edgec.ir.text import INLINE, print_module
from edgec.ir.verify import verify_module
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.runtime.buffers import for_file

SUFFIX = ".onnx"
OTHERS = (SUFFIX, ".npz")  # endings of what is no text
WHEN = (1980, 1, 1, 0, 0, 0)  # of what stands in an archive: same graph, same bytes


def read_graph(path: Path, options: ImportOptions) -> Module:
    """The module in a file, verified. UsageError when it cannot be read; `options` are for models."""
    if path.suffix == SUFFIX:
        module = import_model(path, options)
    else:
        try:
            text = path.read_text()
            arrays = _arrays(path.with_suffix(".npz"))
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise UsageError(f"{path} cannot be read: {error}") from None
        if options.shapes or options.consts:
            raise UsageError(f"--shape and --const are for {SUFFIX} files, and {path} is none")
        module = parse_module(text, arrays)
    verify_module(module)
    return module


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def write_graph(module: Module, path: Path) -> None:
    """The text, and beside it the arrays that do not stand in it. UsageError for the name of another kind of file,
    which may be the model itself."""
    if path.suffix in OTHERS:
        raise UsageError(f"-o {path}: what is written is a graph in text form; give a name such as {path.stem}.edge")
    text = print_module(module)
    path.write_text(text)
    large = {k: v for k, v in sorted(module.constants.items()) if v.size > INLINE and f'sha("{k}")' in text}
    if not large:
        return
    with zipfile.ZipFile(path.with_suffix(".npz"), "w") as archive:
        for key, array in large.items():
            data = io.BytesIO()
            np.save(data, for_file(array))
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", WHEN), data.getvalue())
