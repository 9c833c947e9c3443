"""One walk over a graph in order that puts other ops in the place of some: what layout passes and sinking share.

Each op is seen with its operands as they are by then, so that what was moved below one op meets the next.
"""

from __future__ import annotations

from collections.abc import Callable

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value


def sweep(graph: Graph, form: Callable[[Builder, Op], Value | None]) -> bool:
    """`form` builds what takes the place of an op's only result, or gives None and has built nothing that is read."""
    old, graph.ops = graph.ops, []
    renamed: dict[Value, Value] = {}
    for op in old:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        made = form(Builder(graph, source=op.source), op)
        if made is None:
            graph.ops.append(op)
        else:
            renamed[op.result] = made
    graph.replace_leaving(renamed)
    return bool(renamed)
