"""Runs a package, or the package of an artifact, behind a Session: what callers give and get against what the program
takes and makes.

Pictures are u8 [height, width, 3] in RGB order, or [height, width] of a grayscale one, as a caller of Core ML gives
pixels; the program gets [1, channels, height, width] from 0 to 255 in its own order of channels. Class probabilities
come as f64 [classes] in the order of the labels, the predicted label as an array of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgec.runtime.coreml.call import Item
from edgec.runtime.coreml.description import (
    ArrayFeature,
    DictionaryFeature,
    Feature,
    ImageFeature,
    Interface,
    StateFeature,
)
from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.interchange import as_called, defaults, narrowed, paired, picture, takes
from edgec.runtime.coreml.ops_classify import labels_of
from edgec.runtime.coreml.package import read_package
from edgec.runtime.coreml.program import TensorType
from edgec.runtime.coreml.wire import Array, PackageError
from edgec.runtime.manifest import Manifest, TensorInfo

TARGET = "coreml"
# edgec's names of element types
NAMES = {"fp16": "f16", "fp32": "f32", "fp64": "f64", "int32": "i32", "int8": "i8", "bool": "bool"}


def package_manifest(directory: str | Path, function: str | None) -> Manifest:
    """The interface of a bare package, as the manifest that an artifact would have."""
    package = read_package(directory)
    interface = package.description.function(function)
    return Manifest(
        directory=Path(directory),
        name=Path(directory).stem,
        entry=interface.name,
        target=TARGET,
        inputs=tuple(TensorInfo(f.name, *_seen(f)) for f in interface.inputs),
        outputs=tuple(TensorInfo(f.name, *_seen(f)) for f in interface.outputs),
        states=tuple(TensorInfo(f.name, *_seen(f)) for f in interface.states),
        scratch_bytes=0,
        state_bytes=0,
        files={},
        cpu="",
        cpu_features=(),
        extensions=(),
        raw={"package": "."},
    )


def package_path(manifest: Manifest) -> Path:
    """Where an artifact's package lies."""
    if manifest.target.partition(":")[0] != TARGET or "package" not in manifest.raw:
        raise PackageError(f"{manifest.directory} was built for {manifest.target} and holds no Core ML package")
    path = manifest.directory / str(manifest.raw["package"])
    if not path.resolve().is_relative_to(manifest.directory.resolve()):
        raise PackageError(f"the package '{manifest.raw['package']}' of {manifest.directory} is not a part of it")
    return path


class EvaluatorRunner:
    """numpy over the saved bytes. `labels` are a classifier's, `defaults` what optional inputs are when left out."""

    def __init__(self, manifest: Manifest, function: str | None = None) -> None:
        self.package = read_package(package_path(manifest))
        self.evaluator = Evaluator(self.package, function)
        self.interface: Interface = self.evaluator.interface
        self.inputs = paired(manifest, "inputs", self.interface.inputs)
        self.outputs = paired(manifest, "outputs", self.interface.outputs)
        self.bare = manifest.directory == self.package.directory
        self.labels = labels_of(self.evaluator.function, self.package)
        self.defaults = defaults(self.inputs)

    def takes(self, index: int, shape: tuple[int, ...]) -> bool:
        """Whether an input of this shape is legal; sizes may be flexible."""
        return takes(*self.inputs[index], shape, self.bare)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        given = {
            feature.name: self._to_program(array, feature)
            for array, (_, feature) in zip(arrays, self.inputs, strict=True)
        }
        made = self.evaluator.run(given)
        missing = [feature.name for _, feature in self.outputs if feature.name not in made]
        if missing:
            raise PackageError(f"the description has the output '{missing[0]}', which the program does not make")
        return [self._to_caller(made[feature.name], tensor, feature) for tensor, feature in self.outputs]

    def reset(self) -> None:
        self.evaluator.reset()

    def close(self) -> None:
        self.evaluator.constants.clear()

    def _to_program(self, array: Array, feature: Feature) -> Array:
        named = next((n for n in self.evaluator.function.inputs if n.name == feature.name), None)
        if named is None or not isinstance(named.type, TensorType):
            raise PackageError(f"the description has the input '{feature.name}', which the program does not take")
        if isinstance(feature.type, ImageFeature):
            return to_planes(picture(array, feature.type, self.bare), feature.type)
        if array.ndim != len(named.type.dims) and None not in named.type.dims:
            array = array.reshape([int(d or 0) for d in named.type.dims])  # scalars are described as [1]
        return narrowed(array, named.type.dtype, feature.name)

    def _to_caller(self, item: Item, tensor: TensorInfo, feature: Feature) -> Array:
        if isinstance(feature.type, ImageFeature) and isinstance(item, np.ndarray):
            item = from_planes(item, feature.type)
        return as_called(item, tensor, feature, self.labels, self.bare)


def to_planes(pixels: Array, image: ImageFeature) -> Array:
    """u8 [height, width(, 3)] as f32 [1, channels, height, width]."""
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if image.color == "bgr":
        planes = planes[::-1]
    return planes[None].astype(np.float32)


def from_planes(array: Array, image: ImageFeature) -> Array:
    """The way back; numbers are rounded and clipped to bytes, halves stay."""
    planes = array.reshape(array.shape[-3:])
    if image.color == "bgr":
        planes = planes[::-1]
    pixels = planes[0] if planes.shape[0] == 1 else planes.transpose(1, 2, 0)
    return pixels if image.color == "grayscale_fp16" else np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _seen(feature: Feature) -> tuple[str, tuple[int, ...]]:
    """Element type and shape as a caller sees them."""
    kind = feature.type
    if isinstance(kind, StateFeature):
        kind = kind.array
    if isinstance(kind, ArrayFeature):
        return NAMES[kind.dtype.name], kind.shape
    if isinstance(kind, ImageFeature):
        size = (kind.height, kind.width)
        return ("f16" if kind.color == "grayscale_fp16" else "u8"), (*size, 3) if kind.channels == 3 else size
    if isinstance(kind, DictionaryFeature):
        return "f64", ()
    return {"int64": "i64", "double": "f64", "string": "string"}[kind.kind], (1,)
