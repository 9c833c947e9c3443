"""A matmul reads its right operand either way round: a transpose of the last two axes becomes its flag.

%1 = transpose %w {perm=(0, 2, 1)}
%2 = matmul %x, %1                  ->  matmul %x, %w {trans_b=True}
"""

from __future__ import annotations

from edgec.ir.graph import Graph


def absorb_transpose(graph: Graph) -> bool:
    changed = False
    for op in graph.ops:
        under = op.arg(1).op if op.kind == "matmul" else None
        if under is None or under.kind != "transpose":
            continue
        rank = op.arg(1).type.rank
        if under.attrs["perm"] != (*range(rank - 2), rank - 1, rank - 2):
            continue
        op.inputs[1] = under.arg(0)
        op.attrs = {**op.attrs, "trans_b": not op.attrs["trans_b"]}
        changed = True
    return changed
