"""A transpose that moves only axes of length 1 is a reshape: the bytes stay where they are.

%1 = transpose %x[1,28,28,1] {perm=(0, 3, 1, 2)}  ->  %1 = reshape %x {shape=(1, 1, 28, 28)}
"""

from __future__ import annotations

from typing import Any

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Value


def flatten_transposes(graph: Graph) -> bool:
    changed = False
    old, graph.ops = graph.ops, []
    renamed: dict[Value, Value] = {}
    for op in old:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        graph.ops.append(op)
        if op.kind != "transpose":
            continue
        perm: Any = op.attrs["perm"]
        dims = op.arg(0).type.dims
        moved = [p for p in perm if dims[p] != 1]
        if moved != sorted(moved):
            continue
        graph.ops.pop()
        renamed[op.result] = Builder(graph, source=op.source).op("reshape", op.arg(0), shape=op.result.type.dims)
        changed = True
    graph.replace_leaving(renamed)
    return changed
