"""Normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import import limits
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table


def per_channel(node: Node, value: Value, rank: int) -> Value:
    """[C] -> [C, 1, ...] so that it broadcasts over N, C, ..."""
    return node.reshape(value, (*node.shape(value), *[1] * (rank - 2)))


def moments(node: Node, x: Value, axes: Sequence[int]) -> tuple[Value, Value, Value]:
    """Mean, x - mean, variance (of the population); dimensions kept."""
    mean = node.reduce("mean", x, axes, keepdims=True)
    centred = node.op("sub", x, mean)
    return mean, centred, node.reduce("mean", node.op("mul", centred, centred), axes, keepdims=True)


def inverse_root(node: Node, variance: Value, eps: float) -> Value:
    return node.op("rsqrt", node.op("add", variance, node.like(eps, variance)))


def batch_norm(node: Node) -> list[Item]:
    """x * a + b with a = scale / sqrt(var + eps), b = bias - mean * a: constants in a trained model."""
    x, scale, bias, mean, variance = (node.value(i) for i in range(5))
    rank, dtype = len(node.shape(x)), x.type.dtype
    if rank < 2:
        node.broken("needs a batch and a channel dimension")
    eps = node.number("epsilon", 1e-5)
    updated: list[Item] = []
    if node.opset >= 14 and node.flag("training_mode"):
        # statistics of this batch, blended into the running ones
        momentum = node.number("momentum", 0.9)
        axes = [i for i in range(rank) if i != 1]
        now_mean, _, now_variance = moments(node, x, axes)
        channels = node.shape(mean)
        stats = [node.reshape(v, channels) for v in (now_mean, now_variance)]
        for old, new in zip((mean, variance), stats, strict=True):
            new = node.cast(new, old.type.dtype)
            kept = node.op("mul", old, node.like(momentum, old))
            updated.append(node.op("add", kept, node.op("mul", new, node.like(1 - momentum, new))))
        mean, variance = stats
    elif node.opset < 14 and any(node.wants(i) for i in (1, 2, 3, 4)):
        node.refuse("has the outputs of training; only inference is supported")
    wide = "f32" if dtype in ("f16", "bf16") else dtype
    scale, bias, mean, variance = (node.cast(v, wide) for v in (scale, bias, mean, variance))
    factor = node.op("mul", scale, inverse_root(node, variance, eps))
    shift = node.op("sub", bias, node.op("mul", mean, factor))
    product = node.op("mul", node.cast(x, wide), per_channel(node, factor, rank))
    return [node.cast(node.op("add", product, per_channel(node, shift, rank)), dtype), *updated]


def instance_norm(node: Node) -> list[Item]:
    x, scale, bias = node.value(0), node.value(1), node.value(2)
    rank = len(node.shape(x))
    _, centred, variance = moments(node, x, range(2, rank))
    unit = node.op("mul", centred, inverse_root(node, variance, node.number("epsilon", 1e-5)))
    scaled = node.op("mul", unit, per_channel(node, scale, rank))
    return [node.op("add", scaled, per_channel(node, bias, rank))]


def group_norm(node: Node) -> list[Item]:
    """Scale and bias are per group before opset 21, per channel since."""
    x, scale, bias = node.value(0), node.value(1), node.value(2)
    shape = node.shape(x)
    groups = node.integer("num_groups", 0)
    if len(shape) < 2 or groups < 1 or shape[1] % groups:
        node.broken(f"has {groups} groups for an input of the shape {list(shape)}")
    dtype = x.type.dtype
    wide = node.cast(x, "f32") if dtype in ("f16", "bf16") else x
    inside = math.prod(shape[1:]) // groups
    split = node.reshape(wide, (shape[0], groups, inside))
    _, centred, variance = moments(node, split, (2,))
    unit = node.op("mul", centred, inverse_root(node, variance, node.number("epsilon", 1e-5)))
    unit = node.reshape(unit, shape)
    if node.opset < 21:
        node.room(shape[1], 2)
        repeat = np.repeat(node.positions(groups), shape[1] // groups)
        scale, bias = (node.op("gather", v, node.constant(repeat), axis=0) for v in (scale, bias))
    scaled = node.op("mul", node.cast(unit, dtype), per_channel(node, scale, len(shape)))
    return [node.op("add", scaled, per_channel(node, bias, len(shape)))]


def fitted(node: Node, value: Value | None, shape: Sequence[int]) -> Value | None:
    """A scale or bias in exactly the normalised shape."""
    return None if value is None else node.broadcast(value, shape)


def layer_norm(node: Node) -> list[Item]:
    x, scale, bias = node.value(0), node.value(1), node.optional(2)
    shape = node.shape(x)
    axis = node.axis(node.integer("axis", -1), len(shape))
    eps = node.number("epsilon", 1e-5)
    inner = shape[axis:]
    if not all(fits(node, v, inner) for v in (scale, bias)):
        # a scale that reaches over outer dimensions is applied apart
        unit = node.op("layer_norm", x, axis=axis, eps=eps)
        result = node.op("mul", unit, scale)
        result = node.op("add", result, bias) if bias is not None else result
    else:
        operands = [fitted(node, v, inner) for v in (scale, bias)]
        result = node.op("layer_norm", x, *operands, axis=axis, eps=eps)
    mean: Item = None
    inverse: Item = None
    if node.wants(1) or node.wants(2):
        wide = node.cast(x, node.dtype("stash_type", "f32") if x.type.dtype != "f64" else "f64")
        mean, _, variance = moments(node, wide, range(axis, len(shape)))
        inverse = inverse_root(node, variance, eps)
    return [result, mean, inverse]


def fits(node: Node, value: Value | None, inner: Sequence[int]) -> bool:
    return value is None or len(node.shape(value)) <= len(inner)


def rms_norm(node: Node) -> list[Item]:
    x, scale = node.value(0), node.optional(1)
    shape = node.shape(x)
    axis = node.axis(node.integer("axis", -1), len(shape))
    eps = node.number("epsilon", 1e-5)
    if fits(node, scale, shape[axis:]):
        operand = fitted(node, scale, shape[axis:])
        return [node.op("rms_norm", x, *([operand] if operand is not None else []), axis=axis, eps=eps)]
    return [node.op("mul", node.op("rms_norm", x, axis=axis, eps=eps), scale)]


def lrn(node: Node) -> list[Item]:
    """x / (k + alpha / size * sum of squares of `size` channels around)^beta"""
    x = node.value(0)
    shape = node.shape(x)
    size = node.integer("size", 0)
    if not 1 <= size <= limits.TRIPS or len(shape) < 2:
        node.broken(f"has size={size} for the shape {list(shape)}; 1 to {limits.TRIPS} are supported")
    alpha, beta, k = node.number("alpha", 1e-4), node.number("beta", 0.75), node.number("bias", 1.0)
    # a window wider than the channels sees them all
    before, after = min((size - 1) // 2, shape[1]), min(size // 2, shape[1])
    squares = node.op("mul", x, x)
    rest = [0] * (len(shape) - 2)
    wide = node.pad(squares, [0, before, *rest], [0, after, *rest])
    total = node.slice(wide, 1, 0, shape[1])
    for i in range(1, before + after + 1):
        total = node.op("add", total, node.slice(wide, 1, i, i + shape[1]))
    base = node.op("add", node.op("mul", total, node.like(alpha / size, x)), node.like(k, x))
    return [node.op("div", x, node.op("pow", base, node.like(beta, x)))]


def mean_variance(node: Node) -> list[Item]:
    """(x - mean) / (sqrt(E[x^2] - mean^2) + 1e-9)"""
    x = node.value(0)
    axes = node.axes(node.integers("axes") or (0, 2, 3), len(node.shape(x)))
    _, centred, variance = moments(node, x, axes)
    deviation = node.op("sqrt", variance)
    return [node.op("div", centred, node.op("add", deviation, node.like(1e-9, x)))]


def lp_norm(node: Node) -> list[Item]:
    """x / ||x||_p along an axis; where the norm is zero the result is zero."""
    x = node.value(0)
    axis = node.axis(node.integer("axis", -1), len(node.shape(x)))
    p = node.integer("p", 2)
    if p not in (1, 2):
        node.broken(f"has p={p}; 1 and 2 are legal")
    body = node.op("abs", x) if p == 1 else node.op("mul", x, x)
    norm = node.reduce("sum", body, (axis,), keepdims=True)
    norm = norm if p == 1 else node.op("sqrt", norm)
    zero = node.op("eq", norm, node.like(0, norm))
    return [node.op("div", x, node.op("where", zero, node.like(1, norm), norm))]


NORM: Table = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LRN": lrn,
    "LayerNormalization": layer_norm,
    "LpNormalization": lp_norm,
    "MeanVarianceNormalization": mean_variance,
    "RMSNormalization": rms_norm,
}
