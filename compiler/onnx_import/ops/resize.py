"""Resize and Upsample: every form of the attributes becomes full sizes and one scale per axis of a core resize."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import import limits
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table

COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
    "tf_half_pixel_for_nn",
)  # fmt: skip
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def checked_scales(node: Node, scales: Sequence[float]) -> tuple[float, ...]:
    found = tuple(float(s) for s in scales)
    if any(not math.isfinite(s) or s <= 0 for s in found):
        node.broken(f"has scales={list(found)}; finite positive numbers are needed")
    return found


def scaled_sizes(node: Node, shape: Sequence[int], scales: Sequence[float]) -> tuple[int, ...]:
    sizes = [math.floor(d * s) for d, s in zip(shape, scales, strict=True)]
    return limits.check_shape(sizes, f"the result of {node.source}")


def resize(node: Node) -> list[Item]:
    x = node.value(0)
    shape = node.shape(x)
    rank = len(shape)
    axes = [node.axis(a, rank) for a in node.integers("axes") or range(rank)]
    at_roi, at_scales, at_sizes = (1, 2, 3) if node.opset >= 11 else (9, 1, 9)
    scales = list(node.const_floats(at_scales)) if node.has(at_scales) else []
    sizes = list(node.const_ints(at_sizes)) if node.has(at_sizes) else []
    if (not scales) == (not sizes) or len(scales or sizes) != len(axes):
        node.broken(f"needs scales or sizes for {len(axes)} axes")
    full_scales, full_sizes = [1.0] * rank, list(shape)
    if scales:
        for axis, scale in zip(axes, checked_scales(node, scales), strict=True):
            full_scales[axis] = scale
        full_sizes = list(scaled_sizes(node, shape, full_scales))
    else:
        given = limits.check_shape(sizes, f"the result of {node.source}")
        policy = node.text("keep_aspect_ratio_policy", "stretch")
        if any(shape[a] == 0 for a in axes):
            node.broken(f"resizes the empty shape {list(shape)}")
        ratios = [size / shape[axis] for axis, size in zip(axes, given, strict=True)]
        if policy not in ("stretch", "not_larger", "not_smaller"):
            node.broken(f"has keep_aspect_ratio_policy='{policy}'")
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            ratios = [ratio] * len(axes)
            given = tuple(int(ratio * shape[axis] + 0.5) for axis in axes)
        for axis, size, ratio in zip(axes, given, ratios, strict=True):
            full_scales[axis], full_sizes[axis] = ratio, size
    return [core_resize(node, x, full_sizes, full_scales, region(node, at_roi, axes, rank))]


def region(node: Node, i: int, axes: Sequence[int], rank: int) -> tuple[float, ...]:
    """The crop of tf_crop_and_resize for all axes: starts, then ends."""
    if node.text("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize":
        return ()
    given = list(node.const_floats(i)) if node.has(i) else []
    if len(given) != 2 * len(axes) or not all(map(math.isfinite, given)):
        node.broken(f"needs a roi of {2 * len(axes)} finite numbers")
    full = [0.0] * rank + [1.0] * rank
    for k, axis in enumerate(axes):
        full[axis], full[rank + axis] = given[k], given[len(axes) + k]
    return tuple(full)


def core_resize(node: Node, x: Value, sizes: Sequence[int], scales: Sequence[float], roi: tuple[float, ...]) -> Value:
    mode = node.text("mode", "nearest")
    # opset 10 had asymmetric coordinates and rounded down
    coordinates = node.text("coordinate_transformation_mode", "half_pixel" if node.opset >= 11 else "asymmetric")
    nearest = node.text("nearest_mode", "round_prefer_floor" if node.opset >= 11 else "floor")
    if mode not in ("nearest", "linear", "cubic") or coordinates not in COORDINATES or nearest not in NEAREST:
        node.broken(f"has mode='{mode}', coordinates '{coordinates}' and nearest_mode='{nearest}'")
    if tuple(sizes) == node.shape(x) and not roi and all(s == 1 for s in scales):
        return x
    antialias = node.flag("antialias") and mode != "nearest"
    check_taps(node, node.shape(x), sizes, scales, antialias)
    if 0 in sizes:
        return node.full(sizes, 0, x.type.dtype)
    # integers are interpolated as doubles, which hold them
    real = x if mode == "nearest" or node.is_float(x) else node.cast(x, "f64")
    result = node.op(
        "resize",
        real,
        sizes=tuple(sizes),
        scales=tuple(scales),
        mode=mode,
        coord=coordinates,
        nearest=nearest,
        cubic_a=node.number("cubic_coeff_a", -0.75),
        exclude_outside=node.flag("exclude_outside"),
        antialias=antialias,
        extrapolation=node.number("extrapolation_value", 0.0, finite=False),
        roi=roi,
    )
    return as_integers(node, result, x) if real is not x else result


def as_integers(node: Node, result: Value, x: Value) -> Value:
    """Cut off towards zero, as onnxruntime does; what is beyond x's type stays at its end."""
    info = np.iinfo(x.type.numpy)
    return node.cast(node.op("clip", result, lo=float(info.min), hi=float(info.max)), x.type.dtype)


def check_taps(
    node: Node, shape: Sequence[int], sizes: Sequence[int], scales: Sequence[float], antialias: bool
) -> None:
    """Weights of every output place are kept in tables: a filter that shrinks reads `1 / scale` places and more."""
    moved = [i for i, (d, size) in enumerate(zip(shape, sizes, strict=True)) if d != size or scales[i] != 1]
    node.check_lengths(sizes, moved)
    for i in moved:
        taps = 2 * math.ceil(2 / min(scales[i], 1.0)) + 2 if antialias else 4
        node.room(sizes[i] * taps, 2, f"the filter of {node.source}")


def upsample(node: Node) -> list[Item]:
    """The ancestor of Resize: asymmetric coordinates, rounded down."""
    x = node.value(0)
    shape = node.shape(x)
    given = node.const_floats(1) if node.opset >= 9 else node.numbers("scales") or ()
    scales = checked_scales(node, given)
    mode = {"nearest": "nearest", "linear": "linear", "bilinear": "linear"}.get(node.text("mode", "nearest"))
    if mode is None or len(scales) != len(shape):
        node.broken(f"has scales={list(scales)} for the shape {list(shape)}")
    sizes = scaled_sizes(node, shape, scales)
    if sizes == shape:
        return [x]
    check_taps(node, shape, sizes, scales, antialias=False)
    real = x if mode == "nearest" or node.is_float(x) else node.cast(x, "f64")
    result = node.op("resize", real, sizes=sizes, scales=scales, mode=mode, coord="asymmetric", nearest="floor")
    return [as_integers(node, result, x) if real is not x else result]


RESIZE: Table = {"Resize": resize, "Upsample": upsample}
