"""Quantised operators as explicit core ops on integers and floats, exact as the standard defines them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.ir.graph import Value
from edgec.ir.types import DTYPES, INTEGERS
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.ops.conv import convolve
from edgec.onnx_import.ops.matmul import product


def fitted(node: Node, value: Value, x: Value, axis: int) -> Value:
    """A scale or zero point so that it broadcasts over x: one number, one per slice of `axis`, or one per block."""
    shape, own = node.shape(x), node.shape(value)
    if own in ((), (1,)):
        return node.reshape(value, ())
    axis = node.axis(axis, len(shape))
    if len(own) == 1:
        if own[0] != shape[axis]:
            node.broken(f"has {own[0]} scales for a length of {shape[axis]}")
        return node.reshape(value, [own[0] if i == axis else 1 for i in range(len(shape))])
    block = node.integer("block_size", 0)
    if block < 1 or len(own) != len(shape):
        node.broken(f"has scales of the shape {list(own)} for the shape {list(shape)}")
    # each scale covers `block` elements of the axis
    wide = [*own[: axis + 1], block, *own[axis + 1 :]]
    spread = node.broadcast(node.reshape(value, [*own[: axis + 1], 1, *own[axis + 1 :]]), wide)
    spread = node.reshape(spread, [*own[:axis], own[axis] * block, *own[axis + 1 :]])
    return node.slice(spread, axis, 0, shape[axis])


def limits_of(node: Node, dtype: str) -> tuple[int, int]:
    if dtype not in INTEGERS:
        node.refuse(f"quantises to {dtype}; integers are supported")
    info = np.iinfo(DTYPES[dtype])
    return int(info.min), int(info.max)


def quantised(node: Node, x: Value, scale: Value, zero: Value | None, dtype: str) -> Value:
    """saturate(round(x / scale) + zero), rounding half to even."""
    lo, hi = limits_of(node, dtype)
    steps = node.op("round", node.op("div", x, scale))
    if zero is not None:
        steps = node.op("add", steps, node.cast(zero, steps.type.dtype))
    return node.cast(node.op("clip", steps, lo=float(lo), hi=float(hi)), dtype)


def dequantised(node: Node, x: Value, scale: Value, zero: Value | None, dtype: str) -> Value:
    """(x - zero) * scale; the difference is taken in integers that hold it."""
    number = x
    if zero is not None:
        if x.type.dtype in ("i8", "u8", "i16", "u16"):
            number, zero = node.cast(x, "i32"), node.cast(zero, "i32")
        elif x.type.dtype != zero.type.dtype:
            node.broken(f"has a zero point of {zero.type.dtype} for {x.type.dtype}")
        number = node.op("sub", number, zero)
    return node.op("mul", node.cast(number, dtype), node.cast(scale, dtype))


def quantize_linear(node: Node) -> list[Item]:
    x, scale, zero = node.value(0), node.value(1), node.optional(2)
    axis = node.integer("axis", 1)
    given = node.dtype("output_dtype", "") if node.opset >= 21 else ""
    dtype = zero.type.dtype if zero is not None else given or "u8"
    # precision: the type of the division; by default the scale's, which since opset 23 need not be x's
    work = node.dtype("precision", "") or ("f32" if x.type.dtype not in ("f16", "bf16") else scale.type.dtype)
    scale = fitted(node, scale, x, axis)
    zero = fitted(node, zero, x, axis) if zero is not None else None
    wide = "f32" if work in ("f16", "bf16") else work
    return [quantised(node, node.cast(x, wide), node.cast(scale, wide), zero, dtype)]


def dequantize_linear(node: Node) -> list[Item]:
    x, scale, zero = node.value(0), node.value(1), node.optional(2)
    axis = node.integer("axis", 1)
    dtype = scale.type.dtype
    if node.opset >= 23:
        dtype = node.dtype("output_dtype", "") or dtype
    scale = fitted(node, scale, x, axis)
    zero = fitted(node, zero, x, axis) if zero is not None else None
    wide = "f32" if dtype in ("f16", "bf16") else dtype
    return [node.cast(dequantised(node, x, scale, zero, wide), dtype)]


def dynamic_quantize(node: Node) -> list[Item]:
    """scale = (max(x, 0) - min(x, 0)) / 255, zero = clip(round(-min / scale))"""
    x = node.value(0)
    axes = range(len(node.shape(x)))
    low = node.op("min", node.reduce("min", x, axes), node.like(0, x))
    high = node.op("max", node.reduce("max", x, axes), node.like(0, x))
    scale = node.op("div", node.op("sub", high, low), node.like(255, x))
    zero = node.op("round", node.op("div", node.op("neg", low), scale))
    zero = node.cast(node.op("clip", zero, lo=0.0, hi=255.0), "u8")
    return [quantised(node, x, scale, zero, "u8"), scale, zero]


def centred(node: Node, x: Value, zero: Value | None, axis: int | None) -> Value:
    """x - zero as i32; a vector of zero points belongs to `axis`."""
    wide = node.cast(x, "i32")
    if zero is None:
        return wide
    zero = node.cast(zero, "i32")
    own, rank = node.shape(zero), len(node.shape(x))
    if own in ((), (1,)):
        zero = node.reshape(zero, ())
    elif len(own) == 1 and axis is not None:
        zero = node.reshape(zero, [own[0] if i == axis % rank else 1 for i in range(rank)])
    return node.op("sub", wide, zero)


def matmul_integer(node: Node) -> list[Item]:
    a, b = node.value(0), node.value(1)
    left = centred(node, a, node.optional(2), max(len(node.shape(a)) - 2, 0))
    right = centred(node, b, node.optional(3), len(node.shape(b)) - 1)
    return [product(node, left, right)]


def conv_integer(node: Node) -> list[Item]:
    x = centred(node, node.value(0), node.optional(2), None)
    w = centred(node, node.value(1), node.optional(3), 0)
    return [convolve(node, x, w, None)]


def requantised(node: Node, total: Value, scales: Sequence[Value], zero: Value) -> Value:
    """An i32 sum times scale_a * scale_b / scale_y, rounded, plus the zero point."""
    a, b, y = (node.cast(s, "f32") for s in scales)
    factor = node.op("div", node.op("mul", a, b), y)
    lo, hi = limits_of(node, zero.type.dtype)
    steps = node.op("round", node.op("mul", node.cast(total, "f32"), factor))
    steps = node.op("add", steps, node.cast(zero, "f32"))
    return node.cast(node.op("clip", steps, lo=float(lo), hi=float(hi)), zero.type.dtype)


def vector_at(node: Node, value: Value, rank: int, axis: int) -> Value:
    """A scalar, or a vector along an axis."""
    own = node.shape(value)
    if own in ((), (1,)):
        return node.reshape(value, ())
    return node.reshape(value, [own[0] if i == axis else 1 for i in range(rank)]) if len(own) == 1 else value


def qlinear_matmul(node: Node) -> list[Item]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (node.value(i) for i in range(8))
    left = centred(node, a, a_zero, max(len(node.shape(a)) - 2, 0))
    right = centred(node, b, b_zero, len(node.shape(b)) - 1)
    total = product(node, left, right)
    rank = len(node.shape(total))
    scales = [
        vector_at(node, a_scale, rank, rank - 2),
        vector_at(node, b_scale, rank, rank - 1),
        vector_at(node, y_scale, rank, rank - 2),
    ]
    return [requantised(node, total, scales, vector_at(node, y_zero, rank, rank - 2))]


def qlinear_conv(node: Node) -> list[Item]:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (node.value(i) for i in range(8))
    total = convolve(node, centred(node, x, x_zero, None), centred(node, w, w_zero, 0), node.optional(8))
    rank = len(node.shape(total))
    scales = [node.reshape(x_scale, ()), vector_at(node, w_scale, rank, 1), node.reshape(y_scale, ())]
    return [requantised(node, total, scales, node.reshape(y_zero, ()))]


QUANTIZE: Table = {
    "ConvInteger": conv_integer,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize,
    "MatMulInteger": matmul_integer,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantize_linear,
}
