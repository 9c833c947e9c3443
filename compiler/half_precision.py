"""`--precision fp16`: which operators become halves, and what the receipt says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import inf, isfinite
from typing import Any

import numpy as np

from edgec.forms_within import Forms, Wanted, forms_within
from edgec.graph_values import graph_values
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.verify import verify_module
from edgec.passes.narrow_to_halves import (
    LARGEST,
    NO_KERNEL,
    RANGE,
    REASONS,
    constants_beyond,
    halves_hold,
    is_float,
    narrow,
)
from edgec.pipeline import run_pipeline
from edgec.search import CODE as BEYOND
from edgec.search import REASON as BEYOND_WHY
from edgec.targets.c.devices import Device
from edgec.targets.c.lower.halves import has_half_form
from edgec.targets.c.lower.winograd import has_winograd_form

Array = np.ndarray[Any, Any]
HEADROOM = 4.0  # other inputs may bring larger values than the samples
WINOGRAD = 20.25  # what the transform of F(4) may make of the largest value of a tile: (1 + 2.5 + 1)^2
WHY = {**REASONS, BEYOND: BEYOND_WHY}
NO_ARITHMETIC = "NO_FP16_ARITHMETIC"
STORED_ONLY = "this core has no arithmetic on halves: they are stored, and computed in float32"


def half_precision(
    module: Module, device: Device, samples: Sequence[Mapping[str, Array]], wanted: Wanted | None = None
) -> dict[str, Any]:  # fmt: skip
    """Makes the module's graph, on which all passes have run, one of halves; what the receipt says of it. What takes
    the model beyond a bound stays in floats."""
    (graph,) = module.entries.values()
    native = device.isa.half_lanes > 0
    refusal = refusals(graph, largest_values(graph, samples))
    codes = {op: refusal(op) for op in graph.ops if is_float(op)}
    searched: dict[str, Any] = {}
    if wanted is not None:
        forms: Forms = {op: "f16" for op, code in codes.items() if not code}
        left, searched = forms_within(graph, forms, _encode, wanted)
        codes |= {op: BEYOND for op in forms if op not in left}
    return {
        "precision": "fp16",
        "arithmetic": "fp16" if native else "float32",
        "code": None if native else NO_ARITHMETIC,
        "why": None if native else STORED_ONLY,
        **searched,
        **narrow_floats(module, codes.__getitem__),
    }


def _encode(graph: Graph, forms: Forms) -> None:
    narrow(graph, lambda op: "" if op in forms else BEYOND)


def narrow_floats(module: Module, refusal: Callable[[Op], str]) -> dict[str, Any]:
    """Narrows the operators on floats that have no code; what the receipt says of all of them."""
    (graph,) = module.entries.values()
    macs = total_macs(graph)
    wide = narrow(graph, refusal)
    verify_module(module, after="narrow_to_halves")
    run_pipeline(module, ("merge_duplicates", "remove_dead_code"))
    halves = [op for op in graph.ops if op.kind != "cast" and any(v.type.dtype == "f16" for v in op.results)]
    narrowed = sum(macs_of(op) for op in halves)
    return {
        "operators_in_halves": len(halves),
        "operators_in_floats": dict(sorted(Counter(op.kind for op, _ in wide).items())),
        "refused": [{"op": op.label, "code": code, "why": WHY[code]} for op, code in wide],
        "macs_in_halves": narrowed,
        "macs_share": macs_share(narrowed, macs),
    }


def refusals(graph: Graph, largest: Mapping[Value, float]) -> Callable[[Op], str]:
    """The code of an operator that is not to be in halves; empty: it may be. `largest` is the magnitude of each value
    that is float32."""

    def refusal(op: Op) -> str:
        if not has_half_form(op):
            return NO_KERNEL
        growth = WINOGRAD if has_winograd_form(op) else 1.0
        values = (op.result, *(v for v in op.inputs if v is not None))
        held = all(largest.get(v, 0.0) * growth * HEADROOM <= LARGEST for v in values)
        return "" if held and not constants_beyond(graph, op) else RANGE

    return refusal


def largest_values(graph: Graph, samples: Sequence[Mapping[str, Array]]) -> dict[Value, float]:
    """The largest magnitude of each value that is float32; infinite where halves hold it no better than that."""
    given = {s.input for s in graph.states} ^ set(graph.inputs)
    made = (op.result for op in graph.ops if is_float(op) or op.kind == "dequantize")
    values = [v for v in (*given, *made) if v.type.dtype == "f32"]
    largest: dict[Value, float] = {}
    with graph_values(graph, values) as taps:
        for _, found in taps.stream(samples):
            for value, array in found.items():
                most = float(np.abs(array).max(initial=0.0)) if halves_hold(array) else inf
                largest[value] = max(largest.get(value, 0.0), most if isfinite(most) else inf)
    return largest
