"""Tiles of the GEMM of bytes: how panels are packed, what fits the registers, and what a tile costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import compiled
from network import Network

from edgec.runtime.session import load
from edgec.targets.arm import target as arm
from edgec.targets.c.isa import NEON
from edgec.targets.c.qtiles import ROWS, ROWS_MMLA, QTiles, choose_qtiles, tile_instructions
from edgec.targets.c.requant import packed_multipliers, short_multipliers
from edgec.targets.c.tiles import Tiles
from edgec.targets.host import target as host


def test_a_tile_fits_the_registers() -> None:
    for nv, most in ROWS["neon", True].items():
        assert most * nv + most + 4 <= NEON.registers
    for nv, most in ROWS["neon", False].items():  # two sums of 16 bits
        assert most * nv + most + min(nv, 4) + 2 <= NEON.registers
    for nv, most in ROWS_MMLA.items():  # three of B where four are too many
        assert most * nv + most + 3 <= NEON.registers


def test_packed_groups() -> None:
    weights = np.arange(2 * 6 * 9).reshape(2, 6, 9).astype(np.int8)
    packed = QTiles(Tiles(4, 4, 2, 1, 1), "bytes", "dots").pack(weights)
    # a panel of 8 columns, then one of 4, of two groups for each of two runs
    wide, last = packed[: 4 * 8 * 4].reshape(4, 8, 4), packed[4 * 8 * 4 :].reshape(4, 4, 4)
    for run in range(2):
        for k in range(8):
            expected = weights[run, k] if k < 6 else np.zeros(9, np.int8)
            np.testing.assert_array_equal(wide[2 * run + k // 4, :, k % 4], expected[:8])
            np.testing.assert_array_equal(last[2 * run + k // 4, :, k % 4], [expected[8], 0, 0, 0])


def test_packed_pairs() -> None:
    """Lane j has the pair j ^ step; the third group stands alone."""
    weights = np.arange(20 * 8).reshape(1, 20, 8).astype(np.int8)
    packed = QTiles(Tiles(4, 4, 2, 2, 0), "bytes", "pairs").pack(weights)
    whole = np.pad(weights[0], ((0, 4), (0, 0)))
    two, one = packed[: 16 * 8].reshape(4, 2, 2, 4, 2), packed[16 * 8 :].reshape(4, 2, 1, 4, 2)
    for at, step in enumerate((0, 1, 3, 2)):
        for column in range(8):
            for group in range(3):
                k = 8 * group + 2 * (column % 4 ^ step)
                found = two[at, column // 4, group, column % 4] if group < 2 else one[at, column // 4, 0, column % 4]
                np.testing.assert_array_equal(found, whole[k : k + 2, column])


def test_packed_matrices() -> None:
    """Two columns of eight products are a register."""
    weights = np.arange(2 * 11 * 9).reshape(2, 11, 9).astype(np.int8)
    packed = QTiles(Tiles(4, 4, 2, 1, 1), "bytes", "mmla").pack(weights)
    wide, last = packed[: 4 * 4 * 16].reshape(4, 4, 2, 8), packed[4 * 4 * 16 :].reshape(4, 2, 2, 8)
    for run in range(2):
        for k in range(16):
            expected = weights[run, k] if k < 11 else np.zeros(9, np.int8)
            np.testing.assert_array_equal(wide[2 * run + k // 8, :, :, k % 8].ravel(), expected[:8])
            np.testing.assert_array_equal(last[2 * run + k // 8, :, :, k % 8].ravel(), [expected[8], 0, 0, 0])


def test_matrices_where_they_pay() -> None:
    """Not for one row, of which half of each product is thrown away, and not where K is mostly what fills it up."""
    isa = arm.choose("neoverse-n2").isa

    def form(rows: int, columns: int, length: int, segments: int = 1) -> str:
        return choose_qtiles(isa, rows, columns, length, rows, segments, "short").form

    assert form(49, 960, 160) == form(64, 64, 192, 3) == form(2, 64, 64) == "mmla"
    assert form(1, 1000, 1280) == form(64, 16, 4) == "dots"
    assert choose_qtiles(arm.choose("cortex-a76").isa, 49, 960, 160, 49, 1, "short").form == "dots"


def test_multipliers() -> None:
    m, s = np.array([65535, 1, 40000]), np.array([17, 31, 20])
    np.testing.assert_array_equal(packed_multipliers(NEON, m, s), m << (31 - s))
    np.testing.assert_array_equal(packed_multipliers(host.choose("avx2").isa, m, s), m << (32 - s))


def test_short_multipliers() -> None:
    """Floats where these hold sums and what becomes of them, twice the multipliers where 32 bits do."""
    wide, avx2 = host.choose("avx512").isa, host.choose("avx2").isa
    m, s = np.array([65535, 1, 40001]), np.array([19, 31, 20])
    by, sums = packed_multipliers(wide, m, s), np.array([[-(2**24), 0, -5], [7, 2**24, 2**24]])
    floats = short_multipliers(wide, by, sums)
    assert floats is not None
    np.testing.assert_array_equal(floats.view(np.float32), m * 0.5**s)
    assert short_multipliers(wide, by, sums - 1) is None
    assert short_multipliers(wide, packed_multipliers(wide, m, s - 1), sums) is None  # a result of 2^22
    np.testing.assert_array_equal(short_multipliers(avx2, by, sums), by * 2)
    assert short_multipliers(avx2, packed_multipliers(avx2, m, s - 2), sums) is None
    assert short_multipliers(NEON, by, sums) is by


@pytest.mark.parametrize(("cpu", "share"), [("cortex-a76", 1.06), ("cortex-a72", 1.1), ("neoverse-n2", 1.06)])
def test_the_count_of_instructions(cpu: str, share: float, tmp_path: Path) -> None:
    """What the emulator executes of a layer, against what tiles are chosen by."""
    isa = arm.choose(cpu).isa
    for i, (m, k, n) in enumerate([(40, 16, 96), (40, 24, 144), (35, 144, 24), (40, 64, 384), (49, 200, 160)]):
        net = Network(i)
        x = net.source(np.zeros((m, k)), "i8")
        consts = [net.build.const(v, "i32") for v in (np.zeros(n), np.full(n, 40000), np.full(n, 26))]
        net.op("qmatmul", x, net.build.const(net.rng.integers(-9, 9, (n, k)), "i8"), *consts, lo=-100, hi=127)
        folder = tmp_path / str(i)
        folder.mkdir()
        compiled(net.graph, f"arm:{cpu}", folder).close()
        with load(folder, runner="emulator", count=True) as session:
            session.run(None, net.feeds)
            functions: dict[str, int] = session.runner.instructions_by_function  # type: ignore[attr-defined]
        found = sum(count for name, count in functions.items() if name.startswith(("edgec_qgemm_", "edgec_qmmla_")))
        chosen = choose_qtiles(isa, m, n, k, m, 1, "short")
        tiles = chosen.tiles
        each = sum(tile_instructions(isa, chosen.form, tiles.mr, nv, k) for _, nv in tiles.panels(n))
        expected = -(-m // tiles.mr) * each
        assert expected / share < found < expected * share, (m, k, n, tiles, found, expected)
