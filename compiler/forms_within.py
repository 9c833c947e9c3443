"""Bounds on formats that are given operator by operator: fp16, bf16, int8-dynamic, fp8-e4m3, fp8-e5m2, w8 and w4.

Operators that multiply and disturb the outputs most get their next wider form, and floats at last, until the bound
holds; the others are in floats where all around them is. Where none multiplies, this goes for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgec.bounds import Loss, MakeBound
from edgec.calibration import Calibration
from edgec.ir.copying import copy_module, twin_of
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.macs import macs_of
from edgec.search import Step, least_steps, verdicts
from edgec.sensitivity import disturbing
from edgec.targets.c.devices import Device
from edgec.within_bound import answers_of

Form = Literal["i4", "i8", "e4m3", "e5m2", "f16", "bf16"]
Forms = Mapping[Op, Form]
Encode = Callable[[Graph, Forms], object]  # gives operators of a graph these forms, for this machine


@dataclass(frozen=True)
class Wanted:
    """A bound, and the samples that it is measured on. Of fp16, `core` is what adds halves (graph_values)."""

    data: Calibration
    bound: MakeBound
    core: Device | None = None


def forms_within(graph: Graph, forms: Forms, encode: Encode, wanted: Wanted) -> tuple[Forms, dict[str, Any]]:
    """As many of these forms as the bound allows, i8 for some of i4, none for operators in floats; and what the receipt
    says of the search. VerifyError where nothing keeps to the bound."""
    four = _disturbing(graph, {op: form for op, form in forms.items() if form == "i4"}, encode, wanted)
    eight = _disturbing(graph, {op: "i8" if form == "i4" else form for op, form in forms.items()}, encode, wanted)

    def measure(taken: Sequence[Step]) -> Loss:
        module, values = copy_module(graph.module)
        copied = module.entries[graph.name]
        encode(copied, {twin_of(op, values): form for op, form in _after(graph, forms, taken).items()})
        with answers_of(copied, wanted.core) as answer:
            return bound.loss(answer)

    with answers_of(graph) as wide:
        bound = wanted.bound(wide)
    found = least_steps([*(Step(op, "i8") for op in four), *(Step(op, "f32") for op in eight)], measure, bound)
    left = _after(graph, forms, found.taken)
    return left, {"search": {**found.facts(bound), "layers": verdicts(eight | four, left)}}


def _disturbing(graph: Graph, forms: Forms, encode: Encode, wanted: Wanted) -> dict[Op, float]:
    """Those that go by themselves, the most disturbing first, and what each alone changes the outputs by."""
    leading = _leading(forms)

    def narrow(copied: Graph, twins: Mapping[Op, Op], values: Mapping[Value, Value]) -> None:
        encode(copied, {twins[op]: forms[op] for op in leading})

    return disturbing(graph, leading, narrow, wanted.data.samples, wanted.core)


def _leading(forms: Forms) -> list[Op]:
    """The operators that multiply; all, where none does."""
    return [op for op in forms if macs_of(op)] or list(forms)


def _after(graph: Graph, forms: Forms, taken: Sequence[Step]) -> Forms:
    """What the steps leave."""
    wider: dict[Op, Form | Literal["f32"]] = {**forms, **{step.op: step.to for step in taken}}
    left = {op: form for op, form in wider.items() if form != "f32"}
    leading = set(_leading(forms))
    others = [op for op in forms if op not in leading]
    users = graph.users()
    for op in others:
        _leave(op, {v.op for v in op.inputs if v is not None and v.op in forms}, left)
    for op in reversed(others):
        _leave(op, {user for result in op.results for user in users.get(result, ()) if user in forms}, left)
    return left


def _leave(op: Op, around: Collection[Op | None], left: dict[Op, Form]) -> None:
    """Takes the form of an operator where none of those around it has one."""
    if around and not any(other in left for other in around):
        left.pop(op, None)
