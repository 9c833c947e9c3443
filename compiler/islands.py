"""Float islands of a graph on bytes: where floats that were computed become bytes, the last bit may decide a byte.

An artifact that computes such bytes is checked in two halves. The bytes that its own kernels make at the end of each
island are at most a step from the interpreter's, or as near as sums in halves are where there are such; and from those
very bytes on, the interpreter must come to the same results. For this the graph is built once more with the islands'
ends, and what steps read (edgec.steps), as outputs beside its own: kernels give the same bits there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from edgec.build_facts import ports_of
from edgec.graph_values import session_of, tapped
from edgec.ir import interp
from edgec.ir.graph import Graph, Value
from edgec.plan.schedule import Segment
from edgec.runtime.session import Session
from edgec.steps import Steps
from edgec.targets.c.build import Platform, make_plan
from edgec.targets.c.devices import Device
from edgec.targets.c.emit import Identity

Array = np.ndarray[Any, Any]
MOST_STEPS = 1  # that a byte may be off
_MOVES = ("pad", "reshape", "slice", "transpose")
# a graph whose outputs are what is to be seen -> an artifact of it
Open = Callable[[Graph], AbstractContextManager[Session]]


def island_ends(graph: Graph) -> list[Value]:
    """Bytes that are made of computed floats, in order."""
    return [op.result for op in graph.ops if op.kind == "quantize" and computed(op.arg(0))]


def computed(value: Value) -> bool:
    """Made by arithmetic, not only moved from an input or out of bytes."""
    while value.op is not None and value.op.kind in _MOVES:
        value = value.op.arg(0)
    return value.op is not None


def has_halves(graph: Graph) -> bool:
    """Something is computed in halves, whose last bit is a hundred times what that of a float is."""
    return any(v.type.dtype == "f16" for op in graph.ops for v in op.results)


class Islands:
    """`run` is what the outputs mean for inputs, given the artifact's own bytes at `ends` of islands and its floats at
    `operands` of steps. Bytes that are more than a step off are right if their signal to noise is `least_db`."""

    def __init__(
        self, graph: Graph, ends: Sequence[Value], operands: Sequence[Value], names: Mapping[Value, str],
        session: Session, least_db: float,
    ) -> None:  # fmt: skip
        self._graph, self._ends, self._names, self._session, self._least_db = graph, ends, names, session, least_db
        self._steps = Steps(graph, operands, least_db)
        self._operands = set(operands)
        self._zeros = {v: _zero(graph, v) for v in ends}
        self._noise = dict.fromkeys(ends, 0.0)
        self._signal = dict.fromkeys(ends, 0.0)
        self.largest_step = self.off = self.bytes = 0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self._session.reset()
        made = dict(zip([t.name for t in self._session.outputs], self._session.run(None, feeds), strict=True))
        self._steps.begin(feeds)

        def given(value: Value, meant: Array) -> Array:
            if value in self._zeros:
                found = made[self._names[value]]
                self._judge(value, found, meant)
                return found
            if value in self._operands:
                found = made[self._names[value]]
                self._steps.read(value, found, meant)
                return found
            self._steps.made(value, meant)
            return meant

        return interp.run(self._graph, feeds, given=given)

    def _judge(self, end: Value, found: Array, meant: Array) -> None:
        steps = np.abs(found.astype(np.int64) - meant.astype(np.int64))
        self.largest_step = max(self.largest_step, int(steps.max(initial=0)))
        self.off += int(np.count_nonzero(steps))
        self.bytes += steps.size
        self._noise[end] += float(np.sum(steps**2))
        self._signal[end] += float(np.sum((meant.astype(np.float64) - self._zeros[end]) ** 2))

    def facts(self) -> dict[str, Any]:
        """For the receipt, over all inputs so far: of islands and of steps, where there are any."""
        islands = {"float_islands": self._of_islands()} if self._ends else {}
        return islands | ({"steps": self._steps.facts()} if self._operands else {})

    def _of_islands(self) -> dict[str, Any]:
        noisiest = min(self._db(v) for v in self._ends)
        return {"islands": len(self._ends), "bytes": self.bytes, "bytes_off": self.off,
                "largest_step": self.largest_step,
                "least_signal_to_noise_db": round(noisiest, 2) if math.isfinite(noisiest) else None,
                "pass": self.largest_step <= MOST_STEPS or noisiest >= self._least_db}  # fmt: skip

    def _db(self, value: Value) -> float:
        """Of the bytes of an island's end."""
        noise, signal = self._noise[value], self._signal[value]
        return 10 * math.log10(max(signal, 1.0) / noise) if noise else math.inf


def _zero(graph: Graph, end: Value) -> Array:
    """The zero point of an island's end; 0 where it is not one known number."""
    assert end.op is not None
    zero = end.op.arg(2)
    return graph.array(zero).astype(np.float64) if zero.const is not None and not zero.type.rank else np.zeros(())


@contextmanager
def islands_of(
    graph: Graph, ends: Sequence[Value], operands: Sequence[Value], opened: Open, least_db: float
) -> Iterator[Islands]:
    leaving = [v for _, v in graph.outputs if v.op is not None]
    with tapped(graph, list(dict.fromkeys([*ends, *operands, *leaving]))) as names:
        artifact = opened(graph)
    with artifact as session:
        yield Islands(graph, ends, operands, names, session, least_db)


def opener(
    device: Device, platform: Platform, identity: Identity, manifest: Mapping[str, Any], runner: str | None,
    segments: Sequence[Segment] = (),
) -> Open:  # fmt: skip
    """Builds for the artifact's own target and runs where that is verified. `segments` are those of the artifact."""

    def opened(graph: Graph) -> AbstractContextManager[Session]:
        plan = make_plan(graph, device, "seen", 1, _kept(segments, graph))
        stated = {**manifest, "name": "seen", "outputs": ports_of(plan.outputs), "weights": "linked",
                  "scratch_bytes": plan.scratch_bytes, "states": ports_of(plan.states),
                  "state_bytes": plan.state_bytes, "weights_bytes": len(plan.weights)}  # fmt: skip
        return session_of(plan, device, platform, identity, stated, runner)

    return opened


def _kept(segments: Sequence[Segment], graph: Graph) -> list[Segment] | None:
    """The artifact's own blocks, so that slices, which decide the last bits of sums in halves, are the same; a block
    with a value inside that is to be seen is done operator by operator. None where the graph has other operators."""
    if [op for segment in segments for op in segment.ops] != graph.ops:
        return None
    leaving = graph.output_values()
    kept: list[Segment] = []
    for segment in segments:
        seen = any(v in leaving for op in segment.ops[:-1] for v in op.results)
        kept += [Segment((op,), 0) for op in segment.ops] if seen else [segment]
    return kept
