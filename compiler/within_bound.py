"""Bytes within a bound: what disturbs the outputs most is made wider, until what is lost is allowed.

Weights of four bits become bytes first; where that is not enough, operators stay in floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from edgec.bounds import Answer, Bound, Loss, MakeBound
from edgec.graph_values import byte_here, graph_values
from edgec.int8_trials import Trials, in_integers
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.lower_requant import requantise
from edgec.quantize import EncodeWeights, encode_values, heavy, nearest, operators_on_bytes
from edgec.search import Step, beyond_bound, least_steps, verdicts
from edgec.sensitivity import disturbing
from edgec.static_steps import Choice, Seen
from edgec.targets.c.devices import Device

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]
ON_BYTES = "on bytes, it would take the model beyond the bound"  # in halves it may keep to it


def bound_of(graph: Graph, bounded: MakeBound | None) -> Bound | None:
    """The bound of what the graph in floats answers, if there is one."""
    if bounded is None:
        return None
    with answers_of(graph) as wide:
        return bounded(wide)


def within_bound(seen: Seen, start: Choice, bound: Bound | None) -> tuple[Choice, dict[str, Any]]:
    """What keeps to the bound, made as the best trial of `start` was, and what the receipt says of the search.
    VerifyError where nothing keeps to it."""
    if bound is None:
        return start, {}
    graph, coded = seen.graph, start.trials.coded
    ops = [op for op in graph.ops if op in start.trials.chosen and heavy(op)]
    four = _disturbing(seen, start, [op for op in ops if op in coded], coded)
    eight = _disturbing(seen, start, ops, {})
    made: dict[int, Choice] = {}

    def measure(taken: Sequence[Step]) -> Loss:
        made[len(taken)] = _wider(seen, start, taken) if taken else start
        with answering(made[len(taken)].trials) as answer:
            return bound.loss(answer)

    found = least_steps([*(Step(op, "i8") for op in four), *(Step(op, "f32") for op in eight)], measure, bound)
    choice = made[len(found.taken)]
    forms = {op: "i4" if op in choice.trials.coded else "i8" for op in choice.trials.chosen}
    return choice, {"search": {**found.facts(bound), "layers": verdicts(eight | four, forms)}}


def _disturbing(
    seen: Seen, start: Choice, ops: Sequence[Op], coded: Mapping[Op, EncodeWeights]
) -> dict[Op, float]:
    """The operators, the most disturbing first, and what each alone changes the outputs by."""
    byte, ranges = byte_here(), seen.ranges[start.trials.best.observer]

    def narrow(copied: Graph, twins: Mapping[Op, Op], values: Mapping[Value, Value]) -> None:
        encode_values(
            copied, twins.values(), {values[v]: found for v, found in ranges.items()}, byte, nearest, {},
            {twins[op]: coded[op] for op in ops if op in coded},
        )  # fmt: skip
        requantise(copied, byte)

    return disturbing(seen.graph, ops, narrow, seen.data.samples)


def _wider(seen: Seen, start: Choice, taken: Sequence[Step]) -> Choice:
    """After these steps."""
    trials = start.trials
    floats = [step.op for step in taken if step.to == "f32"]
    chosen = operators_on_bytes(seen.graph, {*floats, *start.fixed})
    eight = {step.op for step in taken if step.to == "i8"}
    coded = {op: encode for op, encode in trials.coded.items() if op in chosen and op not in eight}
    made = Trials(seen.graph, chosen, trials.byte, trials.samples, trials.judge, coded)
    seen.encode(made, [trials.best.observer])
    if trials.best.way is not None:
        made.settle_as(trials.best.way, made.best)
    return replace(start, trials=made, kept=[*start.kept, *beyond_bound(floats, ON_BYTES)])


@contextmanager
def answering(trials: Trials) -> Iterator[Answer]:
    """The best trial, in the integers that ship."""
    with answers_of(in_integers(trials.best.module, trials.graph.name)) as answer:
        yield answer


@contextmanager
def answers_of(graph: Graph, core: Device | None = None) -> Iterator[Answer]:
    """What the graph answers, built for this machine; `core`: graph_values'."""
    values = [v for _, v in graph.outputs if v.const is None]
    with graph_values(graph, dict.fromkeys(values), core=core) as taps:

        def answer(feeds: Feeds) -> list[Array]:
            found = taps(feeds)
            return [found[v] for v in values]

        yield answer
