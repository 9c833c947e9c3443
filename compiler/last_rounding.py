"""The last operators' policy: rounding in front of the last products goes straight to the model's outputs.

No later operator averages it out, and of a classifier's products there are few. Where floats there take away a good
part of the noise and cost next to nothing in instructions and in bytes of weights, the last products stay in floats,
and so does what only leads to them. Sums of many bytes behind the last products on bytes, such as a global mean, are
floats as they are; what they read stays in floats on the same terms.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from edgec.ir.graph import Graph, Op
from edgec.no_regret import share_of_cost
from edgec.quantize import SUMS, heavy
from edgec.rounding_policy import Policy
from edgec.targets.c.isa import Isa

MOST_COST = 0.02  # of all instructions on bytes, that they may cost more in floats
MOST_BYTES = 0.05  # of all weights on bytes, that theirs may take more in floats
LAST_ROUNDING = Policy(
    "LAST_ROUNDING", "bytes here would make much of the noise at the outputs, and floats cost next to nothing",
    least_noise=0.1,
)  # fmt: skip


def last_products(graph: Graph, chosen: Collection[Op], kept: Collection[Op], isa: Isa) -> list[Op]:
    """Convolutions and matmuls on bytes that no other is behind, where all of them in floats cost next to nothing."""
    products = [op for op in graph.ops if op in chosen and heavy(op)]
    found = _behind_products(graph, chosen, products)
    more = sum(op.arg(1).type.nbytes - op.arg(1).type.size for op in found)
    if not found or more > MOST_BYTES * sum(op.arg(1).type.size for op in products):
        return []
    return found if share_of_cost(graph, chosen, kept, found, isa) <= MOST_COST else []


def last_sums(graph: Graph, chosen: Collection[Op], kept: Collection[Op], isa: Isa) -> list[Op]:
    """Sums of bytes that no product on bytes is behind, where all of them in floats cost next to nothing."""
    found = _behind_products(graph, chosen, [op for op in graph.ops if op in chosen and op.kind in SUMS])
    return found if found and share_of_cost(graph, chosen, kept, found, isa) <= MOST_COST else []


def _behind_products(graph: Graph, chosen: Collection[Op], ops: Sequence[Op]) -> list[Op]:
    """Those of `ops` that do not lead to products on bytes."""
    users = graph.users()
    leading: set[Op] = set()
    for op in reversed(graph.ops):
        readers = [user for result in op.results for user in users.get(result, ())]
        if any(user in leading or (user in chosen and heavy(user)) for user in readers):
            leading.add(op)
    return [op for op in ops if op not in leading]
