"""Folds a constant scale, shift or order of channels into the weights of the convolution that reads it.

%1 = cast %x {to="f32"}
%2 = add %1, t[C,1,1]                     %1 = cast %x {to="f32"}
%3 = mul %2, s[C,1,1]             ->      %2 = conv %1, (#w*s)[:, order], #b + sum(#w*s*t)
%4 = gather %3, order {axis=1}
%5 = conv %4, #w, #b

A scale is folded always: zero padding stays zero, and only roundings move. A shift is folded only without padding, that
would have to be -t, and only over bytes: subtracting before the sum is exact where values are large and near to t.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value

Array = np.ndarray[Any, Any]


def fold_input_affine(graph: Graph) -> bool:
    changed = False
    for op in list(graph.ops):
        while op.kind == "conv" and (folded := _folded(graph, op)) is not None:
            op = folded
            changed = True
    return changed


def _folded(graph: Graph, conv: Op) -> Op | None:
    """The convolution that reads one op further up, put in place of `conv`; None when nothing can be folded."""
    bias = conv.inputs[2] if len(conv.inputs) > 2 else None
    if conv.arg(1).const is None or (bias is not None and bias.const is None) or conv.arg(0).type.dtype != "f32":
        return None
    source = conv.arg(0).op
    if source is None or source.attrs.get("act") or len(graph.users()[conv.arg(0)]) != 1:
        return None
    if conv.arg(0) in graph.output_values():
        return None
    weights = graph.array(conv.arg(1)).astype(np.float64)
    offset = np.zeros(len(weights))
    if source.kind == "gather":
        order = _order(graph, source, conv)
        if order is None:
            return None
        source_value = source.arg(0)
        weights = weights[:, np.argsort(order)]
    else:
        found = _constant(graph, source, conv)
        if found is None:
            return None
        source_value, vector = found
        if source.kind in ("mul", "div"):
            weights = weights * _per_weight(vector if source.kind == "mul" else 1.0 / vector, conv, weights)
        elif _may_shift(source_value, conv):
            vector = -vector if source.kind == "sub" else vector
            offset = (weights * _per_weight(vector, conv, weights)).reshape(len(weights), -1).sum(-1)
        else:
            return None
    if not np.all(np.isfinite(weights.astype(np.float32))):
        return None
    b = Builder(graph, before=conv)
    inputs = list(conv.inputs)
    inputs[0], inputs[1] = source_value, b.const(weights, "f32")
    if np.any(offset):
        inputs += [None] * (3 - len(inputs))
        inputs[2] = b.const(offset if bias is None else offset + graph.array(bias), "f32")
    made = b.op("conv", *inputs, **conv.attrs)
    graph.replace(conv.result, made)
    graph.remove([conv, source])
    return made.op


def _channel(conv: Op) -> int:
    return 1 if conv.attrs["layout"] == "nchw" else conv.arg(0).type.rank - 1


def _order(graph: Graph, gather: Op, conv: Op) -> Array | None:
    """The channels in another order, each once."""
    if gather.arg(1).const is None or gather.attrs["axis"] != _channel(conv) or conv.attrs["groups"] != 1:
        return None
    order = graph.array(gather.arg(1))
    count = gather.arg(0).type.dims[_channel(conv)]
    return order if order.ndim == 1 and np.array_equal(np.sort(order), np.arange(count)) else None


def _constant(graph: Graph, op: Op, conv: Op) -> tuple[Value, Array] | None:
    """The variable operand, and the constant one as one number for each channel of the convolution's operand."""
    if op.kind not in ("mul", "div", "add", "sub"):
        return None
    a, b = op.arg(0), op.arg(1)
    if a.const is not None and op.kind in ("mul", "add"):
        a, b = b, a
    if b.const is None or a.const is not None or a.type != op.result.type:
        return None
    constant = graph.array(b).astype(np.float64)
    shape = (1,) * (a.type.rank - constant.ndim) + constant.shape
    if any(d != 1 for i, d in enumerate(shape) if i != _channel(conv)):
        return None
    vector = np.broadcast_to(constant.reshape(-1), (a.type.dims[_channel(conv)],))
    # a constant of one element may broadcast over everything but must not be divided by when it is 0
    return None if op.kind == "div" and not np.all(vector) else (a, vector)


def _per_weight(vector: Array, conv: Op, weights: Array) -> Array:
    """The number of each weight's input channel, in the shape [outputs, inputs a group, 1 …]."""
    groups = int(conv.attrs["groups"])  # type: ignore[arg-type]
    rows = np.repeat(vector.reshape(groups, -1), len(weights) // groups, axis=0)
    return np.asarray(rows.reshape(*rows.shape, *(1,) * (weights.ndim - 2)))


def _may_shift(value: Value, conv: Op) -> bool:
    bytes_behind = value.op is not None and value.op.kind == "cast" and value.op.arg(0).type.dtype in ("u8", "i8")
    return bytes_behind and not any(conv.attrs["pads"])  # type: ignore[arg-type]
