"""What an operator costs in floats, in halves and on bytes, in instructions, from its shapes alone: where bytes pay.

Convolutions and matmuls are counted as their tiles are chosen (tiles.py, qtiles.py, winograd.py); the rest by figures
an element, counted in the emulator on A64 and carried over to other vectors by their width. Weights come from memory,
once a run, at the price that winograd.py gives a byte. x86 cores do not take all instructions at the pace of wide
multiply-adds: PACE is what was measured there, operator by operator.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Final, Literal

from edgec.ir.graph import Op
from edgec.ir.residual import residual_of
from edgec.targets.c import qtiles, tiles
from edgec.targets.c.element import element_of
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.conv import is_depthwise
from edgec.targets.c.lower.winograd import has_winograd_form, layer_of
from edgec.targets.c.winograd import PER_BYTE, best, instructions

Form = Literal[0, 1, 2]  # columns of the tables
FLOATS: Final = 0
BYTES: Final = 1
HALVES: Final = 2
# Instructions an element of the result, on A64: in floats, on bytes, in halves. An activation is fused.
ELEMENT: dict[str, tuple[float, float, float]] = {
    "add": (0.5, 1.8, 0.4), "sub": (0.5, 1.8, 0.4), "mul": (1.2, 2.2, 0.8), "concat": (2.2, 1.1, 1.8),
    "transpose": (1.3, 3.0, 3.1), "sigmoid": (8.6, 0.8, 9.1), "tanh": (8.6, 0.8, 9.1), "silu": (9.0, 0.8, 9.5),
    "gelu": (19.0, 0.8, 19.6), "hard_swish": (2.1, 0.8, 1.1), "relu": (0.5, 0.8, 0.6), "reshape": (0.0, 0.0, 0.0),
    "softmax": (10.0, 3.4, 10.6), "layer_norm": (3.7, 2.2, 4.2), "rms_norm": (3.0, 2.2, 3.4), "prelu": (2.5, 1.5, 1.3),
    "resize": (3.2, 2.2, 3.0),
}  # fmt: skip
MOVED = (1.0, 0.5, 0.7)  # operators that are not listed
ADDED = (0.5, 0.6, 0.25)  # an element that a convolution adds to its sums
SUMMED = (0.48, 0.48, 0.67)  # an element of the operand of a mean
TAP = (2.2, 0.43, 1.15)  # of a pooling window
# A score of attention: for each number of a key and a value, and once; by (bytes, dot products).
SCORE: dict[tuple[bool, bool], tuple[float, float]] = {
    (False, False): (0.46, 10.0), (True, True): (0.09, 2.9), (True, False): (0.31, 2.9),
}  # fmt: skip
ENCODED, DECODED = 2.6, 1.8  # an element between floats and bytes
# A unit of a recurrent state whose range is found and that becomes a byte, a row of them, a gate unit's sum of bytes
# that becomes a float (beside what tiles take for requantisation), and a second product a step.
STATE, STATE_ROW, GATE, SECOND = 4.0, 80.0, 2.1, 150.0
CAST = 0.7  # and between floats and halves
# What halves cost in a graph, to what they cost alone, but for Winograd's algorithm: padded copies are twice as large.
PADDED = 1.2
# Instructions of a register of depthwise results: for each tap, and once; by (bytes, dot products, stride 1).
DEPTHWISE: dict[tuple[bool, bool, bool], tuple[float, float]] = {
    (False, False, True): (1.2, 5.8), (False, False, False): (1.47, 7.8),
    (True, False, True): (6.1, 10.0), (True, False, False): (5.6, 27.0),
    (True, True, True): (3.4, 14.6), (True, True, False): (4.0, 28.0),
}  # fmt: skip
# Instructions in the time of one of the GEMM of floats; 1 where nothing is said, as for all of A64.
PACE: dict[tuple[str, str], float] = {
    ("avx512", "winograd"): 1.1, ("avx512", "depthwise"): 0.6, ("avx512", "bytes"): 1.35,
    ("avx512", "depthwise bytes"): 1.0, ("avx512", "pairs"): 1.75,
    ("avx2", "winograd"): 1.3, ("avx2", "depthwise"): 0.7, ("avx2", "depthwise bytes"): 1.0, ("avx2", "pairs"): 1.75,
}  # fmt: skip
ROW = 60.0  # what a driver does for a row of an image
GEMM_ROW = (150.0, 250.0, 150.0)  # and that of a GEMM over it: more of them in a block, fewer in a convolution alone
CHANNELS = (20.0, 40.0)  # and a depthwise one for a register of its channels


def is_winograd(op: Op, isa: Isa) -> bool:
    """In floats, it would be done by Winograd's algorithm."""
    return has_winograd_form(op) and best(layer_of(op), isa) > 0


def in_floats(op: Op, isa: Isa) -> float:
    return _wide(op, isa, FLOATS, 4)


def in_halves(op: Op, isa: Isa) -> float:
    """Where there is arithmetic on halves."""
    wide = element_of(isa, "f16").isa
    return _wide(op, wide, HALVES, 2) * (1.0 if is_winograd(op, wide) else PADDED)


def _wide(op: Op, isa: Isa, form: Form, size: int) -> float:
    """Of numbers of `size` bytes, as many in a register as `isa` has lanes."""
    if has_winograd_form(op) and (m := best(layer_of(op), isa)):
        spent = instructions(layer_of(op), isa, m) / PACE.get((isa.name, "winograd"), 1.0)
        return spent + _weights(op, size * (m + 2) ** 2 / 9)
    return _cost(op, isa, form) + _weights(op, size)


def on_bytes(op: Op, isa: Isa) -> float:
    return _cost(op, isa, BYTES) + _weights(op, 1)


def state_in_floats(op: Op, isa: Isa) -> float:
    """What the state of a recurrent operator adds to its gates, in all steps."""
    return _state(op, isa, False) + PER_BYTE * 4 * op.arg(2).type.size


def state_on_bytes(op: Op, isa: Isa) -> float:
    return _state(op, isa, True) + PER_BYTE * op.arg(2).type.size


def _state(op: Op, isa: Isa, on_bytes: bool) -> float:
    (t, b, _), (d, each, h) = op.arg(0).type.dims, op.arg(2).type.dims
    seeing = 2 * h if op.kind == "gru" else each
    spent = sum(_gemm(isa, on_bytes, 1, n, h, 0, 1) for n in (seeing, each - seeing) if n)
    if on_bytes:
        rows = 1 if op.attrs.get("linear_before_reset", True) else 2
        spent += rows * (h * STATE * 4 / isa.lanes + STATE_ROW) + each * GATE * 4 / isa.lanes
        spent += SECOND if seeing < each else 0.0
    return t * b * d * spent


def encoding(elements: int, isa: Isa) -> float:
    return elements * ENCODED * 4 / isa.lanes


def decoding(elements: int, isa: Isa) -> float:
    return elements * DECODED * 4 / isa.lanes


def casting(elements: int, isa: Isa) -> float:
    return elements * CAST * 4 / isa.lanes


def _weights(op: Op, size: float) -> float:
    if op.kind == "gather":
        return 0.0  # only the rows that are taken are read
    constants = [v for v in op.inputs if v is not None and v.const is not None]
    return float(PER_BYTE * size * sum(v.type.size for v in constants))


def _cost(op: Op, isa: Isa, form: Form) -> float:
    registers = 1.0 if form == HALVES else 4 / isa.lanes  # to those of A64
    if op.kind == "conv":
        added = op.result.type.size * ADDED[form] * registers if residual_of(op) is not None else 0.0
        return added + (_depthwise(op, isa, form == BYTES) if is_depthwise(op) else _conv(op, isa, form))
    if op.kind == "matmul":
        dims = op.result.type.dims
        return _gemm(isa, form == BYTES, math.prod(dims[:-1]), dims[-1], op.arg(0).type.dims[-1], 0, 1)
    if op.kind == "attention":
        (b, heads, n, d), (m, e) = op.arg(0).type.dims, op.arg(2).type.dims[2:]
        each, once = SCORE[form == BYTES, form == BYTES and isa.dot]
        return b * heads * n * m * (each * (d + e) + once) * registers
    if op.kind.startswith("reduce_"):
        return op.arg(0).type.size * SUMMED[form] * registers
    if op.kind.endswith("_pool"):
        window: int = math.prod(op.attrs["kernel"])  # type: ignore[arg-type]
        return op.result.type.size * window * TAP[form] * registers
    return op.result.type.size * ELEMENT.get(op.kind, MOVED)[form] * registers


def _conv(op: Op, isa: Isa, form: Form) -> float:
    attrs: Any = op.attrs
    n, oh, ow, o = op.result.type.dims
    _, gc, kh, kw = op.arg(1).type.dims
    groups: int = attrs["groups"]
    one_run = attrs["dilations"][1] == 1 and groups == 1
    segments = kh if one_run else kh * kw
    if kh * kw == 1 and attrs["strides"] == (1, 1) and groups == 1:
        return _gemm(isa, form == BYTES, n * oh * ow, o, gc, 0, 1)
    return n * oh * (groups * _gemm(isa, form == BYTES, ow, o // groups, gc * kh * kw, ow, segments) + GEMM_ROW[form])


def _gemm(isa: Isa, on_bytes: bool, rows: int, columns: int, k: int, line: int, segments: int) -> float:
    """Of C[rows][columns]; `k` products a result in `segments` runs."""
    if on_bytes:
        chosen = qtiles.choose_qtiles(isa, rows, columns, k // segments, line, segments, "bytes")
        t, cost = chosen.tiles, partial(qtiles.tile_instructions, isa, chosen.form)
        each = {nv: cost(t.mr, nv, k // segments, segments) for nv in (t.nv, t.last_nv)}
        pace = PACE.get((isa.name, "bytes" if isa.dot else "pairs"), 1.0)
    else:
        t = tiles.choose_tiles(element_of(isa, "f32"), rows, columns, k, line, segments)
        each = {nv: tiles.tile_instructions(isa, t.mr, nv, k, segments) for nv in (t.nv, t.last_nv)}
        pace = 1.0
    return -(-rows // t.mr) * sum(each[nv] for _, nv in t.panels(columns)) / pace


def _depthwise(op: Op, isa: Isa, on_bytes: bool) -> float:
    attrs: Any = op.attrs
    n, oh, ow, c = op.result.type.dims
    taps = math.prod(op.arg(1).type.dims[2:])
    tap, once = DEPTHWISE[on_bytes, on_bytes and isa.dot, attrs["strides"][1] == 1]
    width = isa.lanes * 4 if on_bytes else isa.lanes
    # a register of bytes may hold the channels of neighbouring pixels
    registers = ow / (width // c) if c < width else ow * -(-c // width)
    pace = PACE.get((isa.name, "depthwise bytes" if on_bytes else "depthwise"), 1.0)
    return n * oh * (registers * (tap * taps + once) + -(-c // width) * CHANNELS[on_bytes] + ROW) / pace
