"""Bounds on formats that are given operator by operator: int8-dynamic, fp8-e4m3, fp8-e5m2, w8 and w4.

Operators that disturb the outputs most get their next wider form, and floats at last, until the bound holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgec.bounds import Loss, MakeBound
from edgec.calibration import Calibration
from edgec.ir.copying import copy_module, twin_of
from edgec.ir.graph import Graph, Op, Value
from edgec.search import Step, least_steps, verdicts
from edgec.sensitivity import disturbing
from edgec.within_bound import answers_of

Form = Literal["i4", "i8", "e4m3", "e5m2"]
Forms = Mapping[Op, Form]
Encode = Callable[[Graph, Forms], object]  # gives operators of a graph these forms, for this machine


@dataclass(frozen=True)
class Wanted:
    """A bound, and the samples that it is measured on."""

    data: Calibration
    bound: MakeBound


def forms_within(graph: Graph, forms: Forms, encode: Encode, wanted: Wanted) -> tuple[Forms, dict[str, Any]]:
    """As many of these forms as the bound allows, i8 for some of i4, none for operators in floats; and what the receipt
    says of the search. VerifyError where nothing keeps to the bound."""
    four = _disturbing(graph, {op: form for op, form in forms.items() if form == "i4"}, encode, wanted)
    eight = _disturbing(graph, {op: "i8" if form == "i4" else form for op, form in forms.items()}, encode, wanted)

    def measure(taken: Sequence[Step]) -> Loss:
        module, values = copy_module(graph.module)
        copied = module.entries[graph.name]
        encode(copied, {twin_of(op, values): form for op, form in _after(forms, taken).items()})
        with answers_of(copied) as answer:
            return bound.loss(answer)

    with answers_of(graph) as wide:
        bound = wanted.bound(wide)
    found = least_steps([*(Step(op, "i8") for op in four), *(Step(op, "f32") for op in eight)], measure, bound)
    left = _after(forms, found.taken)
    return left, {"search": {**found.facts(bound), "layers": verdicts(eight | four, left)}}


def _disturbing(graph: Graph, forms: Forms, encode: Encode, wanted: Wanted) -> dict[Op, float]:
    """The operators, the most disturbing first, and what each alone changes the outputs by."""

    def narrow(copied: Graph, twins: Mapping[Op, Op], values: Mapping[Value, Value]) -> None:
        encode(copied, {twins[op]: form for op, form in forms.items()})

    return disturbing(graph, list(forms), narrow, wanted.data.samples)


def _after(forms: Forms, taken: Sequence[Step]) -> Forms:
    """What the steps leave."""
    wider: dict[Op, Form | Literal["f32"]] = {**forms, **{step.op: step.to for step in taken}}
    return {op: form for op, form in wider.items() if form != "f32"}
