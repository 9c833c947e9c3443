"""Whose memory is whose when a model runs in this process."""

from __future__ import annotations

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
