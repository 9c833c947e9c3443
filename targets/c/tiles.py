"""Which GEMM tiles a layer uses: rows and vectors per tile for each instruction set, and how operands are packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgec.ir.types import dtype_name
from edgec.plan.plan import Struct, Symbol
from edgec.targets.c.element import Element
from edgec.targets.c.isa import Isa

# ISA -> vectors per tile -> most rows per tile. Accumulators fill the register file, less what A and B need: NEON keeps
# a vector of A per row and four of B; x86 broadcasts A from memory. Wide tiles of few rows are for few rows of C: they
# keep enough accumulators to hide the latency of a multiply-add.
ROWS: dict[str, dict[int, int]] = {
    "neon": {8: 3, 7: 3, 6: 4, 5: 4, 4: 5, 3: 7, 2: 8, 1: 8},
    "neon_halves": {8: 3, 7: 3, 6: 4, 5: 4, 4: 5, 3: 6, 2: 8, 1: 12},
    "scalar": {4: 1, 2: 4, 1: 4},
    "avx2": {8: 1, 4: 2, 3: 4, 2: 6, 1: 8},
    "avx512": {8: 1, 4: 7, 3: 9, 2: 14, 1: 14},
}

# ISA -> instructions that a tile costs more when its rows lie on two lines.
ACROSS: dict[str, int] = {"neon": 90, "neon_halves": 90, "scalar": 60, "avx2": 60, "avx512": 60}


@dataclass(frozen=True)
class Tiles:
    """Tile sizes of one GEMM: `mr` rows; `wide` panels of `nv` vectors, then panels of `last_nv`, at least one.
    `onto`: sums go on from what stands in C. `letter`: Element's."""

    lanes: int
    mr: int
    nv: int
    last_nv: int
    wide: int
    onto: bool = False
    letter: str = ""

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float16 if self.letter else np.float32)

    @property
    def kind(self) -> str:
        """What the receipt calls packed weights."""
        return dtype_name(self.dtype)

    def struct(self) -> Struct:
        functions = f"edgec_{self.letter}{'gemm_onto' if self.onto else 'gemm'}"
        return Struct(f"edgec_{self.letter}gemm_tiles", self.fields(functions))

    def fields(self, functions: str) -> tuple[tuple[str, Symbol | int], ...]:
        """What all structs of tiles begin with; `functions` is what the names of theirs do."""
        tile = f"{functions}_{self.mr}x"
        names = (("tile", Symbol(f"{tile}{self.nv}")), ("last_tile", Symbol(f"{tile}{self.last_nv}")))
        return (*names, ("mr", self.mr), ("nv", self.nv), ("last_nv", self.last_nv), ("wide", self.wide))

    def instances(self) -> tuple[str, ...]:
        macro = "EDGEC_GEMM_TILE_ONTO" if self.onto else "EDGEC_GEMM_TILE"
        return tuple(f"{macro}({self.mr}, {v})" for v in sorted({self.nv, self.last_nv}))

    def panels(self, n: int) -> list[tuple[int, int]]:
        """First column and vectors of each panel of n columns."""
        found: list[tuple[int, int]] = []
        at = 0
        while at < n:
            nv = self.nv if len(found) < self.wide else self.last_nv
            found.append((at, nv))
            at += nv * self.lanes
        return found

    def packed_columns(self, n: int) -> int:
        """Columns of the packed right operand."""
        return sum(nv for _, nv in self.panels(n)) * self.lanes

    def pack(self, b: np.ndarray) -> np.ndarray:
        """b[k][n] panel by panel, zero-padded to whole vectors."""
        k, n = b.shape
        parts = []
        for j, nv in self.panels(n):
            part: np.ndarray = np.zeros((k, nv * self.lanes), self.dtype)
            real = b[:, j : j + nv * self.lanes]
            part[:, : real.shape[1]] = real
            parts.append(part.ravel())
        return np.concatenate(parts) if parts else np.zeros(0, self.dtype)

    def pack_groups(self, runs: np.ndarray, group: int) -> np.ndarray:
        """Segments [run][k][n] panel by panel: every group of every run, every column, the group's numbers."""
        segments, length, n = runs.shape
        groups = -(-length // group)
        whole = np.zeros((segments, groups * group, self.packed_columns(n)), runs.dtype)
        whole[:, :length, :n] = runs
        parts = []
        for j, nv in self.panels(n):
            columns = nv * self.lanes
            panel = whole[:, :, j : j + columns].reshape(segments * groups, group, columns)
            parts.append(panel.transpose(0, 2, 1).ravel())
        return np.concatenate(parts) if parts else np.zeros(0, runs.dtype)

    def pack_bias(self, bias: np.ndarray | None, n: int) -> np.ndarray:
        out: np.ndarray = np.zeros(self.packed_columns(n), self.dtype)
        if bias is not None:
            out[:n] = bias
        return out


def choose_tiles(
    element: Element, rows: int, columns: int, k: int, line: int = 0, segments: int = 1, whole: bool = False
) -> Tiles:
    """The cheapest tiles for C[rows][columns] with `k` products an element in `segments` runs. `line` (default: rows)
    is the length of the stretches of rows that lie evenly, one of which the driver may get alone: a tile has no more
    rows. `whole`: tiles must divide it."""
    isa = element.isa
    tiles = cheapest_tiles(
        isa, ROWS[isa.name], rows, columns, line, lambda mr, nv: tile_instructions(isa, mr, nv, k, segments), whole
    )
    return replace(tiles, letter=element.letter)


def cheapest_tiles(
    isa: Isa, table: Mapping[int, int], rows: int, columns: int, line: int, cost_of: Callable[[int, int], float],
    whole: bool = False,
) -> Tiles:  # fmt: skip
    """The same for any table like ROWS[isa] and any count of a tile's instructions."""
    return priced_tiles(isa, table, rows, columns, line, cost_of, whole)[1]


def priced_tiles(
    isa: Isa, table: Mapping[int, int], rows: int, columns: int, line: int, cost_of: Callable[[int, int], float],
    whole: bool = False,
) -> tuple[float, Tiles]:  # fmt: skip
    """And what all of C costs."""
    vectors = -(-columns // isa.lanes)
    line = max(1, line or rows)
    most = {nv: table[min(n for n in table if n >= nv)] for nv in range(1, max(table) + 1)}
    found = []
    for mr in range(1, min(max(most.values()), line) + 1):
        if whole and line % mr:
            continue
        across = ACROSS[isa.name] * (rows != line and line % mr != 0)
        cost = {nv: cost_of(mr, nv) + across for nv in most if mr <= most[nv]}
        for nv, last in ((n, m) for n in table if n in cost for m in cost if m <= n <= max(1, vectors)):
            full = max(0, vectors - 1) // nv
            for wide in range(full, max(-1, full - last), -1):  # fewer leave the same rest again
                lasts = max(1, -(-(vectors - wide * nv) // last))
                total = -(-rows // mr) * (wide * cost[nv] + lasts * cost[last])
                found.append((total, -mr, lasts, Tiles(isa.lanes, mr, nv, last, wide)))
    total, _, _, chosen = min(found, key=lambda f: f[:3])
    return total, chosen


def tile_instructions(isa: Isa, mr: int, nv: int, k: int, segments: int = 1) -> float:
    """Instructions of one tile, counted on what the compilers make of gemm.h; multiply-adds that wait for each other
    count as the ones that could have been there."""
    waits = k * max(0, 8 - mr * nv)
    if not isa.name.startswith("neon"):
        return waits + k * (mr * nv + nv + 0.5) + 4 * mr * nv + 60
    lanes = isa.lanes
    steps, rest = divmod(k // segments, 2 * lanes)
    pairs = mr * nv + 2 * mr + 4 <= isa.registers and mr * lanes <= 32
    run = steps * (2 * lanes * mr * nv + (1 if pairs else 2) * mr + lanes // 2 * nv + 2) + 9 + mr
    run += (lanes * mr * nv + mr + lanes // 4 * nv) * (rest // lanes)
    run += (mr * nv + mr + -(-nv // 4) + 2) * (rest % lanes)
    return waits + segments * run + mr * (2 * -(-nv // 2) + 3) + 2 * mr * nv + 20
