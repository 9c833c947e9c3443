"""Tiles of the GEMM over 8-bit floats (kernels/float8gemm.h): which a layer uses, and how its weights are packed.

Where the core has the products, tiles are those of bytes: the instructions have the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgec.plan.plan import Struct
from edgec.targets.c.element import Element
from edgec.targets.c.qtiles import ROWS, tile_instructions
from edgec.targets.c.tiles import Tiles, cheapest_tiles

GROUP = 4  # products that one instruction adds to a sum


@dataclass(frozen=True)
class Float8Tiles:
    """`format`: e4m3 or e5m2."""

    tiles: Tiles
    format: str

    @property
    def mr(self) -> int:
        return self.tiles.mr

    @property
    def kind(self) -> str:
        return self.format

    def struct(self) -> Struct:
        return Struct("edgec_fgemm_tiles", self.tiles.fields(f"edgec_fgemm_{self.format.upper()}"))

    def instances(self) -> tuple[str, ...]:
        t = self.tiles
        return tuple(f"EDGEC_FLOAT8_TILE({self.format.upper()}, {t.mr}, {v})" for v in sorted({t.nv, t.last_nv}))

    def pack(self, codes: np.ndarray) -> np.ndarray:
        return self.tiles.pack_groups(codes, GROUP)

    def pack_bias(self, bias: np.ndarray | None, scales: np.ndarray, n: int) -> np.ndarray:
        """Panel by panel a bias and a scale for each column."""
        both = (self.tiles.pack_bias(bias, n), self.tiles.pack_bias(scales, n))
        parts = []
        for j, nv in self.tiles.panels(n):
            parts += [v[j : j + nv * self.tiles.lanes] for v in both]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def choose_float8_tiles(
    element: Element, format: str, rows: int, columns: int, length: int, line: int = 0, segments: int = 1
) -> Float8Tiles:
    """As tiles.choose_tiles; a row's products are `segments` runs of `length`."""
    isa = element.isa
    shaped = replace(isa, dot=isa.dot or isa.float8_products > 0)

    def cost(mr: int, nv: int) -> float:
        return tile_instructions(shaped, "dots", mr, nv, length, segments)

    return Float8Tiles(cheapest_tiles(isa, ROWS[isa.name, shaped.dot], rows, columns, line, cost), format)
