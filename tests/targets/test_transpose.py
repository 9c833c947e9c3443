"""Transposes in register tiles: every shape that has a tile, with tails, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import TARGETS
from network import Network

FORMS = [
    ((1, 3, 9, 15), (0, 2, 3, 1), "f32"),  # three planes to pixels
    ((2, 3, 4, 53), (0, 2, 3, 1), "f32"),  # of rows longer than a vector
    ((2, 9, 15, 3), (0, 3, 1, 2), "f32"),  # and back, twice
    ((1, 3, 30, 40), (0, 2, 3, 1), "i32"),  # more than a chunk
    ((1, 4, 5, 7), (0, 2, 3, 1), "f32"),
    ((7, 10), (1, 0), "f32"),
    ((1030, 5), (1, 0), "f32"),
    ((5, 1030), (1, 0), "u32"),
    ((2, 5, 6, 7), (3, 1, 0, 2), "f32"),
    ((2, 3, 4, 5), (0, 2, 3, 1), "f32"),
    ((3, 6, 2), (1, 0, 2), "f32"),  # rows move whole
    ((6, 2), (1, 0), "f32"),  # too narrow for a tile
    ((5, 6), (1, 0), "i64"),
]


@pytest.mark.parametrize("target", TARGETS)
def test_transpose(target: str, tmp_path: Path) -> None:
    net = Network(0)
    for shape, perm, dtype in FORMS:
        net.op("transpose", net.source(np.arange(np.prod(shape)).reshape(shape), dtype), perm=perm)
    # a slice keeps its row stride under the transpose's tiles
    part = np.arange(12 * 12, dtype=np.float32).reshape(12, 12)
    sliced = net.build.op("slice", net.source(part), starts=(1, 2), stops=(10, 9), steps=(1, 1))
    net.named("sliced", net.build.op("transpose", sliced, perm=(1, 0)))
    found = net.run(target, tmp_path)
    for i, (shape, perm, _) in enumerate(FORMS):
        assert np.array_equal(found[f"y{i}"], net.feeds[f"x{i}"].transpose(perm)), (shape, perm)
    assert np.array_equal(found["sliced"], part[1:10, 2:9].T)
