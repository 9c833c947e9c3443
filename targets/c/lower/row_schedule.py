"""The schedule of a graph for a core: which operators with row kernels are a block together."""

from __future__ import annotations

from functools import cache

from edgec.ir.graph import Graph, Value
from edgec.ir.macs import macs_of, total_macs
from edgec.ir.rows import row_view
from edgec.plan.candidates import Facts
from edgec.plan.cost import Memory
from edgec.plan.schedule import Segment, make_schedule
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.row_ops import row_op
from edgec.targets.c.lower.stored_columns import stored_columns
from edgec.targets.c.lower.winograd import winograd_convs


def schedule_graph(graph: Graph, isa: Isa, memory: Memory, slots: int) -> list[Segment]:
    """`slots`: threads that may run a block with rings at the same time."""
    users, leaving = graph.users(), graph.output_values()
    winograd = winograd_convs(graph, isa)

    @cache
    def nbytes(value: Value) -> int:
        columns = stored_columns(value, users, leaving, winograd)
        if not columns:
            return value.type.nbytes
        view = row_view(value.type.dims)
        beside = view.images * view.rows * (columns.left + columns.right) * view.channels
        return value.type.nbytes + beside * value.type.numpy.itemsize

    row_ops = {op: fact for op in graph.ops if op not in winograd and (fact := row_op(op)) is not None}
    return make_schedule(Facts(graph.ops, users, leaving, row_ops, nbytes, memory, slots, 2.0 * _lanes(graph, isa)))


def _lanes(graph: Graph, isa: Isa) -> int:
    """Numbers that most of the graph's multiply-adds take at once."""
    halves = sum(macs_of(op) for op in graph.ops if op.results[0].type.dtype == "f16") if isa.half_lanes else 0
    bf16 = sum(macs_of(op) for op in graph.ops if op.arg(0).type.dtype == "bf16") if isa.bf16_products else 0
    if 2 * bf16 > total_macs(graph):
        return isa.bf16_products
    return isa.half_lanes if 2 * halves > total_macs(graph) else isa.lanes
