"""Whose memory is whose when a model runs in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from compiled import HOSTS, compiled
from network import Network

from edgec.runtime.session import Session


@pytest.fixture
def doubled(tmp_path: Path) -> Session:
    """y = x + x, [3, 5]."""
    net = Network(0)
    x = net.floats(3, 5)
    net.op("add", x, x)
    return compiled(net.graph, HOSTS[0], tmp_path)


def test_results_are_the_callers_to_keep(doubled: Session) -> None:
    name = doubled.inputs[0].name
    ones = np.ones((3, 5), np.float32)
    (first,) = doubled.run(None, {name: ones})
    (second,) = doubled.run(None, {name: 3 * ones})
    assert first.tolist() == (2 * ones).tolist()
    first[:] = 0
    assert second.tolist() == (6 * ones).tolist()


def test_inputs_lie_anywhere(doubled: Session) -> None:
    """Not aligned, with gaps between elements, or read-only."""
    name = doubled.inputs[0].name
    x = np.arange(15, dtype=np.float32).reshape(3, 5)
    shifted = np.empty(61, np.uint8)[1:].view(np.float32).reshape(3, 5)
    shifted[:] = x
    fixed = x.copy()
    fixed.flags.writeable = False
    for given in (shifted, np.repeat(x, 2, axis=1)[:, ::2], np.asfortranarray(x), fixed):
        before = given.copy()
        (found,) = doubled.run(None, {name: given})
        assert found.tolist() == (2 * x).tolist()
        assert np.array_equal(given, before)


class Slow:
    """A runner that keeps its input in one place while other threads come by."""

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.kept = arrays[0]
        time.sleep(0.01)
        return [2 * self.kept]


def test_threads_that_share_a_session_get_their_own_results(doubled: Session) -> None:
    name = doubled.inputs[0].name
    doubled.runner.close()
    doubled.runner = Slow()  # type: ignore[assignment]
    given = [np.full((3, 5), k, np.float32) for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: doubled.run(None, {name: x})[0], given))
    assert [y[0, 0] for y in found] == [2 * k for k in range(8)]
