"""A bound on what int8-dynamic loses: matmuls and recurrent operators that disturb the outputs most stay in floats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.bounds import Loss
from edgec.graph_values import byte_here
from edgec.ir.copying import copy_module
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.quantize_matmuls import operators_on_rows, quantize_matmuls
from edgec.search import Step, least_steps
from edgec.sensitivity import interactions, most_disturbing_first
from edgec.within_bound import PROBED, MakeBound, answers_of

Array = np.ndarray[Any, Any]


def beyond_bound(
    graph: Graph, states_in_floats: Collection[Op], samples: Sequence[Mapping[str, Array]], bounded: MakeBound
) -> tuple[list[Op], dict[str, Any]]:
    """The operators that must stay in floats, as few as the order of what they disturb allows, and what the receipt
    says of the search. `states_in_floats` have floats for their states anyway. VerifyError where nothing keeps to the
    bound."""
    ops, byte = operators_on_rows(graph), byte_here()

    def narrow(copied: Graph, twins: Mapping[Op, Op], values: Mapping[Value, Value]) -> None:
        quantize_matmuls(copied, byte, [twins[op] for op in states_in_floats], twins.values())

    def measure(taken: Sequence[Step]) -> Loss:
        module, values = copy_module(graph.module)
        wide, left = {step.op for step in taken}, module.entries[graph.name]
        made = {op: twin for op in ops if (twin := values[op.results[0]].op) is not None}
        chosen = [twin for op, twin in made.items() if op not in wide]
        quantize_matmuls(left, byte, [made[op] for op in states_in_floats], chosen)
        with answers_of(left) as answer:
            return bound.loss(answer)

    products = interactions(graph, ops, narrow, samples[:PROBED])
    order = [ops[i] for i in most_disturbing_first(products)]
    disturbs = {op: float(np.sqrt(max(products[i, i], 0.0))) for i, op in enumerate(ops)}
    with answers_of(graph) as wide:
        bound = bounded(wide)
    found = least_steps([Step(op, "f32") for op in order], measure, bound)
    floats = [step.op for step in found.taken]
    layers = [
        {"op": op.label, "on_bytes": op not in floats, "disturbs": float(f"{disturbs[op]:.4g}")} for op in order
    ]
    return floats, {"search": {**found.facts(bound), "layers": layers}}
