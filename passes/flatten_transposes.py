"""A transpose that moves only axes of length 1 is a reshape: the bytes stay where they are.

%1 = transpose %x[1,28,28,1] {perm=(0, 3, 1, 2)}  ->  %1 = reshape %x {shape=(1, 1, 28, 28)}
"""

from __future__ import annotations

from typing import Any

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.sweep import sweep


def flatten_transposes(graph: Graph) -> bool:
    return sweep(graph, _flat)


def _flat(b: Builder, op: Op) -> Value | None:
    if op.kind != "transpose":
        return None
    perm: Any = op.attrs["perm"]
    moved = [p for p in perm if op.arg(0).type.dims[p] != 1]
    return b.op("reshape", op.arg(0), shape=op.result.type.dims) if moved == sorted(moved) else None
