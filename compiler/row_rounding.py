"""The policy for norms, softmax and attention: bytes there may make most of the noise at a model's outputs.

A norm divides by the spread of its row: where a few channels are large, the bytes of all others are few steps apart.
Where floats in these operators take away most of the noise, and cost little, they stay in floats, and so does what only
lies between them.
"""

from __future__ import annotations

from collections.abc import Collection

from edgec.ir.graph import Graph, Op
from edgec.no_regret import share_of_cost
from edgec.quantize import ROWS
from edgec.rounding_policy import Policy
from edgec.targets.c.isa import Isa

MOST_COST = 0.05  # of all instructions on bytes, that they may cost more in floats
ROW_ROUNDING = Policy(
    "ROW_ROUNDING", "bytes here would make most of the noise at the outputs, and floats cost little",
    least_noise=0.4,
)  # fmt: skip


def rows_to_spare(graph: Graph, chosen: Collection[Op], kept: Collection[Op], isa: Isa) -> list[Op]:
    """Norms, softmax and attention on bytes, where all of them in floats cost little."""
    rows = [op for op in graph.ops if op in chosen and op.kind in ROWS]
    if not rows:
        return []
    return rows if share_of_cost(graph, chosen, kept, rows, isa) <= MOST_COST else []
