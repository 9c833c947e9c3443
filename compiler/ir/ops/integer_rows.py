"""Softmax, norms, attention and PRelu of bytes, exact on every target like the rest of `integer.py`.

Exponentials are tables made when the model is compiled (as XNNPACK's u8-lut32norm and xcore's softmax have them;
I-BERT, S. Kim et al. 2021, and I-ViT, Z. Li and Q. Gu 2023, compute them by polynomials and shifts). Sums are exact.
A row has one division, by integers, which truncates alike on every machine; the rest are multiplications whose upper
half is kept. `r15(a, b)` is (a*b + 2^14) >> 15, what SQRDMULH and PMULHRSW make of 16-bit numbers.

**qsoftmax** to the lowest byte and a scale of 2^(16-finer) / (256 numerator): with the default of both 1/256, as TFLite
has it. With d = max - q:

    e = table[d] (u16, from 65535), S = max(sum e, 2^15) < 2^b, R = min(numerator * 2^(b-1) / S, 65535)
    p = min(((((e * R) >> 16) >> (b - 10 - finer)) + 1) >> 1, 255)

**qnorm**, layer norm or (`centre` 0) RMS norm, over n bytes x. The row's mean and variance come from exact sums, as in
I-BERT; 1/sqrt is three of Newton's steps from a line (`rsqrt30`):

    a = 128 * (x - mean), V = 2^16 * n * sum (x - mean)^2 + eps, M * 2^k / 2^15 = 2^(p+8) * n / (128 sqrt V)
    u = r15(a << k, M)
    y = (clamp16(r15(u, gain) + offset) + 2^(shift-1)) >> shift

where V is exact as 2^16 n^2 times the variance, fine enough for the epsilon of a row of two, and p = `norm_bits(n)` is
the most fraction bits with which u, at most sqrt(n), and a << k surely fit 16 bits.

**qattention** never stores probabilities (Milakov and Gimelshein 2018): a row's products are divided by their sum at
the end, so that nothing is lost where all weights are small. Scores of a row are compared with the largest, in 32 bits;
the difference in steps of KEY_STEP is the place in a table of exponentials, bytes too, so that products of bytes serve:

    t = min((max - s) * m >> shift, 255) rounded half up, e = table[t] (from 255), S = max(sum e, 1)
    y = ((sum e * (v - v_zero) * w + 2^30) >> 31) + zero,   w = min(factor / S, 2^30 - 1)

Keys and values count as at least one above the lowest byte, so that two products fit 16 bits.

**qprelu**: y = ((r15((x - x_zero) << 7, x < x_zero ? slope : positive) + 2^(shift-1)) >> shift) + zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.ops import row_rules
from edgec.ir.ops.integer import ACC, BYTES, MIDDLE, SHIFTS
from edgec.ir.ops.operands import operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.types import DTYPES, Type

Array = np.ndarray[Any, Any]
LONGEST_SOFTMAX = 4096  # elements of a row; rounding of that many exponentials adds up to 1/32 at most
COARSER, FINER = 8, 6  # bits: S has at least 16, of which 10 go
LONGEST_NORM = 1 << 14
EPS_BITS = 16  # that V has behind the least variance but 0
LONGEST_KEYS = 1 << 15  # 255 * 255 times as many fits 32 bits
HIDDEN = -(1 << 29)  # a mask's number for a key that is hidden; scores and other numbers are smaller
TOP_WEIGHT = 255  # table[0] of qattention
KEY_STEP = math.log(2.04 * TOP_WEIGHT) / 255  # of its differences: the last entry rounds to nothing


def r15(a: Array, b: Array) -> Array:
    return np.asarray((a * b + (1 << 14)) >> 15)


def _byte(types: Sequence[Type | None], i: int, kind: str) -> Type:
    t = operand(types, i, kind)
    if t.dtype not in BYTES:
        raise IRError(f"{kind} takes i8 or u8, and operand {i} is {t}")
    return t


def _check_to(kind: str, x: Type, a: Any) -> None:
    if a["to"] != x.dtype:
        raise IRError(f"{kind} of {x.dtype} makes {x.dtype}, not {a['to']}")


def _within(kind: str, name: str, value: int, lo: int, hi: int) -> None:
    if not lo <= value <= hi:
        raise IRError(f"{kind}: the {name} is {value}, and must be {lo} to {hi}")


def _saturated(q: Array, a: Any) -> Array:
    info = np.iinfo(DTYPES[a["to"]])
    return np.asarray(np.clip(q, info.min, info.max).astype(info.dtype))


def _infer_softmax(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, table = _byte(types, 0, "qsoftmax"), operand(types, 1, "qsoftmax")
    _check_to("qsoftmax", x, a)
    if not 0 <= a["axis"] < x.rank:
        raise IRError(f"qsoftmax: axis {a['axis']} is not one of the {x.rank} axes of {x}")
    _within("qsoftmax", "length of a row", x.dims[a["axis"]], 0, LONGEST_SOFTMAX)
    if table != Type("u16", (256,)):
        raise IRError(f"qsoftmax: the table {table} must be u16[256]")
    _within("qsoftmax", "numerator", a["numerator"], 1 << 15, 1 << 16)
    _within("qsoftmax", "number of finer bits", a["finer"], -COARSER, FINER)
    return [Type(x.dtype, x.shape)]


def _evaluate_softmax(v: Sequence[Any], a: Any) -> list[Array]:
    if not v[0].size:
        return [v[0]]
    x, axis = v[0].astype(np.int64), a["axis"]
    e = v[1].astype(np.int64)[x.max(axis, keepdims=True) - x]
    total = np.maximum(e.sum(axis, keepdims=True), 1 << 15)
    b = np.frexp(total.astype(np.float64))[1].astype(np.int64)
    by = np.minimum((np.int64(a["numerator"]) << (b - 1)) // total, 65535)
    p = ((((e * by) >> 16) >> (b - 10 - a["finer"])) + 1) >> 1
    return [_saturated(np.minimum(p, 255) + np.iinfo(v[0].dtype).min, a)]


def norm_bits(n: int) -> int:
    """The most p for which sqrt(n) * 2^(p+1) and 64 is below 2^15: u and what it is made of fit 16 bits."""
    return math.floor(math.log2(16352 / math.sqrt(n)))


def rsqrt30(v: Array) -> Array:
    """2^46 / sqrt(v) of 2^30 <= v < 2^32, by Newton's steps from the line 2.13 - 1.215 v / 2^32: right to 2^-23."""
    y = np.uint64(2287070085) - ((v * np.uint64(1304596316)) >> np.uint64(32))
    for _ in range(3):
        square = (((y * y) >> np.uint64(30)) * v) >> np.uint64(32)
        y = (y * (np.uint64(3 << 30) - square)) >> np.uint64(31)
    return np.asarray(y)


def norm_factor(variance: Array, n: int) -> tuple[Array, Array]:
    """M and k of 2^(p+8) * n / (128 sqrt V), for V >= 2^16."""
    bits = np.frexp(variance.astype(np.float64))[1].astype(np.int64)
    # frexp rounds; V itself says whether it has the bit
    bits -= (variance >> np.maximum(bits - 1, 0)) == 0
    half = (bits + 1) // 2 - 16  # V = v * 4^half
    v = np.where(half >= 0, variance >> np.maximum(2 * half, 0), variance << np.maximum(-2 * half, 0))
    whole = n * rsqrt30(v.astype(np.uint64)).astype(np.int64)
    drop = 38 - EPS_BITS // 2 + half - norm_bits(n)
    length = np.frexp(whole.astype(np.float64))[1].astype(np.int64)
    length -= (whole >> (length - 1)) == 0
    k = np.maximum(length - drop - 15, 0)
    return np.asarray(whole >> (drop + k)), np.asarray(k)


def _infer_norm(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = _byte(types, 0, "qnorm")
    _check_to("qnorm", x, a)
    if not 0 <= a["axis"] < x.rank:
        raise IRError(f"qnorm: axis {a['axis']} is not one of the {x.rank} axes of {x}")
    row = x.dims[a["axis"] :]
    for i, name in ((1, "gain"), (2, "offset")):
        if operand(types, i, "qnorm") != Type("i16", row):
            raise IRError(f"qnorm: the {name} {types[i]} must be i16{list(row)}")
    _within("qnorm", "length of a row", math.prod(row), 1, LONGEST_NORM)
    _within("qnorm", "shift", a["shift"], 1, 14)
    _within("qnorm", "eps", a["eps"], 0, 1 << 60)
    return [Type(x.dtype, x.shape)]


def _evaluate_norm(v: Sequence[Any], a: Any) -> list[Array]:
    middle = MIDDLE[a["to"]]
    row = v[0].shape[a["axis"] :]
    n = math.prod(row)
    x = v[0].astype(np.int64).reshape(-1, n) - middle
    total, squares = x.sum(1, keepdims=True), (x * x).sum(1, keepdims=True)
    if a["centre"]:
        variance = n * squares - total * total
        mean = (256 * (total + 128 * n) + n) // (2 * n) - (128 << 7)
    else:
        zero = a["x_zero"] - middle
        variance = n * (squares - 2 * zero * total + n * zero * zero)
        mean = np.full_like(total, zero << 7)
    # where all is 0, whatever it is multiplied with
    factor, k = norm_factor(np.maximum((variance << EPS_BITS) + a["eps"], 1 << EPS_BITS), n)
    u = r15(((x << 7) - mean) << k, factor)
    gain, offset = (g.astype(np.int64).reshape(n) for g in v[1:3])
    y = np.clip(r15(u, gain) + offset, -(1 << 15), (1 << 15) - 1)
    y = (y + (1 << (a["shift"] - 1))) >> a["shift"]
    return [_saturated(y + middle, a).reshape(v[0].shape)]


def _infer_attention(types: Sequence[Type | None], a: Any) -> list[Type]:
    kind = "qattention"
    q, k, v = (_byte(types, i, kind) for i in range(3))
    _check_to(kind, q, a)
    if not q.rank == k.rank == v.rank == 4 or k.dims[:3] != v.dims[:3] or q.dims[3] != k.dims[3]:
        raise IRError(f"{kind}: {q}, {k} and {v} must be [B,H,N,D], [B,H,M,D] and [B,H,M,E]")
    if q.dims[0] != k.dims[0] or not k.dims[1] or q.dims[1] % k.dims[1] or len({q.dtype, k.dtype, v.dtype}) > 1:
        raise IRError(f"{kind}: {q} does not fit keys {k} and values {v}")
    if operand(types, 3, kind) != Type("u8", (256,)):
        raise IRError(f"{kind}: the table {types[3]} must be u8[256]")
    mask = types[4] if len(types) > 4 else None
    full = (*q.dims[:3], k.dims[2])
    if mask is not None and (mask.dtype != "i32" or mask.rank > 4 or np.broadcast_shapes(mask.dims, full) != full):
        raise IRError(f"{kind}: the mask {mask} must be i32 that broadcasts to {list(full)}")
    _within(kind, "number of keys", k.dims[2], 1, LONGEST_KEYS)
    _within(kind, "length of a key", k.dims[3], 1, (-HIDDEN >> 16) - 1)
    _within(kind, "multiplier", a["multiplier"], 1, (1 << 16) - 1)
    _within(kind, "shift", a["shift"], *SHIFTS)
    _within(kind, "factor", a["factor"], 1, 1 << 40)
    if -HIDDEN // 2 * a["multiplier"] >> a["shift"] < 255:
        raise IRError(f"{kind}: with multiplier {a['multiplier']} and shift {a['shift']} no key is hidden")
    return [Type(q.dtype, (*q.dims[:3], v.dims[3]))]


def _evaluate_attention(v: Sequence[Any], a: Any) -> list[Array]:
    middle, repeat = MIDDLE[a["to"]], v[0].shape[1] // v[1].shape[1]
    q = v[0].astype(np.float64) - a["q_zero"]
    k = np.repeat(np.maximum(v[1].astype(np.float64) - middle, -127), repeat, axis=1)
    values = np.maximum(v[2].astype(np.float64) - middle, -127) + (middle - a["v_zero"])
    values = np.repeat(values, repeat, axis=1)
    # sums of integers below 2^53 are exact in float64
    scores = (q @ np.swapaxes(k, -1, -2)).astype(np.int64)
    if len(v) > 4 and v[4] is not None:
        scores = scores + v[4]
    behind = scores.max(-1, keepdims=True) - scores
    assert behind.max(initial=0) <= ACC.max
    place = np.minimum((behind * a["multiplier"] + (1 << (a["shift"] - 1))) >> a["shift"], 255)
    e = v[3].astype(np.int64)[place]
    by = np.minimum(a["factor"] // np.maximum(e.sum(-1, keepdims=True), 1), (1 << 30) - 1)
    acc = (e.astype(np.float64) @ values).astype(np.int64)
    return [_saturated(((acc * by + (1 << 30)) >> 31) + a["zero"], a)]


def _infer_prelu(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, slopes = _byte(types, 0, "qprelu"), operand(types, 1, "qprelu")
    _check_to("qprelu", x, a)
    if x.rank < 1 or slopes != Type("i16", x.dims[-1:]):
        raise IRError(f"qprelu: the slopes {slopes} of {x} must be i16, one a channel")
    _within("qprelu", "positive multiplier", a["positive"], 1, (1 << 15) - 1)
    _within("qprelu", "shift", a["shift"], 1, 14)
    return [Type(x.dtype, x.shape)]


def _evaluate_prelu(v: Sequence[Any], a: Any) -> list[Array]:
    x = v[0].astype(np.int64) - a["x_zero"]
    y = r15(x << 7, np.where(x < 0, v[1].astype(np.int64), a["positive"]))
    return [_saturated(((y + (1 << (a["shift"] - 1))) >> a["shift"]) + a["zero"], a)]


ROWS: list[OpRow] = [
    OpRow("qsoftmax", "integer", (2, 2), _infer_softmax, _evaluate_softmax,
          {"axis": REQUIRED, "numerator": 1 << 16, "finer": 0, "to": "i8"}, row_rules.along_axis),
    OpRow("qnorm", "integer", (3, 3), _infer_norm, _evaluate_norm,
          {"axis": REQUIRED, "centre": 1, "x_zero": 0, "eps": 0, "shift": REQUIRED, "to": "i8"}, row_rules.along_axis),
    OpRow("qattention", "integer", (4, 5), _infer_attention, _evaluate_attention,
          {"q_zero": 0, "v_zero": 0, "zero": 0, "multiplier": REQUIRED, "shift": REQUIRED, "factor": REQUIRED,
           "to": "i8"}),
    OpRow("qprelu", "integer", (2, 2), _infer_prelu, _evaluate_prelu,
          {"x_zero": 0, "zero": 0, "positive": REQUIRED, "shift": REQUIRED, "to": "i8"}, row_rules.own_row),
]  # fmt: skip
