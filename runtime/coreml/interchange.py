"""What callers give and get, and what a package's description says of it: the same for all runners of packages.

Callers of a bare package see its own interface. Those of an artifact see the manifest's, under its names: pictures are
frames [1, height, width, channels] there, as other targets take them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.runtime.coreml.call import shaped
from edgec.runtime.coreml.datatypes import DataType
from edgec.runtime.coreml.description import ArrayFeature, Feature, ImageFeature, ScalarFeature
from edgec.runtime.coreml.wire import Array, PackageError
from edgec.runtime.manifest import Manifest, TensorInfo

Pairs = list[tuple[TensorInfo, Feature]]


def paired(manifest: Manifest, what: str, features: Sequence[Feature]) -> Pairs:
    """Inputs or outputs of a manifest with the package's: an artifact's manifest says how they are called there."""
    tensors: Sequence[TensorInfo] = getattr(manifest, what)
    known = {str(port["name"]): str(port.get("feature", port["name"])) for port in manifest.raw.get(what, [])}
    by_name = {feature.name: feature for feature in features}
    found = []
    for tensor in tensors:
        name = known.get(tensor.name, tensor.name)
        if name not in by_name:
            raise PackageError(f"the package has no {what[:-1]} '{name}'; it has {', '.join(by_name) or 'none'}")
        feature = by_name[name]
        if what == "inputs" and not isinstance(feature.type, ArrayFeature | ImageFeature):
            raise PackageError(f"the input '{name}' is a {feature.type}, which ML programs do not take")
        found.append((tensor, feature))
    return found


def takes(tensor: TensorInfo, feature: Feature, shape: tuple[int, ...], bare: bool) -> bool:
    """Whether an input of this shape is legal; sizes may be flexible."""
    if isinstance(feature.type, ImageFeature):
        if not bare:
            return shape == (1, *shape[1:3], feature.type.channels) and feature.type.takes(*shape[1:3])
        fits = len(shape) == (3 if feature.type.channels == 3 else 2) and shape[2:] in ((), (3,))
        return fits and feature.type.takes(*shape[:2])
    return shape == tensor.shape or (isinstance(feature.type, ArrayFeature) and feature.type.takes(shape))


def defaults(inputs: Pairs) -> dict[str, Array]:
    """What optional inputs are when they are left out, by the callers' names."""
    found = {}
    for tensor, feature in inputs:
        if feature.optional:
            if not isinstance(feature.type, ArrayFeature):
                raise PackageError("only arrays can be optional inputs here")
            shape = shaped(feature.type.shape, f"the input '{feature.name}' {feature.type}")
            found[tensor.name] = np.full(shape, feature.type.default or 0, feature.type.dtype.numpy)
    return found


def picture(array: Array, image: ImageFeature, bare: bool) -> Array:
    """[height, width(, 3)] of what a caller gives."""
    if bare:
        return array
    return array[0] if image.channels == 3 else array[0, ..., 0]


def narrowed(array: Array, dtype: DataType, name: str) -> Array:
    """An input as another element type; PackageError for integers that this has not."""
    if dtype.numpy.kind in "iu" and array.size and array.dtype.kind in "iu":
        info = np.iinfo(dtype.numpy)
        if int(array.min()) < info.min or int(array.max()) > info.max:
            raise PackageError(f"input '{name}' has values outside of {dtype}")
    return array.astype(dtype.numpy)


def as_called(item: object, tensor: TensorInfo, feature: Feature, labels: Sequence[str], bare: bool) -> Array:
    """An output as its caller sees it: a tensor, a picture, a label, or a dictionary of probabilities by label."""
    if isinstance(item, dict):
        by_label: dict[str, Any] = {str(label): value for label, value in item.items()}
        scores = np.array([by_label[label] for label in labels], np.float64)
        return scores if bare else scores.reshape(tensor.shape).astype(tensor.numpy)
    if isinstance(feature.type, ScalarFeature) and isinstance(item, int | float | str | np.generic | np.ndarray):
        return np.asarray(item).reshape(-1).astype(np.int64 if feature.type.kind == "int64" else np.str_)
    if not isinstance(item, np.ndarray):
        raise PackageError(f"the output '{feature.name}' is no tensor")
    if isinstance(feature.type, ImageFeature):
        return item
    if bare:
        return item.reshape(1) if item.ndim == 0 else item
    fixed = isinstance(feature.type, ArrayFeature) and feature.type.shape  # or it follows the inputs'
    fitting = item.reshape(tensor.shape) if fixed and item.size == math.prod(tensor.shape) else item
    return fitting.astype(tensor.numpy)
