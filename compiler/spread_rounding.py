"""The policy for squares, roots, powers, exponentials and logarithms: bytes there may make most of the noise.

The square of a byte has twice as many bits, and a quotient, an exponential or a power spreads what it reads over orders
of magnitude: of a spectrum's power, 256 even steps tell the loudest lines apart and nothing else. Where floats in these
operators take away most of the noise, and cost little, they stay in floats, and so does what only lies between them.
"""

from __future__ import annotations

from collections.abc import Collection

from edgec.ir.graph import Graph, Op
from edgec.no_regret import share_of_cost
from edgec.rounding_policy import Policy
from edgec.targets.c.isa import Isa

MOST_COST = 0.05  # of all instructions on bytes, that they may cost more in floats
SPREAD_ROUNDING = Policy(
    "SPREAD_ROUNDING", "bytes here would make most of the noise at the outputs, and floats cost little",
    least_noise=0.4,
)  # fmt: skip
SPREADING = ("div", "exp", "log", "pow", "reciprocal", "rsqrt", "sqrt")


def spreads_to_spare(graph: Graph, chosen: Collection[Op], kept: Collection[Op], isa: Isa) -> list[Op]:
    """Squares and the like on bytes, where all of them in floats cost little."""
    found = [op for op in graph.ops if op in chosen and (op.kind in SPREADING or _squares(op))]
    return found if found and share_of_cost(graph, chosen, kept, found, isa) <= MOST_COST else []


def _squares(op: Op) -> bool:
    return op.kind == "mul" and op.arg(0) is op.arg(1)
