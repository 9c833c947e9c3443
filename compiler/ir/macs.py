"""Multiply-adds of a core operator, from the shapes alone: what the model asks for, whatever a target does."""

from __future__ import annotations

import math

from edgec.ir.graph import Graph, Op
from edgec.ir.ops.recurrent import BYTE_GATES, GATES

PRODUCTS_ON_BYTES = ("qconv", "qmatmul", "qattention", *BYTE_GATES)


def macs_of(op: Op) -> int:
    """0 for operators that do not multiply and add."""
    if op.kind in ("conv", "qconv"):
        return op.result.type.size * math.prod(op.arg(1).type.dims[1:])
    if op.kind == "conv_transpose":
        return op.arg(0).type.size * math.prod(op.arg(1).type.dims[1:])
    if op.kind in ("matmul", "qmatmul"):
        return op.result.type.size * op.arg(0).type.dims[-1]
    if op.kind in ("attention", "qattention"):
        q, k, v = (op.arg(i).type.dims for i in range(3))
        return math.prod(q[:3]) * k[2] * (q[3] + v[3])
    if op.kind in GATES or op.kind in BYTE_GATES:
        steps, batch, _ = op.arg(0).type.dims
        return steps * batch * sum(v.type.size for v in op.inputs[1:3] if v is not None)
    return 0


def macs_on_bytes(op: Op) -> int:
    """Of those, products of bytes."""
    if op.kind in BYTE_GATES and op.inputs[1] is not None:
        return macs_of(op) - op.arg(0).type.dims[0] * op.arg(0).type.dims[1] * op.arg(1).type.size
    return macs_of(op) if op.kind in PRODUCTS_ON_BYTES else 0


def macs_share(part: int, whole: int) -> float:
    """Of the multiply-adds, for the receipt."""
    return round(part / whole, 4) if whole else 0.0


def total_macs(graph: Graph) -> int:
    return sum(macs_of(op) for op in graph.ops)
