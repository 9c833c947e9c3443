"""Graphs of narrower arithmetic than the model's, and how an artifact is judged by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edgec.ir import interp
from edgec.ir.graph import Graph, Value
from edgec.ir.ops.recurrent import BYTE_GATES
from edgec.islands import Open, has_halves, island_ends, islands_of
from edgec.paired import level_db, signal_to_noise
from edgec.receipt import compare, worse
from edgec.steps import step_operands

Array = np.ndarray[Any, Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]

HALVES_DB = 30.0  # signal to noise that sums in halves must keep: their rounding alone leaves 34 and more
BF16_DB = 30.0  # the same where sums in float32 are rounded to bf16: rounding alone leaves as much of a model
BYTES_DB = 30.0  # signal to noise that outputs must keep where bytes are made of sums of floats
SAME_FLOAT8 = "edgec's interpreter with the same 8-bit floats"
SAME_INTEGERS = "edgec's interpreter on the same integers"
SAME_HALVES = "edgec's interpreter on the same halves"
SAME_BF16 = "edgec's interpreter on the same numbers of bf16"
SAME_WEIGHTS = "edgec's interpreter with the same weights"


@dataclass(frozen=True)
class Narrowed:
    """The artifact must compute what the graph means, within the tolerance or this signal to noise; how far that is
    from the model is stated, not judged."""

    graph: Graph
    label: str
    least_db: float = math.inf

    @contextmanager
    def meaning(self, opened: Open) -> Iterator[tuple[Run, Callable[[], dict[str, Any]]]]:
        """What outputs mean for inputs, and afterwards what the receipt says of float islands and steps, if there are
        any."""
        ends, operands = island_ends(self.graph), self.operands()
        if not ends and not operands:
            yield partial(interp.run, self.graph), dict
            return
        with islands_of(self.graph, ends, operands, opened, self.least_db) as islands:
            yield islands.run, islands.facts

    def operands(self) -> list[Value]:
        """Of steps, where numbers need not be those of the interpreter."""
        return step_operands(self.graph) if math.isfinite(self.least_db) else []


def own_least_db(graph: Graph) -> float:
    """The signal to noise that a model as it is must keep. Halves of its own are rounded after every operator;
    onnxruntime leaves most of these roundings out on a CPU, since it computes such operators in float32."""
    halves = any(v.type.dtype in ("f16", "bf16") for op in graph.ops for v in op.results)
    return HALVES_DB if halves else math.inf


def on_integers(graph: Graph) -> Narrowed:
    """Bit for bit, but for floats and what becomes of them (edgec.islands); halves are judged as such, and so are
    recurrent operators where the last bit of a state may decide a byte."""
    if any(op.kind in BYTE_GATES for op in graph.ops):
        return Narrowed(graph, SAME_INTEGERS, BYTES_DB)
    return Narrowed(graph, SAME_INTEGERS, HALVES_DB if has_halves(graph) else math.inf)


def in_halves(graph: Graph) -> Narrowed:
    """As near as sums in halves are: the interpreter rounds once an operator, kernels each time they add."""
    return Narrowed(graph, SAME_HALVES, HALVES_DB)


def in_bf16(graph: Graph) -> Narrowed:
    """Sums are those of floats, nearly; the last bit of one decides here and there what a number is rounded to."""
    return Narrowed(graph, SAME_BF16, BF16_DB)


def with_coded_weights(graph: Graph) -> Narrowed:
    """As floats are judged: kernels multiply the very floats that the codes stand for."""
    return Narrowed(graph, SAME_WEIGHTS)


def on_float8(graph: Graph) -> Narrowed:
    """As near as the same bytes: the last bit of a sum of floats decides one here and there."""
    return Narrowed(graph, SAME_FLOAT8, BYTES_DB)


def on_rows(graph: Graph) -> Narrowed:
    """Where scales are found at run time, the last bit of a float may decide a byte, too."""
    return Narrowed(graph, SAME_INTEGERS, BYTES_DB)


def judged_together(pairs: Sequence[tuple[Array, Array]], least_db: float, asked_db: float) -> dict[str, Any]:
    """One output on several inputs: the worst of them by `compare`; where that fails, the noise of all of them together
    is what counts. `asked_db` is `least_db`, or less where the graph itself leaves less (byte_noise.py)."""
    result: dict[str, Any] | None = None
    for found, expected in pairs:
        result = worse(result, compare(found, expected))
        if "reason" in result:
            return result
    assert result is not None
    if not result["pass"] and "max_abs_error" in result and np.isfinite(asked_db):
        noise = signal_to_noise(*together(pairs))
        result |= {"pass": noise >= asked_db, "signal_to_noise_db": level_db(noise)}
        if asked_db < least_db:
            result["asked_db"] = round(asked_db, 2)
    return result


def together(pairs: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Both sides of all pairs, as one array each."""
    found, expected = (np.concatenate([x.ravel() for x in side]) for side in zip(*pairs, strict=True))
    return found, expected


def judged(found: Array, expected: Array, least_db: float) -> dict[str, Any]:
    """As `compare`; where that fails, numbers may differ by so little noise."""
    return judged_together([(found, expected)], least_db, least_db)
