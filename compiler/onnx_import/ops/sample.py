"""Reading images at computed positions: GridSample, RoiAlign, DeformConv. All are gathers and weighted sums."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.ops.window import numbers, spatial

CUBIC = -0.75  # Keys' coefficient, as the standard has it


@dataclass(frozen=True)
class Tap:
    """Along one axis: positions to read (float, whole numbers inside or outside), their weight."""

    place: Value
    weight: Value | None


def plus(node: Node, x: Value, number: float) -> Value:
    return node.op("add", x, node.like(number, x))


def times(node: Node, x: Value, number: float) -> Value:
    return node.op("mul", x, node.like(number, x))


def gather_pixels(node: Node, x: Value, places: Sequence[Value]) -> Value:
    """x [N, C, *S] at whole positions [N, P] per axis (inside) -> [N, C, P]"""
    n, c, *size = node.shape(x)
    flat: Value | None = None
    for axis, place in enumerate(places):
        step = node.op("mul", node.cast(place, "i64"), node.constant(np.asarray(math.prod(size[axis + 1 :]), np.int64)))
        flat = step if flat is None else node.op("add", flat, step)
    assert flat is not None
    count = node.shape(flat)[1]
    image = node.reshape(x, (n, c, math.prod(size)))
    where = node.broadcast(node.reshape(flat, (n, 1, count)), (n, c, count))
    return node.op("gather_elements", image, where, axis=2) if n * c else node.full((n, c, count), 0, x.type.dtype)


def weighted(
    node: Node, x: Value, taps: Sequence[Sequence[Tap]], padding: str, border: Sequence[tuple[float, float]]
) -> Value:
    """Sum over all combinations of one tap per axis -> [N, C, P]"""
    size = node.shape(x)[2:]
    total: Value | None = None
    for combination in itertools.product(*taps):
        places, weight = [], None
        for axis, tap in enumerate(combination):
            place, inside = padded_place(node, tap.place, size[axis], padding, border[axis])
            places.append(place)
            for factor in (tap.weight, inside):
                if factor is not None:
                    weight = factor if weight is None else node.op("mul", weight, factor)
        pixels = gather_pixels(node, x, places)
        if weight is not None:
            n, count = node.shape(weight)
            pixels = node.op("mul", pixels, node.cast(node.reshape(weight, (n, 1, count)), x.type.dtype))
        total = pixels if total is None else node.op("add", total, pixels)
    assert total is not None
    return total


def padded_place(
    node: Node, place: Value, length: int, padding: str, border: tuple[float, float]
) -> tuple[Value, Value | None]:
    """A position inside the image, and 0 or 1 as a factor for zero padding."""
    if padding == "reflection":
        place = reflected(node, place, *border)
    inside = node.op("clip", place, lo=0.0, hi=float(length - 1))
    return inside, node.cast(node.op("eq", inside, place), place.type.dtype) if padding == "zeros" else None


def reflected(node: Node, x: Value, low: float, high: float) -> Value:
    """Mirror at the borders until inside: a triangle wave."""
    width = high - low
    if width <= 0:
        return node.op("mul", x, node.like(0, x))
    distance = node.op("abs", plus(node, x, -low))
    phase = node.op("mod", distance, node.like(2 * width, x))
    folded = node.op("sub", node.like(2 * width, x), phase)
    return plus(node, node.op("min", phase, folded), low)


def linear_taps(node: Node, x: Value) -> list[Tap]:
    low = node.op("floor", x)
    part = node.op("sub", x, low)
    return [Tap(low, node.op("sub", node.like(1, x), part)), Tap(plus(node, low, 1), part)]


def cubic_taps(node: Node, x: Value) -> list[Tap]:
    low = node.op("floor", x)
    t = node.op("sub", x, low)
    one = node.op("sub", node.like(1, x), t)
    return [
        Tap(plus(node, low, -1), cubic_far(node, plus(node, t, 1))),
        Tap(low, cubic_near(node, t)),
        Tap(plus(node, low, 1), cubic_near(node, one)),
        Tap(plus(node, low, 2), cubic_far(node, plus(node, one, 1))),
    ]


def cubic_near(node: Node, t: Value) -> Value:
    """((a + 2) t - (a + 3)) t^2 + 1 for t in [0, 1]"""
    inner = plus(node, times(node, t, CUBIC + 2), -(CUBIC + 3))
    return plus(node, node.op("mul", node.op("mul", inner, t), t), 1)


def cubic_far(node: Node, t: Value) -> Value:
    """((a t - 5 a) t + 8 a) t - 4 a for t in [1, 2]"""
    inner = plus(node, times(node, t, CUBIC), -5 * CUBIC)
    inner = plus(node, node.op("mul", inner, t), 8 * CUBIC)
    return plus(node, node.op("mul", inner, t), -4 * CUBIC)


MODES = {"bilinear": "linear", "linear": "linear", "nearest": "nearest", "bicubic": "cubic", "cubic": "cubic"}


def grid_sample(node: Node) -> list[Item]:
    x, grid = node.value(0), node.value(1)
    n, c, *size = node.shape(x)
    rank = len(size)
    target = node.shape(grid)[1:-1]
    mode, padding = MODES.get(node.text("mode", "linear")), node.text("padding_mode", "zeros")
    if mode is None or padding not in ("zeros", "border", "reflection") or node.shape(grid)[-1] != rank:
        node.broken(f"has mode='{node.text('mode', '')}', padding_mode='{padding}' and a grid of {grid.type}")
    count = math.prod(target)
    if 0 in (n, c, count, *size):
        return [node.full((n, c, *target), 0, x.type.dtype)]
    corners = node.flag("align_corners")
    flat = node.cast(node.reshape(grid, (n, count, rank)), "f64" if grid.type.dtype == "f64" else "f32")
    taps, borders = [], []
    for axis in range(rank):
        # the grid names the last axis first
        unit = node.reshape(node.slice(flat, 2, rank - 1 - axis, rank - axis), (n, count))
        length = size[axis]
        if corners:
            place = times(node, plus(node, unit, 1), (length - 1) / 2)
            borders.append((0.0, length - 1.0))
        else:
            place = times(node, plus(node, times(node, plus(node, unit, 1), length), -1), 0.5)
            borders.append((-0.5, length - 0.5))
        if mode == "cubic":
            taps.append(cubic_taps(node, place))
            continue
        if mode == "nearest":
            place = node.op("round", place)
        if padding == "border":
            place = node.op("clip", place, lo=0.0, hi=length - 1.0)
        taps.append([Tap(place, None)] if mode == "nearest" else linear_taps(node, place))
    return [node.reshape(weighted(node, x, taps, padding, borders), (n, c, *target))]


def roi_align(node: Node) -> list[Item]:
    """Bilinear samples on a regular grid inside every region, averaged (or the largest weighted corner)."""
    x, rois, batch = node.value(0), node.value(1), node.value(2)
    _n, c, h, w = spatial_shape(node, x)
    count = node.shape(rois)[0]
    out = (node.integer("output_height", 1), node.integer("output_width", 1))
    grid = node.integer("sampling_ratio", 0)
    mode = node.text("mode", "avg")
    if min(out) < 1 or mode not in ("avg", "max") or node.shape(rois) != (count, 4):
        node.broken(f"has output {list(out)}, mode='{mode}' and regions {rois.type}")
    if grid < 1:
        node.refuse("has sampling_ratio=0, so that the number of samples depends on the data; 1 or more is supported")
    default = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    half = node.text("coordinate_transformation_mode", default) == "half_pixel"
    scale = node.number("spatial_scale", 1.0)
    edges = plus(node, times(node, rois, scale), -0.5 if half else 0.0)
    places, masks = [], []
    for axis, length in ((1, h), (0, w)):
        start, end = (node.reshape(node.slice(edges, 1, k, k + 1), (count, 1)) for k in (axis, axis + 2))
        extent = node.op("sub", end, start)
        if not half:
            extent = node.op("max", extent, node.like(1, extent))
        steps = out[0 if axis else 1] * grid
        fractions = node.constant(((node.positions(steps) + 0.5) / steps)[None].astype(x.type.numpy))
        place = node.op("add", start, node.op("mul", extent, fractions))  # [R, steps]
        masks.append(outside(node, place, length))
        places.append(node.op("clip", place, lo=0.0, hi=length - 1.0))
    rows, columns = (node.shape(p)[1] for p in places)
    # a pair per sample, [R, rows, columns] flat
    ys = spread(node, places[0], (count, rows, 1), (count, rows, columns))
    xs = spread(node, places[1], (count, 1, columns), (count, rows, columns))
    legal = node.op(
        "mul",
        spread(node, masks[0], (count, rows, 1), (count, rows, columns)),
        spread(node, masks[1], (count, 1, columns), (count, rows, columns)),
    )
    image = node.op("gather", x, node.cast(batch, "i64"), axis=0)  # [R, C, H, W]
    parts = []
    for down, right in itertools.product(linear_taps(node, ys), linear_taps(node, xs)):
        at = [node.op("clip", t.place, lo=0.0, hi=n - 1.0) for t, n in ((down, h), (right, w))]
        assert down.weight is not None
        assert right.weight is not None
        weight = node.op("mul", node.op("mul", down.weight, right.weight), legal)
        factor = node.reshape(weight, (count, 1, rows * columns))
        parts.append(node.op("mul", gather_pixels(node, image, at), factor))
    kind = "add" if mode == "avg" else "max"
    total = parts[0]
    for part in parts[1:]:
        total = node.op(kind, total, part)
    bins = node.reshape(total, (count, c, out[0], grid, out[1], grid))
    return [node.reduce("mean" if mode == "avg" else "max", bins, (3, 5))]


def spatial_shape(node: Node, x: Value) -> tuple[int, ...]:
    shape = node.shape(x)
    if len(shape) != 4 or 0 in shape:
        node.broken(f"needs an image of four dimensions, not {list(shape)}")
    return shape


def spread(node: Node, x: Value, shape: Sequence[int], full: Sequence[int]) -> Value:
    return node.reshape(node.broadcast(node.reshape(x, shape), full), (full[0], math.prod(full[1:])))


def outside(node: Node, place: Value, length: int) -> Value:
    """1 for positions within one pixel of the image, 0 beyond."""
    near = node.op("and", node.op("ge", place, node.like(-1, place)), node.op("le", place, node.like(length, place)))
    return node.cast(near, place.type.dtype)


def deform_conv(node: Node) -> list[Item]:
    """Sample every tap of every window at its own offset, then one matmul with the weights."""
    x, w, offset, bias, mask = node.value(0), node.value(1), node.value(2), node.optional(3), node.optional(4)
    n, c, h, wide = spatial_shape(node, x)
    o, cg, kh, kw = node.shape(w)
    spatial(node, node.shape(x))
    strides = numbers(node, "strides", (1, 1), 1)
    dilations = numbers(node, "dilations", (1, 1), 1)
    pads = numbers(node, "pads", (0,) * 4, 0)
    groups, own = node.integer("group", 1), node.integer("offset_group", 1)
    oh, ow = node.shape(offset)[2:]
    taps, outs = kh * kw, oh * ow
    if groups < 1 or own < 1 or cg * groups != c or c % own or o % groups:
        node.broken(f"has {groups} groups and {own} offset groups for {c} channels")
    shifts = node.reshape(offset, (n * own, taps, 2, outs))
    node.room(taps * outs, 3)
    places = []
    for axis, (count, k, other) in enumerate(((oh, kh, ow), (ow, kw, oh))):
        start = np.arange(count) * strides[axis] - pads[axis]
        tap = np.arange(k) * dilations[axis]
        if axis == 0:
            base = np.repeat(tap, kw)[:, None] + np.repeat(start, other)[None]
        else:
            base = np.tile(tap, kh)[:, None] + np.tile(start, other)[None]
        shift = node.reshape(node.slice(shifts, 2, axis, axis + 1), (n * own, taps * outs))
        places.append(node.op("add", shift, node.constant(base.reshape(1, -1).astype(x.type.numpy))))
    image = node.reshape(x, (n * own, c // own, h, wide))
    borders = [(0.0, h - 1.0), (0.0, wide - 1.0)]
    pixels = weighted(node, image, [linear_taps(node, p) for p in places], "zeros", borders)
    if mask is not None:
        pixels = node.op("mul", pixels, node.reshape(mask, (n * own, 1, taps * outs)))
    columns = node.reshape(pixels, (n, groups, cg * taps, outs))
    weights = node.reshape(w, (1, groups, o // groups, cg * taps))
    result = node.reshape(node.op("matmul", weights, columns), (n, o, oh, ow))
    return [node.op("add", result, node.reshape(bias, (o, 1, 1))) if bias is not None else result]


SAMPLE: Table = {"DeformConv": deform_conv, "GridSample": grid_sample, "RoiAlign": roi_align}
