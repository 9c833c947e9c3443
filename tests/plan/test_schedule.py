"""Where time and memory part: what a byte of the peak may cost."""

from __future__ import annotations

import pytest

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.rows import SAME
from edgec.ir.types import Type
from edgec.plan.candidates import Facts, RowOp
from edgec.plan.cost import Memory
from edgec.plan.schedule import make_schedule

L1 = 1 << 20


@pytest.mark.parametrize(("l2", "segments"), [(L1, 2), (0, 1)])
def test_a_peak_within_the_cache_is_cheaper(l2: int, segments: int) -> None:
    """Two operators, 1 KiB between them. A block keeps a quarter of it and calls each in four passes, about 1,000
    cycles more: too many for what fits into the core's own cache, not for what does not."""
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, 64, 4)))
    y = b.op("relu", x)
    z = b.op("relu", y)
    graph.outputs.append(("z", z))
    rows = {op: RowOp(64, ((op.arg(0), SAME),), 1) for op in graph.ops}
    facts = Facts(graph.ops, graph.users(), {z}, rows, lambda value: value.type.nbytes, Memory(L1, l2))
    assert len(make_schedule(facts)) == segments
