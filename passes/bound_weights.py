"""Weights in bytes become signed, without zero points, in [-127, 127], as integer kernels take them.

conv %x, #w quant<u8, scale=s, zero=128>  ->  conv %x, #w' quant<i8@0, scale=s[n], zero=0>

A result channel whose weights fit once their zero point is taken off keeps them exactly. One that reaches further (an
asymmetric range, or -128) is rounded again: bounded, or in steps so much larger that it fits, whichever is nearer. So
is one whose weights are so near to nothing that sums in their steps could not be scaled, or its bias would not fit.
The operator keeps what it has where that rounding may add up to more than a quarter of a step of its result.
Where steps are so large that sums could not be scaled either (a channel of zeros, whose scale is 1 then), they are
halved as often as the weights can be doubled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.encodings import only
from edgec.ir.graph import Graph, Op
from edgec.ir.types import Quant, Type
from edgec.passes.requant import NEAR, Grid

Array = np.ndarray[Any, Any]
LARGEST = 127
LEAST_FACTOR = 2.0**-20  # of a sum's step to the result's: the multiplier has 11 bits then, zero points fit the sums
MOST_FACTOR = 0.4  # a multiplier is below a half
DOUBLED = 10  # times, at most
LARGEST_BIAS = 2.0**29  # steps of a sum
MARGIN = 1 + 2.0**-20  # over rounding to float32


def bound_weights(graph: Graph) -> bool:
    changed = False
    for op in graph.ops:
        axis = channels_axis(op)
        if axis is None:
            continue
        value = op.arg(1)
        encoding = only(value.type)
        constants = graph.module.constants
        zero, scale = constants[encoding.constants[1]].astype(np.int64), constants[encoding.scale].astype(np.float64)
        along = [-1 if i == axis else 1 for i in range(value.type.rank)]
        stored = graph.stored(value).astype(np.int64)
        channels = value.type.dims[axis]
        scale = np.broadcast_to(scale, (channels,))
        finest, coarsest = _finest(graph, op, channels), _coarsest(graph, op)
        fits = encoding.stored == "i8" and not np.any(zero) and stored.min(initial=0) >= -LARGEST
        if fits and np.all((scale >= finest) & (scale <= coarsest)):
            continue
        steps = np.moveaxis(stored - (zero.reshape(along) if zero.ndim else zero), axis, 0)
        flat = steps.reshape(channels, -1)
        bounded, scales = _doubled(*_bounded(flat, scale, finest), coarsest)
        grown = scale < finest
        if _off(graph, op, flat[grown] * scale[grown, None], bounded[grown] * scales[grown, None]) > NEAR:
            continue
        made = np.moveaxis(bounded.reshape(steps.shape), 0, axis)
        new = Quant("i8", graph.module.intern(scales), graph.module.intern(np.zeros(channels, np.int8)), axis)
        bound = graph.encoded(np.ascontiguousarray(made), Type("f32", value.type.shape, (new,)), value.name)
        changed = changed or bound.const != value.const or bound.type != value.type
        op.inputs[1] = bound
    return changed


def channels_axis(op: Op) -> int | None:
    """The axis of result channels in weights of bytes that meet bytes and have one scale, or one a channel."""
    if op.kind not in ("conv", "matmul") or op.arg(1).const is None or len(op.arg(1).type.encodings) != 1:
        return None
    encoding, rank = op.arg(1).type.encodings[0], op.arg(1).type.rank
    if op.arg(0).const is not None or not op.arg(0).type.encodings:
        return None
    if op.kind == "matmul" and math.prod(op.arg(1).type.dims[:-2]) != 1:
        return None
    axis = 0 if op.kind == "conv" else rank - (2 if op.attrs["trans_b"] else 1)
    fits = isinstance(encoding, Quant) and encoding.stored in ("i8", "u8") and encoding.axis in (None, axis)
    return axis if fits and rank >= 2 else None


def _finest(graph: Graph, op: Op, channels: int) -> Array:
    """The least scale of each channel's weights with which their sums can be scaled and biases fit."""
    constants = graph.module.constants
    x_scale = float(constants[only(op.arg(0).type).scale])
    y = only(op.result.type) if op.result.type.encodings else None
    least = np.full(channels, float(constants[y.scale]) * LEAST_FACTOR / x_scale if y is not None else 0.0)
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if bias is None or bias.const is None or bias.type.size not in (1, channels):
        return least
    added = np.abs(graph.array(bias).astype(np.float64).reshape(-1))
    return np.asarray(np.maximum(least, added / (x_scale * LARGEST_BIAS)))


def _coarsest(graph: Graph, op: Op) -> float:
    """The largest scale of weights with which sums can be scaled."""
    constants = graph.module.constants
    x_scale = float(constants[only(op.arg(0).type).scale])
    y = only(op.result.type) if op.result.type.encodings else None
    return np.inf if y is None else float(constants[y.scale]) * MOST_FACTOR / x_scale


def _off(graph: Graph, op: Op, weights: Array, rounded: Array) -> float:
    """The most steps of a result that rounding weights [channels, k] may add up to."""
    if not op.result.type.encodings:
        return 0.0
    constants, x, y = graph.module.constants, only(op.arg(0).type), only(op.result.type)
    assert isinstance(x, Quant)
    grid = Grid(x.stored, float(constants[x.scale]), int(constants[x.zero]))
    unit = grid.scale * grid.most_steps / float(constants[y.scale])
    return float(np.abs(rounded - weights).sum(1).max(initial=0.0)) * unit


def _doubled(steps: Array, scale: Array, coarsest: float) -> tuple[Array, Array]:
    """Channels above the coarsest scale in steps half, a quarter … as large, where those fit."""
    largest = np.abs(steps.astype(np.int64)).max(axis=1, initial=0)
    room = np.minimum(np.floor(np.log2(LARGEST / np.maximum(largest, 1))), DOUBLED)
    times = np.where(scale.astype(np.float64) > coarsest, np.where(largest == 0, DOUBLED, room), 0)
    factor = 2.0**times
    return (steps * factor[:, None]).astype(np.int8), (scale / factor).astype(np.float32)


def _bounded(steps: Array, scale: Array, finest: Array) -> tuple[Array, Array]:
    """Steps [channels, k] in [-127, 127] and their scales, which are at least `finest`."""
    grown = np.where(scale < finest, finest / scale * MARGIN, 1.0)
    factor = np.maximum(np.abs(steps).max(axis=1, initial=0) / LARGEST, grown)
    cut = np.clip(steps, -LARGEST, LARGEST)
    wide = np.rint(steps / factor[:, None])
    nearer = ((cut - steps) ** 2).sum(1) <= ((wide * factor[:, None] - steps) ** 2).sum(1)
    nearer &= scale >= finest
    chosen = np.where(nearer[:, None], cut, wide).astype(np.int8)
    return chosen, (scale * np.where(nearer, 1.0, factor)).astype(np.float32)
