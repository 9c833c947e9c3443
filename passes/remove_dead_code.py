"""Drops ops whose results nobody reads.

%1 = relu %x        %1 is not read        (gone)
"""

from __future__ import annotations

from edgec.ir.graph import Graph, Op


def remove_dead_code(graph: Graph) -> bool:
    live = graph.output_values()
    dead: list[Op] = []
    for op in reversed(graph.ops):
        if any(r in live for r in op.results):
            live.update(v for v in op.inputs if v is not None)
        else:
            dead.append(op)
    graph.remove(dead)
    return bool(dead)
