"""Element-wise ops on rows gathered from a constant table are done once, on the table.

%1 = gather #t[258,64], %i           %1 = gather #gelu(t + b), %i
%2 = add %1, #b[64]            ->
%3 = gelu %2
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops import OPS
from edgec.passes.pattern import rewrite

_GROWTH = 4  # how many times the elements of the gathered rows a table may have


def fold_into_table(graph: Graph) -> bool:
    return rewrite(graph, _folded)


def _folded(graph: Graph, op: Op) -> Value | None:
    if OPS[op.kind].family != "elementwise":
        return None
    variable = [v for v in op.inputs if v is not None and v.const is None]
    gather = variable[0].op if len(variable) == 1 else None
    if gather is None or gather.kind != "gather" or gather.arg(0).const is None or gather.attrs["axis"] != 0:
        return None
    rows, table = gather.result, gather.arg(0)
    if len(graph.users()[rows]) != 1 or rows in graph.output_values() or rows.type.dims != op.result.type.dims:
        return None
    if table.type.size > _GROWTH * rows.type.size or table.type.rank < 2:
        return None
    b = Builder(graph, before=op)
    operands: list[Value | None] = []
    for value in op.inputs:
        if value is rows:
            operands.append(table)
        elif value is None or value.type.size == 1:
            operands.append(value if value is None else b.op("reshape", value, shape=()))
        else:
            inner = value.type.dims[-(table.type.rank - 1) :]
            if any(d != 1 for d in value.type.dims[: -(table.type.rank - 1)]):
                return None
            operands.append(b.op("reshape", value, shape=inner))
    return b.op("gather", b.op(op.kind, *operands, **op.attrs), gather.arg(1), axis=0)
