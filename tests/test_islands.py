"""Float islands: a byte may be a step off at their end, and what is behind it follows from that byte."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import compiled
from network import Network

from edgec.ir import interp
from edgec.ir.graph import Graph
from edgec.islands import island_ends, islands_of
from edgec.passes.lower_requant import requantise
from edgec.quantize import encode_values, nearest, operators_on_bytes, values_to_observe
from edgec.targets.host import target as host


def network() -> Network:
    """A log softmax between two layers of bytes."""
    net = Network(6)
    x = net.floats(2, 8)
    hidden = net.build.op("log_softmax", net.build.op("matmul", x, net.const(8, 8)), axis=1)
    net.named("y", net.build.op("matmul", hidden, net.const(8, 4)))
    assert not island_ends(net.graph)
    chosen = operators_on_bytes(net.graph)
    ranges = dict.fromkeys(values_to_observe(net.graph, chosen), (-4.0, 4.0))
    byte = host.choose("").isa.byte
    encode_values(net.graph, chosen, ranges, byte, nearest, {})
    requantise(net.graph, byte)
    return net


class Off:
    """A session whose first byte is `steps` off."""

    def __init__(self, session: Any, steps: int) -> None:
        self.outputs, self.reset, self._session, self._steps = session.outputs, session.reset, session, steps

    def run(self, names: Any, feeds: Any) -> list[Any]:
        found = self._session.run(names, feeds)
        found[0].ravel()[0] += self._steps
        return list(found)


@pytest.mark.parametrize(("steps", "least_db", "right"), [
    (0, math.inf, True), (1, math.inf, True), (2, math.inf, False), (2, 10.0, True), (40, 60.0, False),
])  # fmt: skip
def test_steps(steps: int, least_db: float, right: bool, tmp_path: Path) -> None:
    """Halves are judged by their noise where a byte is more than a step off."""
    net = network()
    (end,) = island_ends(net.graph)  # the input's own bytes are no island
    assert end.op is not None
    assert end.op.arg(0).op is not None

    def opened(graph: Graph) -> AbstractContextManager[Any]:
        session = compiled(graph, "host", tmp_path)

        @contextmanager
        def held() -> Iterator[Any]:
            with session:
                yield Off(session, steps)

        return held()

    with islands_of(net.graph, [end], [], opened, least_db) as islands:
        found = islands.run(net.feeds)["y"]
    expected = interp.run(net.graph, net.feeds)["y"]
    facts = islands.facts()["float_islands"]
    assert facts["pass"] == right
    assert facts["largest_step"] == steps
    assert facts["bytes_off"] == (steps > 0)
    changed = np.any(found != expected, axis=1).tolist()
    assert changed == [steps > 0, False]
