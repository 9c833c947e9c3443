"""Which GEMM tiles a layer uses: rows and vectors per tile for each instruction set, and how operands are packed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.plan.plan import Struct, Symbol
from edgec.targets.c.isa import Isa

# ISA -> vectors per tile -> most rows per tile. Accumulators fill the register file, less what A and B need: NEON keeps
# a vector of A per row and a pair of B; x86 broadcasts A from memory. Wide tiles of few rows are for few rows of C:
# they keep enough accumulators to hide the latency of a multiply-add.
ROWS: dict[str, dict[int, int]] = {
    "neon": {8: 1, 4: 6, 3: 7, 2: 8, 1: 8},
    "scalar": {4: 1, 2: 4, 1: 4},
    "avx2": {8: 1, 4: 2, 3: 4, 2: 6, 1: 8},
    "avx512": {8: 1, 4: 7, 3: 9, 2: 14, 1: 14},
}

# Instructions that a tile costs more when its rows lie on two lines.
ACROSS = 60


@dataclass(frozen=True)
class Tiles:
    """Tile sizes of one GEMM: `mr` rows; panels of `nv` vectors, the last of `last_nv`."""

    lanes: int
    mr: int
    nv: int
    last_nv: int

    def struct(self) -> Struct:
        return Struct(
            "edgec_gemm_tiles",
            (
                ("tile", Symbol(f"edgec_gemm_{self.mr}x{self.nv}")),
                ("last_tile", Symbol(f"edgec_gemm_{self.mr}x{self.last_nv}")),
                ("mr", self.mr),
                ("nv", self.nv),
                ("last_nv", self.last_nv),
            ),
        )

    def instances(self) -> tuple[str, ...]:
        return tuple(f"EDGEC_GEMM_TILE({self.mr}, {v})" for v in sorted({self.nv, self.last_nv}))

    def packed_columns(self, n: int) -> int:
        """Columns of the packed right operand."""
        full = self.nv * self.lanes
        panels = -(-n // full)
        return (panels - 1) * full + self.last_nv * self.lanes

    def pack(self, b: np.ndarray) -> np.ndarray:
        """b[k][n] panel by panel, zero-padded to whole vectors."""
        k, n = b.shape
        full = self.nv * self.lanes
        parts = []
        for j in range(0, n, full):
            width = full if n - j > full else self.last_nv * self.lanes
            part = np.zeros((k, width), np.float32)
            real = min(width, n - j)
            part[:, :real] = b[:, j : j + real]
            parts.append(part.ravel())
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def pack_bias(self, bias: np.ndarray | None, n: int) -> np.ndarray:
        out = np.zeros(self.packed_columns(n), np.float32)
        if bias is not None:
            out[:n] = bias
        return out


def choose_tiles(isa: Isa, rows: int, columns: int, k: int, line: int = 0) -> Tiles:
    """The cheapest tiles for C[rows][columns] with `k` products an element. `line` (default: rows) is the length of the
    stretches of rows that lie evenly, one of which the driver may get alone: a tile has no more rows."""
    vectors = -(-columns // isa.lanes)
    line = max(1, line or rows)
    found = []
    for nv, most in ROWS[isa.name].items():
        if nv > vectors and nv > 1:
            continue
        last = vectors - (vectors - 1) // nv * nv
        for mr in range(1, min(most, line) + 1):
            if mr > ROWS[isa.name].get(last, most):
                continue
            tiles = -(-rows // mr)
            across = ACROSS * (rows != line and line % mr != 0)
            cost = tiles * (
                (vectors - last) // nv * (_cost(isa, mr, nv, k) + across) + _cost(isa, mr, last, k) + across
            )
            found.append((cost, -mr, Tiles(isa.lanes, mr, nv, last)))
    return min(found, key=lambda f: f[:2])[2]


def _cost(isa: Isa, mr: int, nv: int, k: int) -> float:
    """Instructions of one tile, counted on what the compilers make of gemm.h; multiply-adds that wait for each other
    count as the ones that could have been there."""
    waits = max(0, 8 - mr * nv)
    loads = nv / 2 + mr / 4 + 1.25 if isa.name == "neon" else nv + 0.5
    return k * (mr * nv + waits + loads) + 4 * mr * nv + 60
