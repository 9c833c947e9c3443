"""Where bytes pay: operators that stay in floats because the device is predicted to be no faster on bytes.

Floats are halves where the device has arithmetic on them and halves hold what the operator makes. An operator has a
cost in either form (targets/c/narrow_costs.py), and a value costs something where floats and bytes meet: once for all
operators that want it in the other form. The cheapest choice of all together is a minimum cut
between floats and bytes (V. Kolmogorov and R. Zabih, "What Energy Functions Can Be Minimized via Graph Cuts?", 2004).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import networkx

from edgec.ir.graph import Graph, Op
from edgec.quantize import heavy, operators_on_bytes
from edgec.targets.c.isa import Isa
from edgec.targets.c.narrow_costs import decoding, encoding, in_floats, in_halves, is_winograd, on_bytes

HALVES_CHEAPER = "HALVES_CHEAPER"
REASONS = {
    HALVES_CHEAPER: "halves cost less here than bytes",
    "CONVERSION_BOUND": "what bytes save here is less than encoding and decoding around it cost",
    "NO_DOTPROD": "the core has no dot products of bytes, and without them bytes cost more",
    "REQUANT_BOUND": "its sums are so short that scaling them costs more than bytes save",
    "WINOGRAD_CHEAPER": "Winograd's algorithm in floats costs less than direct convolution on bytes",
}
_BYTES, _FLOATS = "bytes", "floats"  # the ends of the cut


@dataclass(frozen=True)
class Kept:
    """An operator in floats, or in `halves`; instructions are predicted, those on bytes without encoding and
    decoding."""

    op: Op
    code: str
    halves: bool
    wide: float
    bytes: float

    def facts(self) -> dict[str, Any]:
        return {
            "op": self.op.label, "code": self.code, "why": REASONS[self.code],
            f"instructions_in_{'halves' if self.halves else 'floats'}": round(self.wide),
            "instructions_on_bytes": round(self.bytes),
        }  # fmt: skip


def slower_on_bytes(graph: Graph, candidates: Collection[Op], isa: Isa, halves: Collection[Op] = ()) -> list[Kept]:
    """Of `candidates`, operators that could work on bytes, those that are left in floats, in order; of these, what is
    in `halves` is computed in such."""
    costs = {
        op: (in_halves(op, isa) if op in halves else in_floats(op, isa), on_bytes(op, isa))
        for op in graph.ops if op in candidates
    }  # fmt: skip
    _, (_, floats) = networkx.minimum_cut(_network(graph, costs, isa), _BYTES, _FLOATS)
    return [
        Kept(op, _code(op, *costs[op], isa, op in halves), op in halves, *costs[op]) for op in costs if op in floats
    ]


def predicted(graph: Graph, candidates: Collection[Op], chosen: Collection[Op], isa: Isa) -> float:
    """Instructions of all candidates, of which the chosen ones work on bytes; conversions where they meet included."""
    spent = sum(on_bytes(op, isa) if op in chosen else in_floats(op, isa) for op in graph.ops if op in candidates)
    users, leaving = graph.users(), graph.output_values()
    for value in graph.values():
        if value.const is not None or value.type.dtype != "f32":
            continue
        readers = users.get(value, [])
        narrow = [op in chosen for op in readers]
        if value.op in chosen and (value in leaving or not all(narrow)):
            spent += decoding(value.type.size, isa)
        if value.op not in chosen and any(narrow):
            spent += encoding(value.type.size, isa)
    return spent


def share_of_cost(
    graph: Graph, chosen: Collection[Op], kept: Collection[Op], spared: Collection[Op], isa: Isa
) -> float:
    """What it adds to the instructions of `chosen` on bytes that `spared` and what only leads to them are in floats, as
    `kept` are already."""
    every = operators_on_bytes(graph)
    before, after = (predicted(graph, every, c, isa) for c in (chosen, operators_on_bytes(graph, {*kept, *spared})))
    return after / before - 1.0 if before else 0.0


def _network(graph: Graph, costs: Mapping[Op, tuple[float, float]], isa: Isa) -> Any:
    """What lies with `bytes` after the cut works on bytes. An edge that is cut is paid; one without capacity cannot
    be. Of each value there is a node for its decoding and one for its encoding, which several readers share."""
    net = networkx.DiGraph()
    net.add_nodes_from((_BYTES, _FLOATS))

    def pay(source: Any, sink: Any, cost: float) -> None:
        known = net.edges[source, sink]["capacity"] if net.has_edge(source, sink) else 0.0
        net.add_edge(source, sink, capacity=known + cost)

    for op, (wide, narrow) in costs.items():
        pay(_BYTES, op, wide)
        pay(op, _FLOATS, narrow)
    users, leaving = graph.users(), graph.output_values()
    for value in graph.values():
        readers = users.get(value, [])
        maker = value.op if value.op in costs else None
        wanting = [op for op in readers if op in costs]
        if maker is not None:
            made = value, "decoded"
            pay(maker, made, decoding(value.type.size, isa))
            for op in wanting:
                net.add_edge(made, op)
            if value in leaving or len(wanting) < len(readers):
                net.add_edge(made, _FLOATS)
        for op in wanting:
            if heavy(op):
                net.add_edge(op, (value, "encoded"))
            elif maker is not None:
                net.add_edge(op, maker)  # works on the bytes of others only
        if any(heavy(op) for op in wanting):
            pay((value, "encoded"), maker or _FLOATS, encoding(value.type.size, isa))
    return net


def _code(op: Op, wide: float, narrow: float, isa: Isa, halves: bool) -> str:
    if narrow < wide:
        return "CONVERSION_BOUND"
    if halves and narrow < in_floats(op, isa):
        return HALVES_CHEAPER
    if is_winograd(op, isa):
        return "WINOGRAD_CHEAPER"
    return "REQUANT_BOUND" if isa.dot else "NO_DOTPROD"
