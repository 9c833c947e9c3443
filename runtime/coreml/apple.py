"""Runs a package by Core ML itself, on macOS, through coremltools (imported when used)."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.runtime.coreml.description import ArrayFeature, Feature, ImageFeature
from edgec.runtime.coreml.evaluate import function_of
from edgec.runtime.coreml.interchange import as_called, defaults, narrowed, paired, picture, takes
from edgec.runtime.coreml.ops_classify import labels_of
from edgec.runtime.coreml.package import read_package
from edgec.runtime.coreml.runner import package_path
from edgec.runtime.coreml.wire import Array, PackageError
from edgec.runtime.manifest import Manifest


class AppleRunner:
    """Core ML's own answer, in the same arrays as the evaluator's. States live in one MLState until reset."""

    def __init__(self, manifest: Manifest, function: str | None = None) -> None:
        if platform.system() != "Darwin":
            raise PackageError("Core ML is a part of macOS: use --runner evaluator on this machine")
        try:
            import coremltools
        except ImportError:
            raise PackageError("--runner coreml needs coremltools: pip install 'edgec[coreml]'") from None
        path = package_path(manifest)
        package = read_package(path)
        self.interface = package.description.function(function)
        self.inputs = paired(manifest, "inputs", self.interface.inputs)
        self.outputs = paired(manifest, "outputs", self.interface.outputs)
        self.bare = manifest.directory == package.directory
        self.labels = labels_of(function_of(package, self.interface.name), package)
        self.defaults = defaults(self.inputs)
        name = {} if function is None else {"function_name": function}
        self.model: Any = coremltools.models.MLModel(str(path), **name)
        self.state: Any = None
        self.reset()

    def takes(self, index: int, shape: tuple[int, ...]) -> bool:
        """Whether an input of this shape is legal; sizes may be flexible."""
        return takes(*self.inputs[index], shape, self.bare)

    def reset(self) -> None:
        self.state = self.model.make_state() if self.interface.states else None

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        feeds = {f.name: self._given(array, f) for (_, f), array in zip(self.inputs, arrays, strict=True)}
        state = {} if self.state is None else {"state": self.state}
        made = self.model.predict(feeds, **state)
        return [
            as_called(
                np.asarray(made[f.name]) if isinstance(f.type, ImageFeature) else made[f.name],
                tensor, f, self.labels, self.bare,
            )
            for tensor, f in self.outputs
        ]  # fmt: skip

    def close(self) -> None:
        self.model = None

    def _given(self, array: Array, feature: Feature) -> Any:
        """A picture of PIL, or an array of the described type and rank."""
        if isinstance(feature.type, ImageFeature):
            from PIL import Image

            pixels = picture(array, feature.type, self.bare)
            # coremltools takes gray halves as PIL's mode F, which is of float32
            return Image.fromarray(pixels.astype(np.float32) if feature.type.color == "grayscale_fp16" else pixels)
        assert isinstance(feature.type, ArrayFeature)  # there are no other inputs
        if array.ndim != len(feature.type.shape):
            array = array.reshape(feature.type.shape)  # scalars are described as [1]
        return narrowed(array, feature.type.dtype, feature.name)
