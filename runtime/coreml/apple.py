"""Runs a package by Core ML itself, on macOS, through coremltools (imported when used)."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.runtime.coreml.description import ImageFeature
from edgec.runtime.coreml.package import read_package
from edgec.runtime.coreml.runner import package_path
from edgec.runtime.coreml.wire import Array, PackageError
from edgec.runtime.manifest import Manifest


class AppleRunner:
    """Core ML's own answer. States live in one MLState until reset."""

    def __init__(self, manifest: Manifest, function: str | None = None) -> None:
        if platform.system() != "Darwin":
            raise PackageError("Core ML is a part of macOS: use --runner evaluator on this machine")
        try:
            import coremltools
        except ImportError:
            raise PackageError("--runner coreml needs coremltools: pip install 'edgec[coreml]'") from None
        path = package_path(manifest)
        self.interface = read_package(path).description.function(function)
        name = {} if function is None else {"function_name": function}
        self.model: Any = coremltools.models.MLModel(str(path), **name)
        self.manifest = manifest
        self.state: Any = None
        self.reset()

    def reset(self) -> None:
        self.state = self.model.make_state() if self.interface.states else None

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        images = {f.name for f in self.interface.inputs if isinstance(f.type, ImageFeature)}
        feeds = {
            tensor.name: _picture(array) if tensor.name in images else array
            for tensor, array in zip(self.manifest.inputs, arrays, strict=True)
        }
        state = {} if self.state is None else {"state": self.state}
        made = self.model.predict(feeds, **state)
        return [_array(made[tensor.name]) for tensor in self.manifest.outputs]

    def close(self) -> None:
        self.model = None


def _picture(array: Array) -> Any:
    from PIL import Image

    return Image.fromarray(array)


def _array(made: Any) -> Array:
    if isinstance(made, dict):
        return np.array(list(made.values()), np.float64)
    return np.asarray(made).reshape(1) if np.isscalar(made) else np.asarray(made)
