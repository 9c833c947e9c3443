"""GEMM tiles: what is chosen, how panels are packed, and every tile of the instruction sets against float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import compiled

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type
from edgec.targets.c import tiles
from edgec.targets.c.element import element_of
from edgec.targets.c.isa import NEON
from edgec.targets.c.tiles import ROWS, Tiles, choose_tiles

# (rows, columns, k): each of A64's tiles is the whole of a layer once, with and without a rest of columns, of products
CASES = [
    *((most, 4 * nv, 21) for nv, most in ROWS["neon"].items()),
    *((2 * most + 1, 8 * nv - 1, 12) for nv, most in ROWS["neon"].items()),
    *((rows, 160, 8) for rows in (1, 4, 49)),
    *((5, columns, k) for columns in (1, 31) for k in (1, 3, 4, 7, 8, 100)),
]


def test_panels_fill_the_columns() -> None:
    for columns in (16, 24, 32, 64, 96, 144, 160, 192, 320, 384, 576, 960, 1280):
        for rows in (49, 196, 3136):
            chosen = choose_tiles(element_of(NEON, "f32"), rows, columns, 96)
            assert chosen.packed_columns(columns) == columns
            assert rows % chosen.mr == 0


def test_a_tile_fits_the_registers() -> None:
    for nv, most in ROWS["neon"].items():
        assert most * nv + most + 4 <= NEON.registers


def test_packed_panels() -> None:
    b = np.arange(3 * 26, dtype=np.float32).reshape(3, 26)
    chosen = Tiles(4, 4, 3, 2, 1)
    assert chosen.panels(26) == [(0, 3), (12, 2), (20, 2)]
    packed = chosen.pack(b)
    assert packed.size == 3 * chosen.packed_columns(26) == 3 * 28
    np.testing.assert_array_equal(packed[:36].reshape(3, 12), b[:, :12])
    np.testing.assert_array_equal(packed[36:60].reshape(3, 8), b[:, 12:20])
    np.testing.assert_array_equal(packed[60:].reshape(3, 8), np.pad(b[:, 20:], ((0, 0), (0, 2))))
    np.testing.assert_array_equal(chosen.pack_bias(b[0], 26), np.pad(b[0], (0, 2)))


@pytest.mark.parametrize("target", ["host", "host:avx2", "arm"])
def test_every_tile(target: str, tmp_path: Path) -> None:
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(4)
    feeds: dict[str, Any] = {}
    expected = []
    for i, (m, n, k) in enumerate(CASES):
        a, r = rng.standard_normal((m, k)), rng.standard_normal((m, n))
        weights, bias = rng.standard_normal((k, n)).astype(np.float32), rng.standard_normal(n).astype(np.float32)
        feeds |= {f"a{i}": a.astype(np.float32), f"r{i}": r.astype(np.float32)}
        left, late = (graph.add_input(f"{x}{i}", Type("f32", feeds[f"{x}{i}"].shape)) for x in "ar")
        right = b.const(weights, "f32")
        exact = feeds[f"a{i}"].astype(np.float64) @ weights.astype(np.float64)
        graph.outputs.append((f"bias{i}", b.op("matmul", left, right, b.const(bias, "f32"), act="clip:-1.0:2.0")))
        expected.append(np.clip(exact + bias, -1, 2))
        graph.outputs.append((f"late{i}", b.op("matmul", left, right, late)))
        expected.append(exact + feeds[f"r{i}"])
    with compiled(graph, target, tmp_path) as session:
        found = session.run(None, feeds)
        text = "".join(p.read_text() for p in tmp_path.glob("*.c"))
    if target == "arm":
        for nv, most in ROWS["neon"].items():
            assert f"EDGEC_GEMM_TILE({most}, {nv})" in text, "no case has this tile"
    for (name, _), one, exact in zip(graph.outputs, found, expected, strict=True):
        np.testing.assert_allclose(one, exact, atol=2e-5, err_msg=name)


def test_rows_do_not_depend_on_the_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of additions is fixed: any tile gives the same bits."""
    rng = np.random.default_rng(5)
    a, weights = rng.standard_normal((9, 23)).astype(np.float32), rng.standard_normal((23, 50)).astype(np.float32)
    results = []
    for i, table in enumerate(({8: 3, 1: 8}, {4: 5, 2: 8}, {6: 4, 1: 8}, {1: 1})):
        monkeypatch.setitem(tiles.ROWS, "neon", table)
        graph = Graph(Module())
        b = Builder(graph)
        product = b.op("matmul", graph.add_input("a", Type("f32", a.shape)), b.const(weights, "f32"))
        graph.outputs.append(("y", product))
        folder = tmp_path / str(i)
        folder.mkdir()
        with compiled(graph, "arm", folder) as session:
            results.append(session.run(None, {"a": a})[0])
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
