"""Winograd convolution F(m x m, 3 x 3), m = 4 or 2: weights for kernels/winograd.h, its tiles and scratch, its cost.

The points of F(4) are 0, ±√½, ±√2 and infinity. Against float64, their error is a third of that of 0, ±1, ±2 and of
0, ±1, ±½ (all three need the same multiplications here). Weights are transformed in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.plan.plan import Struct, Symbol
from edgec.targets.c import tiles
from edgec.targets.c.element import element_of
from edgec.targets.c.isa import Isa

# ISA -> vectors per tile function -> tiles (rows of the products). The largest is EDGEC_WINOGRAD_ROWS in the header.
ROWS: dict[str, dict[int, int]] = {
    "neon": {4: 6, 3: 6, 2: 6, 1: 6},
    "neon_halves": {4: 6, 3: 6, 2: 6, 1: 6},
    "scalar": {2: 4, 1: 4},
    "avx2": {2: 6, 1: 6},
    "avx512": {2: 14, 1: 14},
}
# Transformed input and products of one segment: each thread has its own, so no larger than pays.
SEGMENT_BYTES = 128 * 1024
# Instructions of a transform for one vector of channels of one tile, counted in the emulator on A64.
INPUT: dict[int, int] = {4: 303, 2: 73}
OUTPUT: dict[int, int] = {4: 192, 2: 60}
# What a byte of weights costs in instructions when it comes from memory: a core at 2 instructions a cycle that reads
# 8 bytes a cycle. F(4) has 4 times the weights of direct convolution, F(2) 1.8 times.
PER_BYTE = 0.25

_P = 0.5**0.5
# Rows of a point p are [1, p, p²] over the product of its distances to the other points, times |p|: kernels/winograd.h
# expects products so scaled.
_G4 = np.array(
    [
        [1, 0, 0],
        [-2 / 3 * _P, -1 / 3, -1 / 3 * _P],
        [-2 / 3 * _P, 1 / 3, -1 / 3 * _P],
        [1 / 3 * _P, 1 / 3, 2 / 3 * _P],
        [1 / 3 * _P, -1 / 3, 2 / 3 * _P],
        [0, 0, 1],
    ]
)
_G2 = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_G = {4: _G4, 2: _G2}


@dataclass(frozen=True)
class Layer:
    """A 3 x 3 convolution of stride 1; `rows` output rows are made by one call, a multiple of m or all of them. Numbers
    are `size` bytes."""

    oh: int
    ow: int
    c: int
    oc: int
    rows: int
    size: int = 4

    @property
    def macs(self) -> int:
        return 9 * self.oh * self.ow * self.c * self.oc

    def tiles(self, m: int) -> int:
        """Of one call."""
        return -(-min(self.rows, self.oh) // m) * -(-self.ow // m)


@dataclass(frozen=True)
class WinogradTiles:
    """What the C struct edgec_winograd_tiles says: tile functions of mr tiles and nv vectors, `rest` tiles and last_nv
    vectors left over, and a segment of `groups` x mr tiles."""

    isa: str
    lanes: int
    m: int
    mr: int
    rest: int
    nv: int
    last_nv: int
    groups: int
    letter: str = ""

    @property
    def dtype(self) -> type:
        return np.float16 if self.letter else np.float32

    @property
    def step(self) -> int:
        """EDGEC_WINOGRAD_K"""
        return self.lanes if self.isa.startswith("neon") else 4

    @property
    def positions(self) -> int:
        return (self.m + 2) ** 2

    def struct(self) -> Struct:
        def name(rows: int, nv: int) -> Symbol:
            return Symbol(f"{prefix}_{self.positions}_{rows or self.mr}x{nv}")

        prefix = f"edgec_{self.letter}winograd"
        return Struct(
            f"{prefix}_tiles",
            (
                ("tile", name(self.mr, self.nv)),
                ("tail", name(self.rest, self.nv)),
                ("last_tile", name(self.mr, self.last_nv)),
                ("last_tail", name(self.rest, self.last_nv)),
                ("input", Symbol(f"{prefix}_input_{self.m}")),
                ("output", Symbol(f"{prefix}_output_{self.m}")),
                ("m", self.m),
                ("mr", self.mr),
                ("rest", self.rest),
                ("nv", self.nv),
                ("last_nv", self.last_nv),
                ("groups", self.groups),
            ),
        )

    def instances(self) -> tuple[str, ...]:
        sizes = {(r or self.mr, v) for r in (self.mr, self.rest) for v in (self.nv, self.last_nv)}
        return tuple(f"EDGEC_WINOGRAD_TILE({self.positions}, {r}, {v})" for r, v in sorted(sizes))

    def scratch_bytes(self, c: int) -> int:
        """Of one call on c input channels; the caller aligns it like any buffer."""
        pitch = -(-c // self.lanes) * self.lanes
        n = self.m + 2
        edges = (n + n * n) * pitch  # a row of zeros, and a tile that sticks out of the image,
        edges += self.m**2 * self.nv * self.lanes  # or out of the result
        transformed = self.positions * pitch * max(ROWS[self.isa].values())
        products = self.positions * self.lanes * self.mr * self.nv
        return np.dtype(self.dtype).itemsize * (edges + self.groups * (transformed + products))

    def pack(self, u: np.ndarray) -> np.ndarray:
        """Transformed weights [positions][c][oc]: panel by panel of columns, position by position, zero-padded to
        whole vectors and to whole steps of channels."""
        positions, c, oc = u.shape
        parts = []
        for first, width in self._panels(oc):
            part: np.ndarray = np.zeros((positions, -(-c // self.step) * self.step, width), self.dtype)
            real = u[:, :, first : first + width]
            part[:, :c, : real.shape[2]] = real
            parts.append(part.ravel())
        return np.concatenate(parts)

    def pack_bias(self, bias: np.ndarray | None, oc: int) -> np.ndarray:
        """Zero-padded to whole vectors; zeros for None."""
        out: np.ndarray = np.zeros(sum(width for _, width in self._panels(oc)), self.dtype)
        if bias is not None:
            out[:oc] = bias
        return out

    def _panels(self, oc: int) -> list[tuple[int, int]]:
        """First column and width of each."""
        full = self.nv * self.lanes
        return [(j, full if oc - j > full else self.last_nv * self.lanes) for j in range(0, oc, full)]


def transform_weights(w: np.ndarray, m: int) -> np.ndarray:
    """w [oc][c][3][3] -> G w G^T as float32 [positions][c][oc]."""
    g = _G[m]
    u: np.ndarray = np.einsum("ai,bj,ocij->abco", g, g, w.astype(np.float64), optimize=True)
    return u.reshape(len(g) ** 2, w.shape[1], w.shape[0]).astype(np.float32)


def choose_tiles(isa: Isa, layer: Layer, m: int, letter: str = "") -> WinogradTiles:
    """Panels of even width, tiles split evenly, and as many groups in a segment as SEGMENT_BYTES hold. `letter` and
    `isa` are an Element's."""
    table = ROWS[isa.name]
    vectors = -(-layer.oc // isa.lanes)
    nv = -(-vectors // -(-vectors // max(table)))
    last_nv = vectors - (vectors - 1) // nv * nv
    count = layer.tiles(m)
    groups = -(-count // min(table[nv], table[last_nv]))
    mr = -(-count // groups)
    one = WinogradTiles(isa.name, isa.lanes, m, mr, count % mr, nv, last_nv, 1, letter)
    most = max(1, SEGMENT_BYTES // one.scratch_bytes(layer.c))
    return WinogradTiles(isa.name, isa.lanes, m, mr, count % mr, nv, last_nv, min(most, groups), letter)


def instructions(layer: Layer, isa: Isa, m: int) -> float:
    """Estimate for one image; on A64 within a tenth of the emulator's count, less sure below 8 channels."""
    t = choose_tiles(isa, layer, m)
    count, blocks, vectors = layer.tiles(m), -(-layer.c // isa.lanes), -(-layer.oc // isa.lanes)
    panels = -(-vectors // t.nv)
    n = m + 2

    def product(rows: int, nv: int) -> float:
        return -(-layer.c // 4) * _four_channels(isa, rows, nv) + rows * nv + 25

    groups = [t.mr] * (count // t.mr) + ([t.rest] if t.rest else [])
    widths = [t.nv] * (panels - 1) + [t.last_nv]
    products = t.positions * sum(product(rows, nv) for rows in groups for nv in widths)
    calls_of_products = t.positions * panels * (-(-len(groups) // t.groups) + bool(t.rest)) * 10
    # copies: of columns outside the image, of channels that fill no vector, of tiles cut short
    rows_of_tiles = -(-min(layer.rows, layer.oh) // m)
    whole = 0 if layer.oc % isa.lanes else layer.ow // m * (min(layer.rows, layer.oh) // m)
    copied_in = count if layer.c % isa.lanes else rows_of_tiles * bool(layer.ow % m)
    copies = copied_in * n * n * (6 + 5 * blocks) + (count - whole) * (200 + m * m * vectors * 16)
    per_tile = blocks * INPUT[m] + vectors * OUTPUT[m] + 100
    return -(-layer.oh // layer.rows) * (products + calls_of_products + copies + count * per_tile + 300)


def direct_instructions(layer: Layer, isa: Isa) -> float:
    """Of the same layer as a GEMM over image rows (kernels/gemm.h)."""
    k = 9 * layer.c
    t = tiles.choose_tiles(element_of(isa, "f32"), layer.ow, layer.oc, k, segments=3)
    products = sum(tiles.tile_instructions(isa, t.mr, nv, k, 3) for _, nv in t.panels(layer.oc))
    if isa.broadcast_load:  # loads of A that are no operand of a multiply-add, which _four_channels counts too
        products += sum(k * t.mr for _, nv in t.panels(layer.oc) if nv > 1)
    return layer.oh * -(-layer.ow // t.mr) * products


def pays(layer: Layer, isa: Isa, m: int) -> bool:
    """Whether F(m) beats direct convolution by a tenth, its larger weights read from memory once."""
    weight = layer.size * PER_BYTE * layer.c * layer.oc
    cost = instructions(layer, isa, m) + (m + 2) ** 2 * weight
    return cost < 0.9 * (direct_instructions(layer, isa) + 9 * weight)


def best(layer: Layer, isa: Isa) -> int:
    """4, 2, or 0 for direct convolution."""
    weight = layer.size * PER_BYTE * layer.c * layer.oc
    paying = [m for m in (4, 2) if pays(layer, isa, m)]
    return min(paying, key=lambda m: instructions(layer, isa, m) + (m + 2) ** 2 * weight, default=0)


def _four_channels(isa: Isa, rows: int, nv: int) -> float:
    """One step of a tile function: multiply-adds, loads of both operands (A64 in pairs), the loop."""
    if isa.broadcast_load:
        return 4 * (rows * nv + nv + (rows if nv > 1 else 0)) + 3
    return 4 * rows * nv + rows / 2 + 2 * nv + 4
