"""Float islands of a graph on bytes: where floats that were computed become bytes, the last bit may decide a byte.

An artifact that computes such bytes is checked in two halves. The bytes that its own kernels make at the end of each
island are at most a step from the interpreter's, or as near as sums in halves are where there are such; and from those
very bytes on, the interpreter must come to the same results. For this the graph is built once more with the islands'
ends as outputs: kernels give the same bits there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from edgec.build_facts import ports_of
from edgec.graph_values import session_of, tapped
from edgec.ir import interp
from edgec.ir.graph import Graph, Value
from edgec.runtime.session import Session
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
    """`run` is what the outputs mean for inputs, given the artifact's own bytes at the end of islands. Bytes that are
    more than a step off are right if their signal to noise is `least_db`."""

    def __init__(self, graph: Graph, names: Mapping[Value, str], session: Session, least_db: float) -> None:
        self._graph, self._names, self._session, self._least_db = graph, names, session, least_db
        self._zeros = {v: _zero(graph, v) for v in names}
        self._noise = dict.fromkeys(names, 0.0)
        self._signal = dict.fromkeys(names, 0.0)
        self.largest_step = self.off = self.bytes = 0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self._session.reset()
        made = dict(zip([t.name for t in self._session.outputs], self._session.run(None, feeds), strict=True))

        def given(value: Value, meant: Array) -> Array:
            if value not in self._names:
                return meant
            found = made[self._names[value]]
            steps = np.abs(found.astype(np.int64) - meant.astype(np.int64))
            self.largest_step = max(self.largest_step, int(steps.max(initial=0)))
            self.off += int(np.count_nonzero(steps))
            self.bytes += steps.size
            self._noise[value] += float(np.sum(steps**2))
            self._signal[value] += float(np.sum((meant.astype(np.float64) - self._zeros[value]) ** 2))
            return found

        return interp.run(self._graph, feeds, given=given)

    def facts(self) -> dict[str, Any]:
        """For the receipt, over all inputs so far."""
        noisiest = min((self._db(v) for v in self._names), default=math.inf)
        return {"islands": len(self._names), "bytes": self.bytes, "bytes_off": self.off,
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
def islands_of(graph: Graph, ends: list[Value], opened: Open, least_db: float) -> Iterator[Islands]:
    with tapped(graph, ends) as names:
        artifact = opened(graph)
    with artifact as session:
        yield Islands(graph, names, session, least_db)


def opener(
    device: Device, platform: Platform, identity: Identity, manifest: Mapping[str, Any], runner: str | None
) -> Open:
    """Builds for the artifact's own target and runs where that is verified."""

    def opened(graph: Graph) -> AbstractContextManager[Session]:
        plan = make_plan(graph, device, "seen", 1)
        stated = {**manifest, "name": "seen", "outputs": ports_of(plan.outputs), "weights": "linked",
                  "scratch_bytes": plan.scratch_bytes, "states": ports_of(plan.states),
                  "state_bytes": plan.state_bytes, "weights_bytes": len(plan.weights)}  # fmt: skip
        return session_of(plan, device, platform, identity, stated, runner)

    return opened
