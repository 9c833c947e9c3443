"""Writes softmax, norms and attention of float64 as the operators they are made of: doubles are too rare for kernels.

%1 = softmax %x: f64  ->  e = exp(%x - max %x), e / sum e
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value


def expand_doubles(graph: Graph) -> bool:
    changed = False
    for op in list(graph.ops):
        if op.kind not in FORMS or op.arg(0).type.dtype != "f64" or not op.result.type.size:
            continue
        graph.replace(op.result, FORMS[op.kind](Builder(graph, before=op), op))
        graph.remove([op])
        changed = True
    return changed


def _softmax(b: Builder, op: Op) -> Value:
    axis: Any = op.attrs["axis"]
    return _of_parts(b, op.arg(0), axis, op.kind == "log_softmax")


def _of_parts(b: Builder, x: Value, axis: int, logarithm: bool) -> Value:
    below = b.op("sub", x, b.op("reduce_max", x, axes=(axis,), keepdims=True))
    powers = b.op("exp", below)
    total = b.op("reduce_sum", powers, axes=(axis,), keepdims=True)
    return b.op("sub", below, b.op("log", total)) if logarithm else b.op("div", powers, total)


def _norm(b: Builder, op: Op) -> Value:
    first: Any = op.attrs["axis"]
    x = op.arg(0)
    axes = tuple(range(first, x.type.rank))
    if op.kind == "layer_norm":
        x = b.op("sub", x, b.op("reduce_mean", x, axes=axes, keepdims=True))
    square = b.op("reduce_mean", b.op("mul", x, x), axes=axes, keepdims=True)
    y = b.op("div", x, b.op("sqrt", b.op("add", square, b.const(np.float64(op.attrs["eps"])))))  # type: ignore[arg-type]
    for kind, value in zip(("mul", "add"), op.inputs[1:], strict=False):
        y = b.op(kind, y, value) if value is not None else y
    return y


def _attention(b: Builder, op: Op) -> Value:
    """softmax(q k^T scale + mask) v, where a row without any key is zeros."""
    scale: Any = op.attrs["scale"]
    batch, heads, rows, _ = op.arg(0).type.dims
    kv_heads, columns = op.arg(1).type.dims[1:3]

    def grouped(v: Value) -> Value:
        """A head of keys for each group of query heads."""
        shape = v.type.dims
        wide = b.op("reshape", v, shape=(batch, kv_heads, 1, *shape[2:]))
        wide = b.op("broadcast_to", wide, shape=(batch, kv_heads, heads // kv_heads, *shape[2:]))
        return b.op("reshape", wide, shape=(batch, heads, *shape[2:]))

    k, v = grouped(op.arg(1)), grouped(op.arg(2))
    scores = b.op("mul", b.op("matmul", op.arg(0), k, trans_b=True), b.const(np.float64(scale)))
    mask = op.inputs[3] if len(op.inputs) > 3 else None
    hidden = b.const(np.float64(-math.inf))
    if mask is not None:
        scores = b.op("where", mask, scores, hidden) if mask.type.dtype == "bool" else b.op("add", scores, mask)
    if op.attrs["causal"]:
        scores = b.op("where", b.const(np.tril(np.ones((rows, columns), np.bool_))), scores, hidden)
    weights = _of_parts(b, scores, 3, False)
    weights = b.op("where", b.op("is_nan", weights), b.const(np.float64(0)), weights)
    return b.op("matmul", weights, v)


FORMS = {
    "softmax": _softmax,
    "log_softmax": _softmax,
    "layer_norm": _norm,
    "rms_norm": _norm,
    "attention": _attention,
}
