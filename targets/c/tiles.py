"""Which GEMM tiles a layer uses: rows and vectors per tile for each instruction set, and how operands are packed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.plan.plan import Struct, Symbol
from edgec.targets.c.isa import Isa

# ISA -> vectors per tile -> rows per tile. Accumulators fill the register file, less what A and B need:
# NEON keeps a vector of A per row and a pair of B; x86 broadcasts A from memory.
ROWS: dict[str, dict[int, int]] = {
    "neon": {4: 6, 3: 6, 2: 8, 1: 8},
    "scalar": {2: 4, 1: 4},
    "avx2": {2: 6, 1: 8},
    "avx512": {2: 14, 1: 14},
}

# Vectors per tile when there is one row: enough accumulators to hide the latency of a multiply-add.
ONE_ROW: dict[str, int] = {"neon": 8, "scalar": 4, "avx2": 8, "avx512": 8}


@dataclass(frozen=True)
class Tiles:
    """Tile sizes of one GEMM: `rows` x `columns` of the result; panels of `nv` vectors, the last of `last_nv`."""

    lanes: int
    mr: int
    nv: int
    last_nv: int
    tail: int  # rows left over

    def struct(self) -> Struct:
        def name(rows: int, nv: int) -> Symbol:
            return Symbol(f"edgec_gemm_{rows or self.mr}x{nv}")

        return Struct(
            "edgec_gemm_tiles",
            (
                ("tile", name(self.mr, self.nv)),
                ("tail", name(self.tail, self.nv)),
                ("last_tile", name(self.mr, self.last_nv)),
                ("last_tail", name(self.tail, self.last_nv)),
                ("mr", self.mr),
                ("nv", self.nv),
                ("last_nv", self.last_nv),
            ),
        )

    def instances(self) -> tuple[str, ...]:
        sizes = {(r or self.mr, v) for r in (self.mr, self.tail) for v in (self.nv, self.last_nv)}
        return tuple(f"EDGEC_GEMM_TILE({r}, {v})" for r, v in sorted(sizes))

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


def choose_tiles(isa: Isa, rows: int, columns: int) -> Tiles:
    """Widest panels first; rows split evenly, so that no tile is left with one row.

    `rows` is what one run of the driver covers: an image row, or a whole matrix whose chunks are multiples of `mr`.
    """
    table = ROWS[isa.name]
    vectors = -(-columns // isa.lanes)
    if rows == 1:
        nv = min(ONE_ROW[isa.name], vectors)
        return Tiles(isa.lanes, 1, nv, vectors - (vectors - 1) // nv * nv, 0)
    nv = min(max(table), vectors)
    last = vectors - (vectors - 1) // nv * nv
    most = min(table[nv], table[last], max(rows, 1))
    mr = -(-rows // -(-rows // most))
    return Tiles(isa.lanes, mr, nv, last, rows % mr)
