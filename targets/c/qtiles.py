"""Tiles of the GEMM of bytes (kernels/qgemm.h): which a layer uses, and how its operands are packed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.plan.plan import Struct, Symbol
from edgec.targets.c.isa import Isa
from edgec.targets.c.tiles import Tiles, cheapest_tiles

# ISA -> vectors per tile -> most rows per tile, as tiles.ROWS: A64 keeps a vector of A a row and four of B, x86 one of
# A and all of B. The first table is for machines with dot products of bytes, the second for those without.
ROWS: dict[tuple[str, bool], dict[int, int]] = {
    ("neon", True): {8: 3, 7: 3, 6: 4, 5: 4, 4: 5, 3: 7, 2: 8, 1: 8},
    ("neon", False): {6: 2, 4: 4, 3: 5, 2: 6, 1: 8},
    ("scalar", False): {4: 1, 2: 4, 1: 4},
    ("avx2", False): {2: 4, 1: 8},
    ("avx512", True): {4: 6, 3: 9, 2: 14, 1: 14},
    ("avx512", False): {4: 5, 3: 6, 2: 9, 1: 14},
}
GROUP = 4  # weights of one column that lie side by side


@dataclass(frozen=True)
class QTiles:
    """Tiles whose results are bytes, or (`sums`) int32."""

    tiles: Tiles
    sums: bool

    def struct(self) -> Struct:
        prefix, t = self._prefix(), self.tiles
        names = (("tile", Symbol(f"{prefix}{t.mr}x{t.nv}")), ("last_tile", Symbol(f"{prefix}{t.mr}x{t.last_nv}")))
        sizes = (("mr", t.mr), ("nv", t.nv), ("last_nv", t.last_nv), ("wide", t.wide), ("size", 4 if self.sums else 1))
        return Struct("edgec_qgemm_tiles", (*names, *sizes))

    def _prefix(self) -> str:
        return "edgec_qgemm_sums_" if self.sums else "edgec_qgemm_"

    def instances(self) -> tuple[str, ...]:
        macro = "EDGEC_QGEMM_SUMS" if self.sums else "EDGEC_QGEMM_TILE"
        return tuple(f"{macro}({self.tiles.mr}, {v})" for v in sorted({self.tiles.nv, self.tiles.last_nv}))

    def pack(self, runs: np.ndarray) -> np.ndarray:
        """Weights [run][k][n] panel by panel: every group of four k of every run, every column, four k."""
        segments, length, n = runs.shape
        groups = -(-length // GROUP)
        whole = np.zeros((segments, groups * GROUP, self.tiles.packed_columns(n)), np.int8)
        whole[:, :length, :n] = runs
        grouped = whole.reshape(segments * groups, GROUP, -1).transpose(0, 2, 1)
        parts = [grouped[:, j : j + nv * self.tiles.lanes].ravel() for j, nv in self.tiles.panels(n)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int8)

    def pack_columns(self, values: np.ndarray) -> np.ndarray:
        """Biases or multipliers [..., n], int32, with zeros up to whole panels."""
        n = values.shape[-1]
        out = np.zeros((*values.shape[:-1], self.tiles.packed_columns(n)), np.int32)
        out[..., :n] = values
        return out


def choose_qtiles(isa: Isa, rows: int, columns: int, length: int, line: int, segments: int, sums: bool) -> QTiles:
    """As tiles.choose_tiles; a tile's A are `segments` runs of `length` bytes."""
    table = ROWS[isa.name, isa.dot]

    def cost(mr: int, nv: int) -> float:
        return tile_instructions(isa, mr, nv, length, segments)

    return QTiles(cheapest_tiles(isa, table, rows, columns, line, cost), sums)


def tile_instructions(isa: Isa, mr: int, nv: int, length: int, segments: int = 1) -> float:
    """Instructions of one tile, counted on what the compilers make of qgemm.h; dot products that wait for each other
    count as the ones that could have been there."""
    groups = -(-length // GROUP)
    waits = segments * groups * max(0, 8 - mr * nv)
    parts = [min(4, nv - j) for j in range(0, nv, 4)]
    if isa.name != "neon":
        dot, split_a, split_b = (1, 1, 1) if isa.dot else (4, 3, 4)
        group = dot * mr * nv + split_a * mr + split_b * nv + (-(-mr // 3) + 3) / 4
        finish = mr * (7 * nv + sum(4 + p for p in parts))
        return waits + segments * (groups * group + 8) + finish + 40
    dot = 1 if isa.dot else 5
    steps, rest = divmod(groups, 4)
    run = steps * (4 * dot * mr * nv + mr + nv + 2) + 9 + mr
    for step in (2, 1):
        if rest & step:
            run += step * dot * mr * nv + mr + -(-nv * step // 4) + 1
    narrow = {1: 5, 2: 6, 3: 9, 4: 9}  # with clamps and stores
    return waits + segments * run + mr * (nv + -(-nv // 2) + sum(narrow[p] for p in parts) + 2) + nv / 2 + 22
