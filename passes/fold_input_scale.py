"""Folds a per-channel constant scale or shift into the convolution or matmul that reads the result.

%1 = mul %x, s[C,1,1]
%2 = add %1, t[C,1,1]         ->  %3 = conv %x, #w*s, #b + w.t
%3 = conv %2, #w, #b

A shift goes in only where the convolution pads nothing: what is padded is not shifted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import either, rewrite

Array = np.ndarray[Any, Any]


def fold_input_scale(graph: Graph) -> bool:
    changed = False
    while rewrite(graph, _folded):
        changed = True
    return changed


def _folded(graph: Graph, op: Op) -> Value | None:
    if op.kind not in ("conv", "matmul") or op.arg(0).type.dtype != "f32" or op.arg(1).const is None:
        return None
    scale = op.arg(0).op
    if scale is None or scale.kind not in ("mul", "add") or scale.attrs.get("act"):
        return None
    if len(graph.users()[scale.result]) != 1 or scale.result in graph.output_values():
        return None
    if op.kind == "matmul" and op.arg(1).type.rank != 2:
        return None
    channel = 1 if op.kind == "conv" and op.attrs["layout"] == "nchw" else op.arg(0).type.rank - 1
    for x, constant in either(scale):
        if constant.const is None or x.type != scale.result.type:
            continue
        vector = _along(graph.array(constant), x.type.dims, channel)
        if vector is None or not np.all(np.isfinite(vector)):
            continue
        if scale.kind == "add" and not _shiftable(op):
            return _scale_behind(graph, op, scale, x, vector, channel)
        return _merge(graph, op, x, vector, scale.kind == "mul")
    return None


def _scale_behind(graph: Graph, op: Op, shift: Op, x: Value, vector: Array, channel: int) -> Value | None:
    """x * s + t is (x + t / s) * s: the scale goes in though the shift cannot."""
    scale = x.op
    if scale is None or scale.kind != "mul" or len(graph.users()[x]) != 1 or x in graph.output_values():
        return None
    for source, constant in either(scale):
        if constant.const is None or source.type != x.type:
            continue
        factor = _along(graph.array(constant), x.type.dims, channel)
        if factor is None or not np.all(np.isfinite(factor)) or np.any(np.abs(factor) < 1e-6):
            continue
        b = Builder(graph, before=op)
        moved = vector / factor
        shape = tuple(len(moved) if i == channel else 1 for i in range(x.type.rank))
        whole = moved[0] if np.all(moved == moved[0]) else moved.reshape(shape)
        return _merge(graph, op, b.op("add", source, b.const(whole, "f32"), **shift.attrs), factor, True)
    return None


def _shiftable(op: Op) -> bool:
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if bias is not None and (bias.const is None or bias.type.dims != op.result.type.dims[-1:]) and op.kind == "matmul":
        return False
    return (bias is None or bias.const is not None) and not any(op.attrs.get("pads", ()))  # type: ignore[arg-type]


def _along(constant: Array, dims: tuple[int, ...], channel: int) -> Array | None:
    """The constant as one number a channel."""
    shape = (1,) * (len(dims) - constant.ndim) + constant.shape
    if any(d != 1 for i, d in enumerate(shape) if i != channel):
        return None
    return np.broadcast_to(constant.reshape(-1).astype(np.float64), (dims[channel],))


def _merge(graph: Graph, op: Op, x: Value, vector: Array, scale: bool) -> Value:
    b = Builder(graph, before=op)
    weights = graph.array(op.arg(1)).astype(np.float64)
    inputs: list[Value | None] = [x, *op.inputs[1:]]
    shaped = _like_weights(op, vector, weights)
    if scale:
        inputs[1] = b.const(weights * shaped, "f32")
    else:
        sums = weights * shaped
        if op.kind == "conv":
            shift = sums.reshape(len(sums), -1).sum(axis=1)
        else:
            shift = sums.sum(axis=1 if op.attrs["trans_b"] else 0)
        given = inputs[2] if len(inputs) > 2 else None
        bias = shift if given is None else graph.array(given).astype(np.float64) + shift
        inputs[2:3] = [b.const(bias, "f32")]
    return b.op(op.kind, *inputs, **op.attrs)


def _like_weights(op: Op, vector: Array, weights: Array) -> Array:
    """The vector so that it multiplies the weights of its channel."""
    if op.kind == "matmul":
        return vector if op.attrs["trans_b"] else vector[:, None]
    groups = int(op.attrs["groups"])  # type: ignore[arg-type]
    out, inside = weights.shape[:2]
    per_output = np.repeat(vector.reshape(groups, inside), out // groups, axis=0)
    return np.asarray(per_output.reshape(out, inside, *(1,) * (weights.ndim - 2)))
