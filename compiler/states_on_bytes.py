"""States of recurrent operators in a graph of bytes: they become bytes at each step, with a scale that is found then,
where that is predicted to be faster and a bound holds with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from edgec.bounds import Bound, Loss
from edgec.graph_values import byte_here
from edgec.ir.copying import copy_module
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.macs import macs_of, macs_share
from edgec.ir.verify import verify_module
from edgec.passes.quantize_matmuls import quantize_matmuls, state_by_constants
from edgec.search import beyond_bound
from edgec.targets.c.devices import Device
from edgec.targets.c.isa import Isa
from edgec.targets.c.narrow_costs import state_in_floats, state_on_bytes
from edgec.within_bound import answers_of

Facts = dict[str, Any]
STATE_BOUND = "STATE_BOUND"
BOUND_BY_STATE = "its state is so small that making bytes of it, each step, costs more than products of bytes save"
BEYOND = "with bytes of its state, the model is beyond the bound"


def has_states(graph: Graph) -> bool:
    """Whether there are any that may be bytes."""
    return any(map(state_by_constants, graph.ops))


def slower_states(ops: Iterable[Op], isa: Isa, force: bool) -> dict[Op, Facts]:
    """Recurrent operators whose states do not pay as bytes, with what the receipt says of each; none with `force`."""
    predicted = {op: (state_in_floats(op, isa), state_on_bytes(op, isa)) for op in ops if state_by_constants(op)}
    return {
        op: {"op": op.label, "code": STATE_BOUND, "why": BOUND_BY_STATE, "instructions_in_floats": round(wide),
             "instructions_on_bytes": round(narrow)}
        for op, (wide, narrow) in predicted.items()
        if narrow >= wide and not force
    }  # fmt: skip


def states_on_bytes(
    module: Module, device: Device, here: Graph, facts: Facts, macs: int, bound: Bound | None, force: bool
) -> Facts:
    """Changes the module's graph, which is in integers but for what they have no form of; the `facts` that the receipt
    says of it, with what became of states. `here` is the same graph as this machine computes it, looked at
    where a bound is to hold with states; `macs` the model's."""
    (graph,) = module.entries.values()
    kept: dict[Op, Facts] = slower_states(graph.ops, device.isa, force)
    taken = [op for op in graph.ops if state_by_constants(op) and op not in kept]
    if taken and bound is not None:
        at = [i for i, op in enumerate(filter(state_by_constants, graph.ops)) if op in taken]
        loss = _loss(here, at, bound)
        if loss.within:
            facts = facts | {"search": {**facts["search"], "measured": dict(loss.facts)}}
        else:
            kept |= dict(zip(taken, beyond_bound(taken, BEYOND), strict=True))
            taken = []
    rows = {op.label: row for op, row in kept.items()}
    left: Counter[str] = Counter(facts["operators_in_floats"])
    left.subtract(op.kind for op in taken)
    on_bytes = {op.label for op in taken}
    narrow = facts["macs_on_bytes"] + sum(macs_of(op) for op in taken)
    quantize_matmuls(graph, device.isa.byte, chosen=taken)
    verify_module(module, after="quantize_matmuls")
    if "halves" in facts:
        refused = [row for row in facts["halves"]["refused"] if row["op"] not in on_bytes]
        facts = facts | {"halves": {**facts["halves"], "refused": refused}}
    return {
        **facts,
        "operators_on_bytes": facts["operators_on_bytes"] + len(taken),
        "operators_in_floats": dict(sorted((kind, n) for kind, n in left.items() if n)),
        "kept_in_floats": [rows.get(row["op"], row) for row in facts["kept_in_floats"] if row["op"] not in on_bytes],
        "macs_on_bytes": narrow,
        "macs_share": macs_share(narrow, macs),
        "states_on_bytes": [op.label for op in taken],
    }


def _loss(here: Graph, at: Iterable[int], bound: Bound) -> Loss:
    """With the states of these recurrent operators on bytes."""
    module, _ = copy_module(here.module)
    graph = module.entries[here.name]
    states = list(filter(state_by_constants, graph.ops))
    quantize_matmuls(graph, byte_here(), chosen=[states[i] for i in at])
    with answers_of(graph) as answer:
        return bound.loss(answer)
