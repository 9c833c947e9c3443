"""`--precision int8` on a core with arithmetic on halves: what is not on bytes is in halves where these hold it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import networkx
import numpy as np

from edgec.half_precision import largest_values, narrow_floats, refusals
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.passes.narrow_to_halves import CAST_BOUND, is_float, makes_bytes
from edgec.targets.c.devices import Device
from edgec.targets.c.isa import Isa
from edgec.targets.c.narrow_costs import casting, in_floats, in_halves

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]


def held_by_halves(graph: Graph, ops: Collection[Op], samples: Sequence[Feeds]) -> set[Op]:
    """Of the operators of a graph of floats, those that may be computed in halves."""
    refusal = refusals(graph, largest_values(graph, samples))
    return {op for op in ops if is_float(op) and not refusal(op)}


def halves_beside_bytes(module: Module, device: Device, here: Graph, samples: Sequence[Feeds]) -> dict[str, Any]:
    """Narrows what floats there are in the module's graph of integers; what the receipt says of it. `here` is the same
    graph with this machine's bytes, which it can compute."""
    (graph,) = module.entries.values()
    twins = dict(zip(_values(graph), _values(here), strict=True))
    found = largest_values(here, samples)
    refusal = refusals(graph, {v: found[twin] for v, twin in twins.items()})
    able = {op for op in graph.ops if is_float(op) and not refusal(op)}
    bound = {op for part in _parts(graph, able) if not _pays(graph, part, device.isa) for op in part}
    facts = narrow_floats(module, lambda op: CAST_BOUND if op in bound else refusal(op))
    return {"precision": "fp16", "code": None, **facts}


def _parts(graph: Graph, able: Collection[Op]) -> list[set[Op]]:
    """Operators that hand floats to each other."""
    net = networkx.Graph()
    net.add_nodes_from(op for op in graph.ops if op in able)
    net.add_edges_from((v.op, op) for op in able for v in op.inputs if v is not None and v.op in able)
    return [set(part) for part in networkx.connected_components(net)]


def _pays(graph: Graph, part: Collection[Op], isa: Isa) -> bool:
    """What halves save is more than what casts between them and floats cost. Bytes take and give either."""
    users, leaving = graph.users(), graph.output_values()
    read = {v for op in part for v in op.inputs if v is not None and v.const is None and v.op not in part}
    cast = {v for v in read if v.type.dtype == "f32" and (v.op is None or v.op.kind != "dequantize")}
    for op in part:
        others = [user for user in users.get(op.result, ()) if user not in part and not makes_bytes(user)]
        if others or op.result in leaving:
            cast.add(op.result)
    saved = sum(in_floats(op, isa) - in_halves(op, isa) for op in part)
    return saved > sum(casting(v.type.size, isa) for v in cast)


def _values(graph: Graph) -> list[Value]:
    """Values of float32, in order: inputs, and what operators make."""
    made = [v for op in graph.ops if is_float(op) or op.kind == "dequantize" for v in op.results]
    return [v for v in (*graph.inputs, *made) if v.type.dtype == "f32"]
