"""Resize: separable interpolation, one matrix of weights per axis; `qresize` is linear interpolation of bytes.

Weights of qresize are in parts of 128 and add up to that along each axis; sums are exact, and rounded once, half up:
y = (sum over rows and columns of wv * wu * x + 2^13) >> 14. A zero point is what it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.ops.operands import operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.rows import SAME, RowRule, Window, covering
from edgec.ir.types import FLOATS, Type

Array = np.ndarray[Any, Any]
MODES = ("nearest", "linear", "cubic")
COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
    "tf_half_pixel_for_nn",
)  # fmt: skip
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def _infer(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = operand(types, 0, "resize")
    if len(a["sizes"]) != x.rank or len(a["scales"]) != x.rank or len(a["roi"]) not in (0, 2 * x.rank):
        raise IRError(f"resize: sizes, scales and roi need one entry for each of the {x.rank} axes of {x}")
    if a["mode"] not in MODES or a["coord"] not in COORDINATES or a["nearest"] not in NEAREST:
        raise IRError(f"resize: mode {a['mode']!r}, coord {a['coord']!r} or nearest {a['nearest']!r} is not legal")
    if min(a["sizes"], default=1) < 1 or min(x.dims, default=1) < 1 or not all(s > 0 for s in a["scales"]):
        raise IRError(f"resize: {x} cannot become {list(a['sizes'])} with the scales {list(a['scales'])}")
    if x.dtype == "bool" or (a["mode"] != "nearest" and x.dtype not in FLOATS):
        raise IRError(f"resize by {a['mode']} does not take {x.dtype}")
    if a["coord"] == "tf_crop_and_resize" and not a["roi"]:
        raise IRError("resize: tf_crop_and_resize needs a roi")
    return [Type(x.dtype, tuple(a["sizes"]))]


def source_places(a: Any, axis: int, size: int) -> Array:
    """Where every output position lies in the input, as the ONNX standard defines it, in float32 as onnxruntime
    computes it: which of two pixels is the nearest may depend on how a place between them is rounded."""
    f32 = np.float32
    out, scale, coord = a["sizes"][axis], f32(a["scales"][axis]), a["coord"]
    x, one, half = np.arange(out, dtype=f32), f32(1), f32(0.5)
    length = scale * f32(size)
    if coord == "align_corners":
        return np.asarray(x * (f32(size) - one) / (length - one) if length != 1 else np.zeros(out, f32))
    if coord == "asymmetric":
        return np.asarray(x / scale)
    if coord == "tf_half_pixel_for_nn":
        return np.asarray((x + half) / scale)
    if coord == "tf_crop_and_resize":
        start, end = f32(a["roi"][axis]), f32(a["roi"][len(a["sizes"]) + axis])
        if length == 1:
            return np.full(out, half * (start + end) * (f32(size) - one))
        return np.asarray(start * (f32(size) - one) + x * (end - start) * (f32(size) - one) / (length - one))
    if coord == "pytorch_half_pixel" and length == 1:
        return np.full(out, -half)
    offset = f32(size) / f32(2) * (one - f32(out) / length) if coord == "half_pixel_symmetric" else f32(0)
    return np.asarray(offset + (x + half) / scale - half)


def nearest_places(places: Array, rule: str, size: int) -> Array:
    whole = {
        "floor": np.floor(places),
        "ceil": np.ceil(places),
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
    }[rule]
    return np.clip(whole, 0, size - 1).astype(np.int64)


def _cubic(t: Array, a: float) -> Array:
    """Keys' kernel."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def filters(a: Any, axis: int, size: int) -> tuple[Array, Array]:
    """Linear and cubic interpolation: for every output place the first input it reads, int64[out], and the weights of
    that and the following ones, f64[out, width]; edges are repeated."""
    places = source_places(a, axis, size).astype(np.float64)
    scale = min(float(a["scales"][axis]), 1.0) if a["antialias"] else 1.0
    reach = (2 if a["mode"] == "cubic" else 1) / scale
    low = np.floor(places).astype(np.int64)
    span = math.ceil(reach) + 1
    taps = low[:, None] + np.arange(-span + 1, span + 1)
    distance = (taps - places[:, None]) * scale
    found = _cubic(distance, a["cubic_a"]) if a["mode"] == "cubic" else np.clip(1 - np.abs(distance), 0, None)
    if a["exclude_outside"]:
        found = np.where((taps < 0) | (taps >= size), 0.0, found)
    if a["exclude_outside"] or a["antialias"]:
        total = found.sum(axis=1, keepdims=True)
        found = found / np.where(total == 0, 1.0, total)
    inside = np.clip(taps, 0, size - 1)
    first = inside[:, 0]
    band = np.zeros((len(places), min(size, taps.shape[1])))
    np.add.at(band, (np.arange(len(places))[:, None], inside - first[:, None]), found)
    return first, band


def weights(a: Any, axis: int, size: int) -> Array:
    """The same as a matrix f64[out, in]."""
    first, band = filters(a, axis, size)
    matrix = np.zeros((len(first), size + band.shape[1]))
    np.put_along_axis(matrix, first[:, None] + np.arange(band.shape[1]), band, 1)
    return matrix[:, :size]


def resized_axes(a: Any, dims: Sequence[int]) -> list[int]:
    """Axes along which something happens."""
    rank = len(dims)
    crop = [a["coord"] == "tf_crop_and_resize" and tuple(a["roi"][i::rank]) != (0.0, 1.0) for i in range(rank)]
    return [i for i, d in enumerate(dims) if crop[i] or a["sizes"][i] != d or a["scales"][i] != 1]


def axis_taps(a: Any, axis: int, size: int) -> tuple[Array, Array, Array]:
    """What a kernel needs of one axis: source indices int64[out, taps], weights f64[out, taps], and bool[out] where the
    place lies beyond the image (`tf_crop_and_resize` alone), so that the result is `extrapolation`."""
    places = source_places(a, axis, size)
    beyond = (places < 0) | (places > size - 1) if a["coord"] == "tf_crop_and_resize" else np.zeros(len(places), bool)
    if a["mode"] == "nearest":
        return nearest_places(places, a["nearest"], size)[:, None], np.ones((len(places), 1)), beyond
    first, band = filters(a, axis, size)
    taps = max(1, int((band != 0).sum(1).max()))
    read = np.sort(np.argsort(band == 0, axis=1, kind="stable")[:, :taps], axis=1)
    # what lies behind the last input has no weight
    return np.minimum(first[:, None] + read, size - 1), np.take_along_axis(band, read, 1), beyond


def _row_rule(operands: Sequence[Type | None], result: Type, a: Any) -> RowRule | None:
    """Rows that are interpolated, of images whose rows or columns are resized; nothing may lie beyond the operand."""
    x = operands[0]
    if x is None or x.rank != 4 or not x.size or not set(axes := resized_axes(a, x.dims)) <= {1, 2}:
        return None
    if any(axis_taps(a, axis, x.dims[axis])[2].any() for axis in axes):
        return None
    window = _rows_read(a, x.dims[1]) if 1 in axes else SAME
    return RowRule(x.dims[0], result.dims[1], (window,))


def _rows_read(a: Any, rows: int) -> Window:
    """By the ratio of heights, or of the distances between the first row and the last (`align_corners`)."""
    index, weights, _ = axis_taps(a, 1, rows)
    read = weights != 0
    first, last = np.where(read, index, rows).min(1), np.where(read, index, -1).max(1)
    out = a["sizes"][1]
    found = []
    for here, there in ((rows, out), (rows - 1, out - 1)):
        if here > 0 and there > 0:
            common = math.gcd(here, there)
            found.append(covering(first, last, here // common, there // common))
    return min(found, key=lambda w: w.extent / w.up)


def _evaluate(v: Sequence[Any], a: Any) -> list[Array]:
    x = v[0]
    kind, shape = x.dtype, x.shape
    y = x if a["mode"] == "nearest" else x.astype(np.float64)
    outside = np.zeros((1,) * x.ndim, bool)
    for axis in range(x.ndim):
        size = shape[axis]
        cropped = a["coord"] == "tf_crop_and_resize" and tuple(a["roi"][axis :: x.ndim]) != (0.0, 1.0)
        if a["sizes"][axis] == size and a["scales"][axis] == 1 and not cropped:
            continue
        if a["mode"] == "nearest":
            y = np.take(y, nearest_places(source_places(a, axis, size), a["nearest"], size), axis=axis)
        else:
            y = np.moveaxis(np.tensordot(y, weights(a, axis, size), axes=(axis, 1)), -1, axis)
        if a["coord"] == "tf_crop_and_resize":
            places = source_places(a, axis, size)
            beyond = (places < 0) | (places > size - 1)
            outside = outside | beyond.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    if outside.any():
        y = np.where(outside, a["extrapolation"], y)
    return [np.ascontiguousarray(y).astype(kind, copy=False)]


def is_blend(a: Any, dims: Sequence[int]) -> bool:
    """Linear interpolation of the rows and columns of channels-last images, of nothing beyond them."""
    axes = resized_axes(a, dims)
    if a["mode"] != "linear" or len(dims) != 4 or not len(axes) > 0 or not set(axes) <= {1, 2}:
        return False
    return not any(axis_taps(a, axis, dims[axis])[2].any() for axis in axes)


def whole_taps(a: Any, axis: int, size: int) -> tuple[Array, Array]:
    """As axis_taps, with weights int64 in parts of 128 that add up to 128: the largest makes up for rounding."""
    if axis not in (1, 2) or (a["sizes"][axis] == size and a["scales"][axis] == 1):
        return np.arange(size)[:, None], np.full((size, 1), 128, np.int64)
    index, weights, _ = axis_taps(a, axis, size)
    whole = np.rint(weights * 128).astype(np.int64)
    largest = weights.argmax(1)[:, None]
    np.put_along_axis(whole, largest, np.take_along_axis(whole, largest, 1) + 128 - whole.sum(1, keepdims=True), 1)
    # a tap without weight reads what another reads
    return np.where(whole != 0, index, np.take_along_axis(index, largest, 1)), whole


def _infer_bytes(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = operand(types, 0, "qresize")
    if x.dtype not in ("i8", "u8") or len(a["sizes"]) != x.rank or len(a["scales"]) != x.rank:
        raise IRError(f"qresize takes images of i8 or u8 and sizes and scales for their axes, not {x}")
    if not is_blend(a, x.dims):
        raise IRError(f"qresize interpolates rows and columns of channels-last images linearly: {x} is none, or {a}")
    return [Type(x.dtype, tuple(a["sizes"]))]


def _evaluate_bytes(v: Sequence[Any], a: Any) -> list[Array]:
    y = v[0].astype(np.int64)
    for axis in (1, 2):
        index, whole = whole_taps(a, axis, v[0].shape[axis])
        along = [-1 if i == axis else 1 for i in range(4)]
        y = sum(np.take(y, index[:, t], axis) * whole[:, t].reshape(along) for t in range(index.shape[1]))
    return [((y + (1 << 13)) >> 14).astype(v[0].dtype)]


_ATTRS: dict[str, Any] = {
    "sizes": REQUIRED, "scales": REQUIRED, "mode": REQUIRED, "coord": REQUIRED, "nearest": "round_prefer_floor",
    "cubic_a": -0.75, "exclude_outside": False, "antialias": False, "extrapolation": 0.0, "roi": (),
}  # fmt: skip

ROWS: list[OpRow] = [
    OpRow("resize", "shape", (1, 1), _infer, _evaluate, _ATTRS, _row_rule),
    OpRow("qresize", "integer", (1, 1), _infer_bytes, _evaluate_bytes, {**_ATTRS, "mode": "linear"}, _row_rule),
]
