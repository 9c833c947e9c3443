"""Tiles of the GEMM of bytes (kernels/qgemm.h): which a layer uses, and how its operands are packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from edgec.plan.plan import Struct
from edgec.targets.c.isa import Isa
from edgec.targets.c.tiles import Tiles, priced_tiles

# ISA -> vectors per tile -> most rows per tile, as tiles.ROWS: A64 keeps a vector of A a row and four of B, x86 one of
# A and all of B. The first table is for machines with dot products of bytes, the second for those without.
ROWS: dict[tuple[str, bool], dict[int, int]] = {
    ("neon", True): {8: 3, 7: 3, 6: 4, 5: 4, 4: 5, 3: 7, 2: 8, 1: 8},
    ("neon", False): {8: 2, 6: 3, 5: 4, 4: 4, 3: 6, 2: 8, 1: 8},
    ("scalar", False): {4: 1, 2: 4, 1: 4},
    ("avx2", False): {2: 4, 1: 8},
    ("avx512", True): {8: 1, 4: 6, 3: 9, 2: 14, 1: 14},
    ("avx512", False): {8: 1, 4: 5, 3: 6, 2: 9, 1: 14},
}
# With products of matrices: two rows and columns a register of sums, a register of A a row, four of B.
ROWS_MMLA: dict[int, int] = {12: 2, 8: 2, 6: 4, 5: 4, 4: 4, 3: 6, 2: 8, 1: 8}
# With tiles of AMX: four of sums, two of A and two of B.
ROWS_AMX: dict[int, int] = {4: 16, 3: 16, 2: 16, 1: 16}
# Dot products of a register that take as long as one of tiles, and as loading or storing one: as Intel states them
# (Optimization Reference Manual, AMX), not measured.
AMX_PRODUCT, AMX_MOVE = 32, 16
# As the first, with weights of four bits: registers hold multipliers as well.
ROWS_FOUR: dict[tuple[str, bool], dict[int, int]] = {
    ("neon", True): {8: 1, 6: 2, 4: 4, 3: 6, 2: 8, 1: 8},
    ("neon", False): {8: 1, 4: 3, 3: 4, 2: 7, 1: 8},
    ("scalar", False): {4: 1, 2: 4, 1: 4},
    ("avx2", False): {2: 2, 1: 6},
    ("avx512", True): {4: 4, 3: 6, 2: 10, 1: 14},
    ("avx512", False): {4: 3, 3: 4, 2: 8, 1: 12},
}
FOUR_PRODUCTS = 32  # EDGEC_Q4_PRODUCTS
_STEPS = (0, 1, 3, 2)  # EDGEC_QGEMM_PAIR_STEP


# What sums become: bytes, bytes by way of 16 bits that hold all of them, or int32 as they are.
Result = Literal["bytes", "short", "sums"]
# How products are made: as dot products of four bytes, in pairs that fit 16 bits, or of matrices in registers
# (kernels/qmmla.h) or in tiles (kernels/qamx.h).
Form = Literal["dots", "pairs", "mmla", "amx"]
_MATRICES = {"mmla": "qmmla", "amx": "qamx"}


@dataclass(frozen=True)
class QTiles:
    """`four`: weights have four bits (kernels/q4gemm.h), as `offset` more than they are. `onto`: other bytes are added
    before sums become bytes."""

    tiles: Tiles
    result: Result
    form: Form
    four: bool = False
    offset: int = 0
    onto: bool = False

    @property
    def header(self) -> str:
        """Has the kernels of convolution and matmul over such tiles; nothing where those are the plain ones."""
        return "q4gemm.h" if self.four else f"{_MATRICES[self.form]}.h" if self.form in _MATRICES else ""

    @property
    def kind(self) -> str:
        return "i4" if self.four else "i8"

    @property
    def group(self) -> int:
        return 4 if self.form in ("dots", "amx") else 8

    @property
    def _words(self) -> tuple[str, ...]:
        """In the names of a tile's function and macro."""
        kernel = _MATRICES.get(self.form, "q4gemm" if self.four else "qgemm")
        named = {"pairs": self.form == "pairs", "onto": self.onto, self.result: self.result != "bytes"}
        return (kernel, *(word for word, said in named.items() if said))

    def struct(self) -> Struct:
        last = (("size", 4 if self.result == "sums" else 1), ("group", self.group))
        return Struct("edgec_qgemm_tiles", (*self.tiles.fields(f"edgec_{'_'.join(self._words)}"), *last))

    def instances(self) -> tuple[str, ...]:
        words = self._words if len(self._words) > 1 else (*self._words, "tile")
        macro = f"EDGEC_{'_'.join(words).upper()}"
        return tuple(f"{macro}({self.tiles.mr}, {v})" for v in sorted({self.tiles.nv, self.tiles.last_nv}))

    def pack(self, runs: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
        """Weights [run][k][n] panel by panel: every group of every run, every column, the group's weights. With four
        bits, `times` are the multipliers of all weights."""
        if times is not None:
            return self._pack_four(runs, times)
        if self.form != "pairs":
            return self.tiles.pack_groups(runs.astype(np.int8, copy=False), self.group)
        segments, length, n = runs.shape
        groups = -(-length // self.group)
        whole = np.zeros((segments, groups * self.group, self.tiles.packed_columns(n)), np.int8)
        whole[:, :length, :n] = runs
        parts = []
        for j, nv in self.tiles.panels(n):
            parts.append(_paired(whole[:, :, j : j + nv * self.tiles.lanes]))
        return np.concatenate(parts) if parts else np.zeros(0, np.int8)

    def _pack_four(self, runs: np.ndarray, times: np.ndarray) -> np.ndarray:
        segments, length, n = runs.shape
        parts = []
        for j, nv in self.tiles.panels(n):
            width = nv * self.tiles.lanes
            for run, k in product(range(segments), range(0, length, FOUR_PRODUCTS)):
                block = runs[run, k : k + FOUR_PRODUCTS, j : j + width]
                by = np.zeros(width, np.int8)
                by[: block.shape[1]] = times[run, k, j : j + width]
                rows = -(-len(block) // (2 * self.group)) * 2 * self.group
                whole = np.zeros((1, rows, width), np.int8)
                whole[0, : len(block), : block.shape[1]] = block
                vectors = _paired(whole) if self.form == "pairs" else _grouped(whole, self.group)
                halves = (vectors.view(np.uint8) + self.offset & 15).reshape(-1, 2, nv * 4 * self.tiles.lanes)
                parts += [by, (halves[:, 0] | halves[:, 1] << 4).ravel().view(np.int8)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int8)

    def pack_columns(self, values: np.ndarray) -> np.ndarray:
        """Biases or multipliers [..., n], int32, with zeros up to whole panels."""
        n = values.shape[-1]
        out = np.zeros((*values.shape[:-1], self.tiles.packed_columns(n)), np.int32)
        out[..., :n] = values
        return out


def _grouped(panel: np.ndarray, group: int) -> np.ndarray:
    segments, k, columns = panel.shape
    return panel.reshape(segments * k // group, group, columns).transpose(0, 2, 1).ravel()


def _paired(panel: np.ndarray) -> np.ndarray:
    """Two groups at a time, the last alone where it is odd: [step][vector][group][lane][2], where lane j has the pair
    j ^ step of its column."""
    _, k, columns = panel.shape
    parts = []
    for run in panel:
        for at in range(0, k, 16):
            pairs = run[at : at + 16].reshape(-1, 4, 2, columns // 4, 4)  # [group][pair][2][vector][lane]
            for step in _STEPS:
                lanes = [pairs[:, j ^ step, :, :, j] for j in range(4)]  # [group][2][vector]
                parts.append(np.stack(lanes).transpose(3, 1, 0, 2).ravel())
    return np.concatenate(parts)


def choose_qtiles(
    isa: Isa, rows: int, columns: int, length: int, line: int, segments: int, result: Result, four: bool = False,
    onto: bool = False,
) -> QTiles:
    """As tiles.choose_tiles; a tile's A are `segments` runs of `length` bytes."""
    # of a register of weights, on A64 and elsewhere
    decoding = 0.0 if not four else 2.5 if isa.name == "neon" else 3.5

    def priced(form: Form, table: Mapping[int, int]) -> tuple[float, QTiles]:
        def cost(mr: int, nv: int) -> float:
            return tile_instructions(isa, form, mr, nv, length, segments) + decoding * nv * segments * -(-length // 4)

        total, tiles = priced_tiles(isa, table, rows, columns, line, cost)
        return total, QTiles(tiles, result, form, four, 8 if four and isa.name != "neon" else 0, onto)

    every = forms(isa, four)
    if rows == 1:
        every = {form: table for form, table in every.items() if form not in _MATRICES}  # most would be thrown away
    return min((priced(form, table) for form, table in every.items()), key=lambda f: f[0])[1]


def forms(isa: Isa, four: bool = False) -> dict[Form, Mapping[int, int]]:
    """Vectors per tile -> most rows per tile, for every form that there is."""
    plain: Form = "pairs" if isa.name == "neon" and not isa.dot else "dots"
    found: dict[Form, Mapping[int, int]] = {plain: (ROWS_FOUR if four else ROWS)[isa.name, isa.dot]}
    if isa.mmla and not four:
        found["mmla"] = ROWS_MMLA
    if isa.amx and not four:
        found["amx"] = ROWS_AMX
    return found


def tile_instructions(isa: Isa, form: Form, mr: int, nv: int, length: int, segments: int = 1) -> float:
    """Instructions of one tile, counted on what the compilers make of qgemm.h and qmmla.h; dot products that wait for
    each other count as the ones that could have been there."""
    parts = [min(4, nv - j) for j in range(0, nv, 4)]
    if isa.name != "neon":
        groups = -(-length // 4)
        dot, split_a, split_b = (1, 1, 1) if isa.dot else (4, 3, 4)
        group = dot * mr * nv + split_a * mr + split_b * nv + (-(-mr // 3) + 3) / 4
        finish = mr * (4 * nv + sum(6 + p for p in parts))
        if form == "amx":  # products hide the loads of B
            steps = -(-groups // 16) * (AMX_PRODUCT * nv + AMX_MOVE)
            return segments * (steps + 8) + finish + nv * (2 * AMX_MOVE + mr) + 100
        return segments * (groups * (group + max(0, 8 - mr * nv)) + 8) + finish + 40
    run, whole = 9.0 + mr, mr + mr % 2
    rows = mr * (nv + -(-nv // 2))  # requantised, and sums begun
    if form == "mmla":
        steps, rest = divmod(-(-length // 8), 2)
        of_b = 4 if whole * nv + mr < 28 else 3
        # a group: for sums, and for registers of A and B where they are more than what is loaded beside products (the
        # widest cores have three units for loads and four for vectors)
        waits = max(0, 8 - whole * nv) + max(0.0, 2 * nv + mr / 2 - 0.75 * whole * nv)
        run += steps * (2 * whole * nv + mr + whole - (-4 * nv // of_b) + 2) + -(-length // 8) * waits
        run += rest * (whole * nv + mr + whole // 2 - (-2 * nv // of_b) + 1)
        rows = mr * nv + 2 * whole * nv + nv // 2
    elif form == "dots":
        steps, rest = divmod(-(-length // 4), 4)
        run += steps * (4 * mr * nv + mr + nv + 2) + -(-length // 4) * max(0, 8 - mr * nv)
        run += sum(step * mr * nv + mr + -(-nv * step // 4) + 1 for step in (2, 1) if rest & step)
    else:
        steps, rest = divmod(-(-length // 8), 2)
        run += steps * (12 * mr * nv + 4 * mr + 4 * len(parts) + 2) + rest * (8 * mr * nv + 4 * mr + 4 * nv)
    narrow = {1: 5, 2: 5, 3: 8, 4: 7}  # by way of 16 bits, with clamps and stores
    return segments * run + rows + mr * (sum(narrow[p] for p in parts) + 2) + nv / 2 + 22
