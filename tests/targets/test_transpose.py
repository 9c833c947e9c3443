"""Transposes in register tiles: every shape that has a tile, with tails, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import TARGETS, compiled

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.types import DTYPES, Type

FORMS = [
    ((1, 3, 9, 15), (0, 2, 3, 1), "f32"),  # three planes to pixels
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
    graph = Graph(Module())
    b = Builder(graph)
    feeds = {}
    for i, (shape, perm, dtype) in enumerate(FORMS):
        feeds[f"x{i}"] = np.arange(np.prod(shape)).reshape(shape).astype(DTYPES[dtype])
        x = graph.add_input(f"x{i}", Type(dtype, shape))
        graph.outputs.append((f"y{i}", b.op("transpose", x, perm=perm)))
    # a slice keeps its row stride under the transpose's tiles
    part = np.arange(12 * 12, dtype=np.float32).reshape(12, 12)
    x = graph.add_input("part", Type("f32", (12, 12)))
    sliced = b.op("slice", x, starts=(1, 2), stops=(10, 9), steps=(1, 1))
    graph.outputs.append(("sliced", b.op("transpose", sliced, perm=(1, 0))))
    with compiled(graph, target, tmp_path) as session:
        found = session.run(None, {**feeds, "part": part})
    for i, (shape, perm, _) in enumerate(FORMS):
        assert np.array_equal(found[i], feeds[f"x{i}"].transpose(perm)), (shape, perm)
    assert np.array_equal(found[-1], part[1:10, 2:9].T)
