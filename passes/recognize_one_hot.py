"""A matmul of a one-hot encoding picks rows of its weights: a gather.

matmul(cast(eq(%i[..,1], (0, 1, … k-1))), #w[k,n])  ->  gather #w, %i

An index that hits no column gives a row of zeros, which stands behind the weights.
"""

from __future__ import annotations

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import either, made_by, rewrite


def recognize_one_hot(graph: Graph) -> bool:
    return rewrite(graph, _gather)


def _gather(graph: Graph, op: Op) -> Value | None:
    if op.kind != "matmul" or op.attrs["act"] or op.arg(1).const is None or op.arg(1).type.rank != 2:
        return None
    cast = made_by(op.arg(0), "cast")
    equal = made_by(cast.arg(0), "eq") if cast is not None else None
    if equal is None:
        return None
    for index, columns in either(equal):
        weights = graph.array(op.arg(1))
        weights = weights.T if op.attrs["trans_b"] else weights
        if columns.const is None or index.const is not None or index.type.dtype not in ("i32", "i64"):
            continue
        if not _counts(graph.array(columns), len(weights)) or index.type.dims != (*op.arg(0).type.dims[:-1], 1):
            continue
        b = Builder(graph, before=op)
        flat = b.op("reshape", index, shape=op.arg(0).type.dims[:-1])
        zero, count = b.const(0, index.type.dtype), b.const(len(weights), index.type.dtype)
        inside = b.op("and", b.op("ge", flat, zero), b.op("lt", flat, count))
        table = b.const(np.concatenate([weights, np.zeros_like(weights[:1])]), op.arg(1).type.dtype)
        made = b.op("gather", table, b.op("where", inside, flat, count), axis=0)
        bias = op.inputs[2] if len(op.inputs) > 2 else None
        return made if bias is None else b.op("add", made, bias)
    return None


def _counts(columns: np.ndarray, k: int) -> bool:
    """0, 1, 2 … along the last axis and nothing else."""
    return columns.size == k == columns.shape[-1] and bool(np.all(columns.reshape(-1) == np.arange(k)))
