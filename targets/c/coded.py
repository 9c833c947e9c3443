"""Weights of fewer bits in the GEMM of floats (kernels/coded.h): which have a form there, tiles, and packing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.encodings import is_e2m1, spread
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Float8, Palette, Quant, Scale
from edgec.plan.plan import Struct, Symbol
from edgec.targets.c.bf16tiles import Bf16Tiles
from edgec.targets.c.float8tiles import GROUP, Float8Tiles
from edgec.targets.c.isa import Isa
from edgec.targets.c.tiles import Tiles, cheapest_tiles, tile_instructions

Array = np.ndarray[Any, Any]


BF16, F32 = np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)
INTEGERS = ("i8", "i4")


@dataclass(frozen=True)
class Form:
    """`name`: in kernels; `format`: of the encoding; `group`: products that share a scale, 0 for a whole segment;
    `factor`: of the scale, for what decoding leaves out; `costs`: instructions that decode a vector, on A64 and
    elsewhere; `scale`: what scales are packed as; `zeros`: whether there are zero points beside them."""

    name: str
    format: str
    group: int
    factor: float
    costs: tuple[float, float]
    scale: np.dtype[Any] = BF16
    zeros: bool = False

    @property
    def halves(self) -> int:
        """Codes in a byte."""
        return 2 if self.format in ("i4", "e2m1") else 1

    def holds(self, scales: Array) -> bool:
        """Whether packed scales are the very numbers."""
        factor = np.float32(self.factor)
        packed = (scales * factor).astype(self.scale).astype(np.float32)
        return np.array_equal(packed / factor, scales)


OWN = (
    Form("I8", "i8", 0, 1.0, (3.8, 3.0)),
    Form("I4", "i4", 32, 1 / 16, (4.0, 4.5)),
    Form("E2M1", "e2m1", 0, 1 / 2, (4.5, 5.0)),
    Form("E4M3", "e4m3", 0, 256.0, (4.8, 6.0)),
    Form("E5M2", "e5m2", 0, 1.0, (3.8, 4.0)),
)
# letters of what others made: whole scales for a segment, 32 and 16 products, zero points
OTHERS = (("S", 0, False), ("F", 32, False), ("Z", 32, True), ("H", 16, False), ("Y", 16, True))


def _of_others(form: Form, letter: str, group: int, zeros: bool) -> Form:
    costs = (form.costs[0] + zeros, form.costs[1] + zeros)
    return Form(form.name + letter, form.format, group, form.factor, costs, F32, zeros)


FORMS = {
    form.name.lower(): form
    for own in OWN
    for form in (own, *(_of_others(own, *other) for other in OTHERS if own.format in INTEGERS or not other[-1]))
}


@dataclass(frozen=True)
class Coded:
    """Codes, and for each of them its scale and its zero point; they are moved and cut alike."""

    form: Form
    codes: Array
    scales: Array
    zeros: Array

    @property
    def shape(self) -> tuple[int, ...]:
        dims: tuple[int, ...] = self.codes.shape
        return dims

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what they are decoded to."""
        return np.dtype(np.float32)

    def _each(self, f: Callable[[Array], Array]) -> Coded:
        return Coded(self.form, f(self.codes), f(self.scales), f(self.zeros))

    def transpose(self, *axes: int) -> Coded:
        return self._each(lambda v: v.transpose(axes))

    def reshape(self, *dims: int) -> Coded:
        return self._each(lambda v: v.reshape(dims))

    def __getitem__(self, at: Any) -> Coded:
        return self._each(lambda v: v[at])

    def joins(self, channels: int) -> bool:
        """Whether taps of so many channels may be one run: groups do not go over the end of a tap."""
        return not self.form.group or channels % self.form.group == 0


Weights = Array | Coded


def weights_of(graph: Graph, value: Value, channels: int, products: int) -> Weights:
    """A constant as codes where kernels have its encoding, else as floats. Axis `channels` holds a scale each, groups
    lie along axis `products`."""
    form = form_of(graph, value, channels, products)
    if form is None:
        return graph.array(value)
    encoding = value.type.encodings[0]
    assert isinstance(encoding, Quant | Float8 | Scale)
    scale = graph.module.constants[encoding.scale]
    zeros = np.broadcast_to(np.int8(0), value.type.dims)
    if form.group:
        length = value.type.dims[products]
        spread_scale = spread(scale, products, form.group, length)
        if form.zeros:
            assert isinstance(encoding, Quant)
            zeros = spread(graph.module.constants[encoding.zero], products, form.group, length)
    else:
        along = scale if encoding.axis is None else scale.reshape([-1 if i == channels else 1 for i in
                                                                   range(value.type.rank)])  # fmt: skip
        spread_scale = np.broadcast_to(along, value.type.dims)
    return Coded(form, graph.stored(value), spread_scale, zeros)


def form_of(graph: Graph, value: Value, channels: int, products: int) -> Form | None:
    """The kernels' form of a constant's encoding, with scales a channel or a group that the form holds."""
    (encoding, *others) = value.type.encodings or (None,)
    constants = graph.module.constants
    match (encoding, *others):
        case (Quant() | Float8() as outer,):
            format = outer.format
        case (Scale() as outer, Palette() as inner) if is_e2m1(constants, inner):
            format = "e2m1"
        case _:
            return None
    group = outer.group
    if value.const is None or outer.axis not in ((products,) if group else (None, channels)):
        return None
    zeros = isinstance(outer, Quant) and bool(np.any(constants[outer.zero]))
    legal = [form for form in FORMS.values() if (form.format, form.group) == (format, group)]
    legal = [form for form in legal if form.zeros or not zeros]
    return next((form for form in legal if form.holds(constants[outer.scale])), None)


def short_scale(scale: Array) -> Array:
    """The next scales above that are the upper half of a float, so that nothing is clamped for them."""
    bits = np.asarray(scale, np.float32).view(np.uint32)
    return np.asarray(((bits + 0xFFFF) & 0xFFFF0000).astype(np.uint32).view(np.float32))


# As tiles.ROWS: registers hold the scales and what is being decoded as well.
ROWS: dict[str, dict[int, int]] = {
    "neon": {8: 2, 6: 2, 4: 4, 2: 8, 1: 8},
    "scalar": {4: 1, 2: 4, 1: 4},
    "avx2": {4: 1, 3: 2, 2: 4, 1: 8},
    "avx512": {8: 1, 4: 5, 3: 7, 2: 12, 1: 14},
}


@dataclass(frozen=True)
class CodedTiles:
    """`eights`: rows of a group are rounded up to eight."""

    tiles: Tiles
    form: Form
    eights: bool

    @property
    def mr(self) -> int:
        return self.tiles.mr

    @property
    def kind(self) -> str:
        return self.form.format

    def struct(self) -> Struct:
        t, name = self.tiles, f"edgec_gemm_{self.form.name}_"
        names = (("tile", Symbol(f"{name}{t.mr}x{t.nv}")), ("last_tile", Symbol(f"{name}{t.mr}x{t.last_nv}")))
        sizes = (("mr", t.mr), ("nv", t.nv), ("last_nv", t.last_nv), ("wide", t.wide))
        return Struct("edgec_gemm_tiles", (*names, *sizes))

    def instances(self) -> tuple[str, ...]:
        t = self.tiles
        return tuple(f"EDGEC_CODED_TILE({self.form.name}, {t.mr}, {v})" for v in sorted({t.nv, t.last_nv}))

    def pack_bias(self, bias: Array | None, n: int) -> Array:
        return self.tiles.pack_bias(bias, n)

    def pack(self, runs: Coded) -> Array:
        """Segments [run][k][n] panel by panel, as bytes."""
        _, length, n = runs.shape
        group, lanes = self.form.group or length, self.tiles.lanes
        parts = []
        for j, nv in self.tiles.panels(n):
            width = nv * lanes
            for run in range(runs.shape[0]):
                for k in range(0, length, group):
                    part = runs[run, k : k + group, j : j + width]
                    scale = np.zeros(width, np.float32)
                    scale[: part.shape[1]] = part.scales[0] * np.float32(self.form.factor)
                    parts.append(scale.astype(self.form.scale).view(np.uint8))
                    if self.form.zeros:
                        zero = np.zeros(width, np.float32)
                        zero[: part.shape[1]] = part.zeros[0] / np.float32(self.form.factor)
                        parts.append(zero.astype(BF16).view(np.uint8))
                    parts.append(self._rows(part.codes, nv))
        return np.concatenate(parts) if parts else np.zeros(0, np.uint8)

    def _rows(self, codes: Array, nv: int) -> Array:
        """The codes of one group [k][columns], zeros beside and below them."""
        step = 8 if self.eights else self.form.halves
        rows = -(-len(codes) // step) * step
        whole = np.zeros((rows, nv * self.tiles.lanes), np.uint8)
        whole[: len(codes), : codes.shape[1]] = codes.view(np.uint8)
        if self.form.halves == 1:
            return whole.ravel()
        if self.eights:
            vectors = whole.reshape(-1, 2, 4 * self.tiles.lanes)  # the lower halves, and the upper ones
        else:
            vectors = whole.reshape(-1, 2, nv * self.tiles.lanes)
        return ((vectors[:, 0] & 15) | (vectors[:, 1] << 4)).ravel()


AnyTiles = Tiles | CodedTiles | Bf16Tiles | Float8Tiles


def choose_coded_tiles(
    isa: Isa, form: Form, rows: int, columns: int, k: int, line: int = 0, segments: int = 1
) -> CodedTiles:
    """As tiles.choose_tiles."""

    def cost(mr: int, nv: int) -> float:
        return tile_instructions(isa, mr, nv, k, segments) + k * nv * form.costs[isa.name != "neon"]

    return CodedTiles(cheapest_tiles(isa, ROWS[isa.name], rows, columns, line, cost), form, isa.name == "neon")


def pack_runs(tiles: AnyTiles, runs: Weights) -> tuple[Array, int]:
    """Segments [run][k][n] as the kernels read them, and the bytes of a column of one segment."""
    segments, length, n = runs.shape
    if isinstance(tiles, Float8Tiles):
        assert isinstance(runs, Coded)
        return tiles.pack(runs.codes), -(-length // GROUP) * GROUP
    if isinstance(tiles, CodedTiles):
        assert isinstance(runs, Coded)
        packed = tiles.pack(runs)
        columns = tiles.tiles.packed_columns(n)
        return packed, packed.nbytes // max(1, segments * columns)
    assert not isinstance(runs, Coded)
    if isinstance(tiles, Bf16Tiles):
        packed = tiles.pack(runs)
        return packed, -(-length // tiles.group) * tiles.group * packed.itemsize
    return tiles.pack(runs.reshape(segments * length, n)), tiles.dtype.itemsize * length


def pack_bias(tiles: AnyTiles, weights: Weights, bias: Array | None, n: int) -> Array:
    """As the kernels read it, with what else they need for each column of weights [..., n]."""
    if not isinstance(tiles, Float8Tiles):
        return tiles.pack_bias(bias, n)
    assert isinstance(weights, Coded)
    return tiles.pack_bias(bias, weights.scales.reshape(-1, n)[0] if weights.scales.size else np.zeros(n), n)


def header_of(tiles: AnyTiles, other: str) -> str:
    """Has the kernels of convolution and matmul over such tiles; `other` has those over floats."""
    return "coded.h" if isinstance(tiles, CodedTiles) else other
