"""Tiles of the GEMM over bf16 (kernels/bf16gemm.h): which a layer uses, and how its weights are packed."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np

from edgec.plan.plan import Struct
from edgec.targets.c.element import Element
from edgec.targets.c.isa import Isa
from edgec.targets.c.tiles import Tiles, cheapest_tiles

# ISA, and whether it multiplies bf16 -> vectors per tile -> most rows per tile, as tiles.ROWS. Where it does not,
# registers hold both halves of each pair. Blocks (NEON with products) take a register of A for two rows.
ROWS: dict[tuple[str, bool], dict[int, int]] = {
    ("neon", True): {8: 2, 6: 4, 5: 4, 4: 6, 3: 8, 2: 10, 1: 12},
    ("neon", False): {8: 2, 6: 3, 4: 4, 3: 5, 2: 6, 1: 8},
    ("scalar", False): {4: 1, 2: 4, 1: 4},
    ("avx2", False): {4: 1, 2: 4, 1: 8},
    ("avx512", True): {8: 1, 4: 6, 3: 9, 2: 14, 1: 14},
    ("avx512", False): {8: 1, 4: 4, 3: 6, 2: 10, 1: 14},
}
READ_BEHIND = 6  # bytes behind a row of A that blocks read


@dataclass(frozen=True)
class Bf16Tiles:
    """`blocks`: K goes in fours, two columns a vector; else in pairs, a column a lane."""

    tiles: Tiles
    blocks: bool
    letter: str

    @property
    def mr(self) -> int:
        return self.tiles.mr

    @property
    def kind(self) -> str:
        return "bf16"

    @property
    def group(self) -> int:
        return 4 if self.blocks else 2

    def struct(self) -> Struct:
        functions = f"edgec_{self.letter}gemm{'_blocks' * self.blocks}{'_onto' * self.tiles.onto}"
        return Struct(f"edgec_{self.letter}gemm_tiles", self.tiles.fields(functions))

    def instances(self) -> tuple[str, ...]:
        macro = f"EDGEC_BF16_{'BLOCKS' if self.blocks else 'TILE'}{'_ONTO' * self.tiles.onto}"
        return tuple(f"{macro}({self.tiles.mr}, {v})" for v in sorted({self.tiles.nv, self.tiles.last_nv}))

    def pack_bias(self, bias: np.ndarray | None, n: int) -> np.ndarray:
        """Panel by panel, two numbers a column: blocks as they begin, else the bias and zeros."""
        whole = self.tiles.pack_bias(bias, n)
        parts = []
        for j, nv in self.tiles.panels(n):
            panel = whole[j : j + nv * self.tiles.lanes]
            twice = np.repeat(panel.reshape(-1, 1, 2), 2, axis=1) if self.blocks else np.stack([panel, 0 * panel])
            parts.append(twice.ravel())
        return np.concatenate(parts) if parts else whole

    def pack(self, runs: np.ndarray) -> np.ndarray:
        return self.tiles.pack_groups(runs.astype(ml_dtypes.bfloat16), self.group)


def choose_bf16_tiles(
    element: Element, rows: int, columns: int, length: int, line: int = 0, segments: int = 1, whole: bool = False
) -> Bf16Tiles:
    """As tiles.choose_tiles; a row's products are `segments` runs of `length`."""
    isa = element.isa
    native = isa.bf16_products > 0

    def cost(mr: int, nv: int) -> float:
        return tile_instructions(isa, mr, nv, length, segments)

    tiles = cheapest_tiles(isa, ROWS[isa.name, native], rows, columns, line, cost, whole)
    return Bf16Tiles(tiles, in_blocks(isa, tiles.mr), element.letter)


def in_blocks(isa: Isa, mr: int) -> bool:
    """Whether a tile of so many rows makes blocks of two by two sums."""
    return isa.name == "neon" and isa.bf16_products > 0 and mr % 2 == 0


def tile_instructions(isa: Isa, mr: int, nv: int, length: int, segments: int = 1) -> float:
    """Instructions of one tile, counted on what the compilers make of bf16gemm.h; sums that wait for each other count
    as the ones that could have been there."""
    native = isa.bf16_products > 0
    if in_blocks(isa, mr):
        waits = max(0, 8 - mr * nv)
        fours = -(-length // 4)
        run = fours * (mr * nv + mr + -(-nv // 2) + 2 + waits) + mr // 2 * (length % 4 > 0) + 6 + mr
        return segments * run + mr * (4.5 * nv + -(-nv // 2) + 3) + 24
    split = 1 if native else 2
    waits = max(0, 8 - mr * nv)
    if isa.name != "neon":
        pair = split * mr * nv + (1 if native else 3) * mr + (1 if native else 3) * nv + 2 + waits
        return segments * (-(-length // 2) * pair + 8) + 4 * mr * nv + 60
    steps, rest = divmod(length, 8)
    loads, halves = mr + nv, (0 if native else 2 * mr + 8 * nv)
    run = steps * (4 * split * mr * nv + loads + halves + 2 + 4 * waits)
    run += -(-rest // 2) * (split * mr * nv + 2 * mr + nv + 3 + waits) + 9 + mr
    return segments * run + mr * (4 * nv + 3) + 20
