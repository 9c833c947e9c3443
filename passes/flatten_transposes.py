"""A transpose that moves only axes of length 1 is a reshape: the bytes stay where they are.

%1 = transpose %x[1,28,28,1] {perm=(0, 3, 1, 2)}  ->  %1 = reshape %x {shape=(1, 1, 28, 28)}
"""

from __future__ import annotations

from typing import Any

from edgec.ir.build import Builder
from edgec.ir.graph import Graph


def flatten_transposes(graph: Graph) -> bool:
    changed = False
    for op in list(graph.ops):
        if op.kind != "transpose":
            continue
        perm: Any = op.attrs["perm"]
        dims = op.arg(0).type.dims
        moved = [p for p in perm if dims[p] != 1]
        if moved != sorted(moved):
            continue
        graph.replace(op.result, Builder(graph, before=op).op("reshape", op.arg(0), shape=op.result.type.dims))
        graph.remove([op])
        changed = True
    return changed
