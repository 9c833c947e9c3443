"""Weights in bytes become signed, without zero points, in [-127, 127], as integer kernels take them.

conv %x, #w quant<u8, scale=s, zero=128>  ->  conv %x, #w' quant<i8@0, scale=s[n], zero=0>

A result channel whose weights fit once their zero point is taken off keeps them exactly. One that reaches further (an
asymmetric range, or -128) is rounded again: bounded, or in steps so much larger that it fits, whichever is nearer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Op
from edgec.ir.types import Quant, Type

Array = np.ndarray[Any, Any]
LARGEST = 127


def bound_weights(graph: Graph) -> bool:
    changed = False
    for op in graph.ops:
        axis = channels_axis(op)
        if axis is None:
            continue
        value = op.arg(1)
        encoding = value.type.encodings[0]
        constants = graph.module.constants
        zero, scale = constants[encoding.constants[1]].astype(np.int64), constants[encoding.scale].astype(np.float64)
        along = [-1 if i == axis else 1 for i in range(value.type.rank)]
        stored = graph.stored(value).astype(np.int64)
        if encoding.stored == "i8" and not np.any(zero) and stored.min(initial=0) >= -LARGEST:
            continue
        steps = np.moveaxis(stored - (zero.reshape(along) if zero.ndim else zero), axis, 0)
        channels = steps.shape[0]
        bounded, scales = _bounded(steps.reshape(channels, -1), np.broadcast_to(scale, (channels,)))
        made = np.moveaxis(bounded.reshape(steps.shape), 0, axis)
        new = Quant("i8", graph.module.intern(scales), graph.module.intern(np.zeros(channels, np.int8)), axis)
        op.inputs[1] = graph.encoded(np.ascontiguousarray(made), Type("f32", value.type.shape, (new,)), value.name)
        changed = True
    return changed


def channels_axis(op: Op) -> int | None:
    """The axis of the result's channels in byte weights that have one scale, or one for each of them."""
    if op.kind not in ("conv", "matmul") or op.arg(1).const is None or len(op.arg(1).type.encodings) != 1:
        return None
    encoding, rank = op.arg(1).type.encodings[0], op.arg(1).type.rank
    axis = 0 if op.kind == "conv" else rank - (2 if op.attrs["trans_b"] else 1)
    fits = isinstance(encoding, Quant) and encoding.stored in ("i8", "u8") and encoding.axis in (None, axis)
    return axis if fits and rank >= 2 else None


def _bounded(steps: Array, scale: Array) -> tuple[Array, Array]:
    """Steps [channels, k] in [-127, 127] and their scales."""
    largest = np.abs(steps).max(axis=1, initial=0)
    factor = np.maximum(largest / LARGEST, 1.0)
    cut = np.clip(steps, -LARGEST, LARGEST)
    wide = np.rint(steps / factor[:, None])
    nearer = ((cut - steps) ** 2).sum(1) <= ((wide * factor[:, None] - steps) ** 2).sum(1)
    chosen = np.where(nearer[:, None], cut, wide).astype(np.int8)
    return chosen, (scale * np.where(nearer, 1.0, factor)).astype(np.float32)
