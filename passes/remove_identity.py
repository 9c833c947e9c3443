"""Drops ops that return their operand: same-shape reshapes, identity permutations, no-op casts, + 0, * 1.

%1 = add %x, 0.0    ->  %x
%2 = reshape(reshape(%x))  ->  reshape(%x)
"""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Graph, Op, Value


def remove_identity(graph: Graph) -> bool:
    changed = False
    kept: list[Op] = []
    renamed: dict[Value, Value] = {}
    for op in graph.ops:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        source = _returns(graph, op)
        if source is not None and source.type == op.result.type:
            renamed[op.result] = source
            changed = True
            continue
        kept.append(op)
        if op.kind == "reshape" and op.arg(0).op is not None and op.arg(0).op.kind == "reshape":  # type: ignore[union-attr]
            op.inputs[0] = op.arg(0).op.arg(0)  # type: ignore[union-attr]
            changed = True
    graph.ops = kept
    graph.replace_leaving(renamed)
    return changed


def _returns(graph: Graph, op: Op) -> Value | None:
    """The operand that the op returns unchanged, if its type fits."""
    if op.kind in ("reshape", "broadcast_to", "cast", "slice", "pad"):
        if op.kind == "slice" and any(s < 0 for s in op.attrs["steps"]):  # type: ignore[union-attr,operator]
            return None
        return op.arg(0)
    if op.kind == "transpose" and op.attrs["perm"] == tuple(range(op.arg(0).type.rank)):
        return op.arg(0)
    if op.kind == "concat" and len(op.inputs) == 1:
        return op.arg(0)
    neutral = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0, "max": -np.inf, "min": np.inf}.get(op.kind)
    if neutral is None or op.attrs.get("act"):
        return None
    a, b = op.arg(0), op.arg(1)
    if b.const is not None and np.all(graph.array(b) == neutral):
        return a
    if op.kind in ("add", "mul", "max", "min") and a.const is not None and np.all(graph.array(a) == neutral):
        return b
    return None
