"""`--precision fp16`: which operators become halves, and what the receipt says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgec.graph_values import graph_values
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import macs_of
from edgec.ir.verify import verify_module
from edgec.passes.narrow_to_halves import LARGEST, NO_KERNEL, RANGE, REASONS, constants_beyond, is_float, narrow
from edgec.pipeline import run_pipeline
from edgec.targets.c.devices import Device
from edgec.targets.c.lower.halves import has_half_form

Array = np.ndarray[Any, Any]
HEADROOM = 4.0  # other inputs may bring larger values than the samples
NO_ARITHMETIC = "NO_FP16_ARITHMETIC"
STORED_ONLY = "this core has no arithmetic on halves: they are stored, and computed in float32"


def half_precision(module: Module, device: Device, samples: Sequence[Mapping[str, Array]]) -> dict[str, Any]:
    """Makes the module's graph, on which all passes have run, one of halves; what the receipt says of it."""
    (graph,) = module.entries.values()
    macs = sum(macs_of(op) for op in graph.ops)
    beyond = _values_beyond(graph, samples)

    def refusal(op: Op) -> str:
        if not has_half_form(op):
            return NO_KERNEL
        values = (op.result, *(v for v in op.inputs if v is not None))
        return RANGE if constants_beyond(graph, op) or not beyond.isdisjoint(values) else ""

    wide = narrow(graph, refusal)
    verify_module(module, after="narrow_to_halves")
    run_pipeline(module, ("merge_duplicates", "remove_dead_code"))
    halves = [op for op in graph.ops if op.kind != "cast" and any(v.type.dtype == "f16" for v in op.results)]
    narrowed = sum(macs_of(op) for op in halves)
    native = device.isa.half_lanes > 0
    return {
        "precision": "fp16",
        "arithmetic": "fp16" if native else "float32",
        "code": None if native else NO_ARITHMETIC,
        "why": None if native else STORED_ONLY,
        "operators_in_halves": len(halves),
        "operators_in_floats": dict(sorted(Counter(op.kind for op, _ in wide).items())),
        "refused": [
            {"op": f"{op.kind} {op.source}".strip(), "code": code, "why": REASONS[code]} for op, code in wide
        ],
        "macs_in_halves": narrowed,
        "macs_share": round(narrowed / macs, 4) if macs else 0.0,
    }  # fmt: skip


def _values_beyond(graph: Graph, samples: Sequence[Mapping[str, Array]]) -> set[Value]:
    """Values that some sample brings near to what halves cannot hold, or that are no numbers."""
    given = {s.input for s in graph.states} ^ set(graph.inputs)
    values = [v for v in (*given, *(op.result for op in graph.ops if is_float(op))) if v.type.dtype == "f32"]
    beyond: set[Value] = set()
    with graph_values(graph, values) as taps:
        for _, found in taps.stream(samples):
            beyond |= {v for v, array in found.items() if not np.all(np.abs(array) <= LARGEST / HEADROOM)}
    return beyond
