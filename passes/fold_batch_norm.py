"""Folds a per-channel constant scale or shift into the weights and bias of the convolution or matmul before it.

%1 = conv %x, #w, #b                      %1 = conv %x, #w*s, #b*s+t
%2 = mul %1, s[C,1,1]             ->
%3 = add %2, t[C,1,1]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value

Array = np.ndarray[Any, Any]
_CHANNEL = {"conv": 0, "conv_transpose": 1, "matmul": -1}


def fold_batch_norm(graph: Graph) -> bool:
    changed = False
    users = graph.users()
    leaving = graph.output_values()
    old, graph.ops = graph.ops, []
    renamed: dict[Value, Value] = {}
    merged_away: list[Op] = []
    for op in old:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        graph.ops.append(op)
        if op.kind not in ("mul", "add", "sub") or op.attrs.get("act"):
            continue
        found = _operands(graph, op)
        if found is None:
            continue
        source, constant = found
        producer = source.op
        if producer is None or producer.kind not in _CHANNEL or len(users.get(source, ())) != 1 or source in leaving:
            continue
        vector = _per_channel(constant, producer, source)
        if vector is None or not _foldable(producer):
            continue
        vector = -vector if op.kind == "sub" else vector
        merged = _merge(graph, producer, vector, op)
        renamed[op.result] = merged
        merged_away += [op, producer]
        users[merged] = users.get(op.result, [])
        if op.result in leaving:
            leaving.add(merged)
        changed = True
    graph.remove(merged_away)
    graph.replace_leaving(renamed)
    return changed


def _operands(graph: Graph, op: Op) -> tuple[Value, Array] | None:
    """The variable operand and the constant one."""
    a, b = op.arg(0), op.arg(1)
    if b.const is not None and a.const is None:
        return a, graph.array(b)
    if a.const is not None and b.const is None and op.kind != "sub":
        return b, graph.array(a)
    return None


def _foldable(producer: Op) -> bool:
    if producer.attrs["act"] or producer.arg(1).const is None or producer.arg(0).type.dtype not in ("f32", "f64"):
        return False
    bias = producer.inputs[2] if len(producer.inputs) > 2 else None
    return (bias is None or bias.const is not None) and (len(producer.inputs) < 4 or producer.inputs[3] is None)


def _per_channel(constant: Array, producer: Op, source: Value) -> Array | None:
    """The constant as one number a channel; None when it varies otherwise or widens the result."""
    if producer.kind == "matmul":
        channel = source.type.rank - 1
    else:
        channel = 1 if producer.attrs["layout"] == "nchw" else source.type.rank - 1
    if constant.ndim > source.type.rank:
        return None
    shape = (1,) * (source.type.rank - constant.ndim) + constant.shape
    if any(d != 1 for i, d in enumerate(shape) if i != channel):
        return None
    return np.broadcast_to(constant.reshape(-1), (source.type.dims[channel],))


def _merge(graph: Graph, producer: Op, vector: Array, op: Op) -> Value:
    channels, dtype = len(vector), producer.arg(1).type.dtype
    given = producer.inputs[2] if len(producer.inputs) > 2 else None
    bias = np.zeros(channels) if given is None else np.broadcast_to(graph.array(given).astype(np.float64), (channels,))
    b = Builder(graph, source=producer.source)
    attrs = dict(producer.attrs)
    if op.kind == "mul":
        weights = graph.array(producer.arg(1)).astype(np.float64)
        w = b.const(_scaled(weights, vector.astype(np.float64), producer), dtype)
        made = None if given is None else b.const(bias * vector, dtype)
        return b.op(producer.kind, producer.arg(0), w, *([] if made is None else [made]), **attrs)
    constant = next(v for v in (op.arg(0), op.arg(1)) if v.const is not None)
    if given is None and op.kind == "add" and constant.type.encodings and constant.type.size == channels:
        made = b.op("reshape", constant, shape=(channels,))  # a bias of integers stays one
    else:
        made = b.const(bias + vector, dtype)
    return b.op(producer.kind, producer.arg(0), producer.arg(1), made, **attrs)


def _scaled(weights: Array, vector: Array, producer: Op) -> Array:
    if producer.kind == "matmul":
        return weights * (vector[..., :, None] if producer.attrs["trans_b"] else vector)
    ones = (1,) * (weights.ndim - 2)
    if producer.kind == "conv":
        return weights * vector.reshape(-1, 1, *ones)
    groups = int(producer.attrs["groups"])  # type: ignore[arg-type]
    c, og = weights.shape[:2]
    per_input = np.repeat(vector.reshape(groups, og), c // groups, axis=0)
    return np.asarray(weights * per_input.reshape(c, og, *ones))
