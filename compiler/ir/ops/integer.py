"""Arithmetic on 8-bit integers, exact on every target: what `lower_requant` makes of operators on encoded values.

One formula serves all (design page "The IR", integer arithmetic): an i32 sum, a 16-bit multiplier, one shift, one
rounding, half up:

    q = clamp(((acc * m + 2^(s-1)) >> s) + middle, lo, hi)        1 <= m < 2^16, 17 <= s <= 31

`middle` is 0 for i8 and 128 for u8: a u8 result is the i8 result and 128, bit by bit, whichever a target stores. A
result's zero point is part of the sum, as round((zero - middle) * 2^s / m): it shifts the result by less than
m / 2^(s+1) of a step. Operands' zero points are attributes, where a kernel must know them to pad. `x` is i8 or u8;
weights are i8 with result channels first, in [-127, 127], so that two products fit 16 bits.

Weights of four bits come with multipliers: operand 5 has one for each 32 weights along axis 1 (S. Dai et al.,
"VS-Quant", 2021, with whole numbers instead of floats). A weight is then the product, |w| <= 7 times 1 to 17, which is
in [-127, 127] again: sums over groups, each times its multiplier, are sums over such weights.

What a convolution's result is added to, a tensor of bytes (operand 6), is part of its sum: operand 7 says how many of
the sum's steps, one number a channel, one of its steps is. So nothing is rounded between product and addition. Its zero
point is in the bias.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.encodings import grouped_dims, nearest_steps, spread
from edgec.ir.errors import IRError
from edgec.ir.ops import row_rules
from edgec.ir.ops.conv import conv_dims, conv_sum, from_channels_last, pool_dims, sliding, to_channels_last
from edgec.ir.ops.operands import operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.types import DTYPES, Type

Array = np.ndarray[Any, Any]
BYTES = ("i8", "u8")
REALS = ("f32", "f16")
MIDDLE = {"i8": 0, "u8": 128}
SHIFTS = (17, 31)  # least and largest s
ACC = np.iinfo(np.int32)
GROUP = 32  # weights of four bits that share a multiplier
TOP_OF_FOUR, MOST_TIMES = 7, 17
MOST_WEIGHT = 127


def requantised(acc: Array, m: Any, s: Any, a: Any) -> Array:
    """The formula above, for i32 sums and what broadcasts to them."""
    m, s = np.asarray(m, np.int64), np.asarray(s, np.int64)
    scaled = (acc.astype(np.int64) * m + (np.int64(1) << (s - 1))) >> s
    return np.asarray(np.clip(scaled + MIDDLE[a["to"]], a["lo"], a["hi"]).astype(DTYPES[a["to"]]))


def terms_of_bytes(weights: Array) -> list[Array]:
    """Weights that go beyond a byte as a sum of as few as can be that do not, i32 all."""
    terms: list[Array] = []
    rest = weights.astype(np.int32)
    while not terms or np.any(rest):
        terms.append(np.clip(rest, -MOST_WEIGHT, MOST_WEIGHT))
        rest = rest - terms[-1]
    return terms


def _byte(types: Sequence[Type | None], i: int, kind: str) -> Type:
    t = operand(types, i, kind)
    if t.dtype not in BYTES:
        raise IRError(f"{kind} takes i8 or u8, and operand {i} is {t}")
    return t


def _check_bounds(kind: str, a: Any) -> None:
    if a["to"] not in BYTES:
        raise IRError(f"{kind} makes i8 or u8, not {a['to']}")
    info = np.iinfo(DTYPES[a["to"]])
    if not info.min <= a["lo"] <= a["hi"] <= info.max:
        raise IRError(f"{kind}: the bounds {a['lo']} and {a['hi']} are no interval of {a['to']}")


def _check_shift(kind: str, m: int, s: int) -> None:
    if not (1 <= m < 1 << 16 and SHIFTS[0] <= s <= SHIFTS[1]):
        raise IRError(f"{kind}: multiplier {m} and shift {s} are not 1 to 65535 and {SHIFTS[0]} to {SHIFTS[1]}")


def _vectors(kind: str, types: Sequence[Type | None], channels: int) -> bool:
    """Bias, multiplier and shift: i32, one a channel; without the last two, the result is the i32 sum."""
    for i, name in ((2, "bias"), (3, "multiplier"), (4, "shift")):
        t = types[i] if len(types) > i else None
        if t is not None and t != Type("i32", (channels,)):
            raise IRError(f"{kind}: the {name} {t} must be i32[{channels}]")
    given = [len(types) > i and types[i] is not None for i in (3, 4)]
    if given[0] != given[1]:
        raise IRError(f"{kind} needs multiplier and shift together")
    return given[0]


def _result(kind: str, types: Sequence[Type | None], a: Any, dims: tuple[int, ...], channels: int) -> list[Type]:
    if not _vectors(kind, types, channels):
        return [Type("i32", dims)]
    _check_bounds(kind, a)
    return [Type(a["to"], dims)]


def _finish(v: Sequence[Any], acc: Array, a: Any, axis: int) -> Array:
    """Bias and requantisation of exact sums whose channels lie on `axis`."""
    along = [1] * acc.ndim
    along[axis] = acc.shape[axis]
    if len(v) > 2 and v[2] is not None:
        acc = acc + v[2].reshape(along)
    acc = acc.astype(np.int64)
    if len(v) < 4 or v[3] is None:
        return np.asarray(((acc + ACC.min) % (1 << 32) + ACC.min).astype(np.int32))
    return requantised(acc, v[3].reshape(along), v[4].reshape(along), a)


def _check_times(kind: str, types: Sequence[Type | None], w: Type) -> None:
    times = types[5] if len(types) > 5 else None
    if times is not None and times != Type("i8", grouped_dims(w.dims, 1, GROUP)):
        raise IRError(f"{kind}: the multipliers {times} of {w} must be i8, one for each {GROUP} along axis 1")


def _multiplied(v: Sequence[Any]) -> Array:
    """The weights, times those of their groups."""
    if len(v) < 6 or v[5] is None:
        return np.asarray(v[1])
    return np.asarray(v[1].astype(np.int32) * spread(v[5], 1, GROUP, v[1].shape[1]))


def _infer_conv(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, w = _byte(types, 0, "qconv"), operand(types, 1, "qconv")
    if w.dtype != "i8":
        raise IRError(f"qconv takes weights of i8, not {w}")
    _check_times("qconv", types, w)
    (result,) = _result("qconv", types, a, conv_dims("qconv", x, w, a), w.dims[0])
    _check_residual(types, result, w.dims[0])
    return [result]


def _check_residual(types: Sequence[Type | None], result: Type, channels: int) -> None:
    residual, steps = (types[i] if len(types) > i else None for i in (6, 7))
    if residual is None and steps is None:
        return
    if residual != result or result.dtype not in BYTES:
        raise IRError(f"qconv: the residual {residual} must have the type of the result, {result}, and that be bytes")
    if steps != Type("i32", (channels,)):
        raise IRError(f"qconv: the residual's steps {steps} must be i32[{channels}]")


def _evaluate_conv(v: Sequence[Any], a: Any) -> list[Array]:
    # sums of integers below 2^53 are exact in float64, whose matrix product is fast
    x = to_channels_last(v[0].astype(np.float64) - a["x_zero"], a["layout"])
    acc = conv_sum(x, _multiplied(v).astype(np.float64), a)
    if len(v) > 6 and v[6] is not None:
        acc = acc + to_channels_last(v[6].astype(np.float64), a["layout"]) * v[7]
    return [from_channels_last(_finish(v, acc, a, acc.ndim - 1), a["layout"])]


def _infer_matmul(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, w = _byte(types, 0, "qmatmul"), operand(types, 1, "qmatmul")
    if w.dtype != "i8" or w.rank != 2 or x.rank < 1 or w.dims[1] != x.dims[-1]:
        raise IRError(f"qmatmul: the weights {w} must be i8[n,{x.dims[-1] if x.rank else 'k'}]")
    _check_times("qmatmul", types, w)
    return _result("qmatmul", types, a, (*x.dims[:-1], w.dims[0]), w.dims[0])


def _evaluate_matmul(v: Sequence[Any], a: Any) -> list[Array]:
    acc = (v[0].astype(np.float64) - a["x_zero"]) @ _multiplied(v).astype(np.float64).T
    return [_finish(v, acc, a, acc.ndim - 1)]


def _infer_add(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, y = _byte(types, 0, "qadd"), _byte(types, 1, "qadd")
    _check_bounds("qadd", a)
    if x.dims != y.dims:
        raise IRError(f"qadd takes operands of one shape, and got {x} and {y}")
    limit = 255 * (abs(a["x_scale"]) + abs(a["y_scale"])) + abs(a["bias"]) + (1 << a["shift"])
    if max(abs(a["x_scale"]), abs(a["y_scale"])) >= 1 << 15 or limit > ACC.max or not 1 <= a["shift"] <= 22:
        raise IRError("qadd: scales are below 2^15, the shift is 1 to 22, and the sum must fit 32 bits")
    return [Type(a["to"], x.dims)]


def _evaluate_add(v: Sequence[Any], a: Any) -> list[Array]:
    acc = v[0].astype(np.int32) * a["x_scale"] + v[1].astype(np.int32) * a["y_scale"] + a["bias"]
    scaled = (acc.astype(np.int64) + (1 << (a["shift"] - 1))) >> a["shift"]
    return [np.clip(scaled, a["lo"], a["hi"]).astype(DTYPES[a["to"]])]


def _infer_mul(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, y = _byte(types, 0, "qmul"), _byte(types, 1, "qmul")
    _check_bounds("qmul", a)
    _check_shift("qmul", a["multiplier"], a["shift"])
    fits = x.rank == y.rank and all(n in (1, m) for n, m in zip(y.dims, x.dims, strict=True))
    if not fits:
        raise IRError(f"qmul: {y} does not broadcast to {x}")
    return [Type(a["to"], x.dims)]


def _evaluate_mul(v: Sequence[Any], a: Any) -> list[Array]:
    acc = (v[0].astype(np.int64) - a["x_zero"]) * (v[1].astype(np.int64) - a["y_zero"]) + a["bias"]
    return [requantised(acc, a["multiplier"], a["shift"], a)]


def _infer_sum(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = _byte(types, 0, "qsum")
    axes = a["axes"]
    if list(axes) != sorted({i for i in axes if 0 <= i < x.rank}):
        raise IRError(f"qsum: the axes {axes} are not ascending axes of {x}")
    count = math.prod(x.dims[i] for i in axes)
    if count * 255 + abs(a["bias"]) > ACC.max:
        raise IRError(f"qsum: a sum of {count} elements does not fit 32 bits")
    dims = [1 if i in axes else n for i, n in enumerate(x.dims) if a["keepdims"] or i not in axes]
    if not _is_scaled(a):
        return [Type("i32", tuple(dims))]
    _check_bounds("qsum", a)
    _check_shift("qsum", a["multiplier"], a["shift"])
    return [Type(a["to"], tuple(dims))]


def _is_scaled(a: Any) -> bool:
    return bool(a["multiplier"] or a["shift"])


def _evaluate_sum(v: Sequence[Any], a: Any) -> list[Array]:
    acc = np.asarray(v[0].astype(np.int64).sum(axis=tuple(a["axes"]), keepdims=a["keepdims"]) + a["bias"])
    return [requantised(acc, a["multiplier"], a["shift"], a) if _is_scaled(a) else acc.astype(np.int32)]


def _infer_pool(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = _byte(types, 0, "qsum_pool")
    _check_bounds("qsum_pool", a)
    _check_shift("qsum_pool", a["multiplier"], a["shift"])
    return [Type(a["to"], pool_dims("qsum_pool", x, a))]


def _evaluate_pool(v: Sequence[Any], a: Any) -> list[Array]:
    x = to_channels_last(v[0].astype(np.int64), a["layout"])
    acc = sliding(x, a["kernel"], a, a["x_zero"]).sum(axis=tuple(range(-len(a["kernel"]), 0))) + a["bias"]
    return [from_channels_last(requantised(acc, a["multiplier"], a["shift"], a), a["layout"])]


def _infer_table(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, table = _byte(types, 0, "table"), operand(types, 1, "table")
    if table.dims != (256,):
        raise IRError(f"table needs 256 entries, and got {table}")
    return [Type(table.dtype, x.shape)]


def _evaluate_table(v: Sequence[Any], a: Any) -> list[Array]:
    """Entry 0 is for the lowest number of the operand's dtype."""
    return [v[1][v[0].astype(np.int64) - np.iinfo(v[0].dtype).min]]


def _infer_encode(types: Sequence[Type | None], a: Any) -> list[Type]:
    return [operand(types, 0, "encode")]


def _scales(kind: str, x: Type, types: Sequence[Type | None], a: Any) -> tuple[Type, Type]:
    scale, zero = operand(types, 1, kind), operand(types, 2, kind)
    shape = () if a["axis"] < 0 else (x.dims[a["axis"]],) if a["axis"] < x.rank else None
    if scale.dtype != "f32" or scale.dims != shape or zero.dims != shape:
        raise IRError(f"{kind}: {scale} and {zero} are no scales and zero points of {x} along axis {a['axis']}")
    return scale, zero


def _along(v: Array, rank: int, axis: int) -> Array:
    return v.reshape([-1 if i == axis else 1 for i in range(rank)]) if axis >= 0 else v


def _infer_quantize(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = operand(types, 0, "quantize")
    _, zero = _scales("quantize", x, types, a)
    if x.dtype not in REALS or zero.dtype not in (*BYTES, "i16", "u16"):
        raise IRError(f"quantize takes f32 or f16 and makes i8, u8, i16 or u16, not {zero.dtype} of {x}")
    return [Type(zero.dtype, x.shape)]


def _evaluate_quantize(v: Sequence[Any], a: Any) -> list[Array]:
    """ONNX, QuantizeLinear; halves become floats first."""
    x = v[0].astype(np.float32)
    return [nearest_steps(x, *(_along(given, x.ndim, a["axis"]) for given in v[1:]))]


def _infer_dequantize(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = operand(types, 0, "dequantize")
    _, zero = _scales("dequantize", x, types, a)
    if x.dtype not in (*BYTES, "i16", "u16", "i32") or zero.dtype != x.dtype:
        raise IRError(f"dequantize takes i8, u8, i16, u16 or i32 with a zero point alike, not {x} with {zero}")
    if a["to"] not in REALS:
        raise IRError(f"dequantize makes f32 or f16, not {a['to']}")
    return [Type(a["to"], x.shape)]


def _evaluate_dequantize(v: Sequence[Any], a: Any) -> list[Array]:
    """(x - zero) * scale, in float32; the difference is taken in integers that hold it."""
    rank = v[0].ndim
    steps = v[0].astype(np.int64) - _along(v[2], rank, a["axis"]).astype(np.int64)
    real = steps.astype(np.int32).astype(np.float32) * _along(v[1], rank, a["axis"])
    with np.errstate(over="ignore"):
        return [real.astype(DTYPES[a["to"]])]


_WINDOW: dict[str, Any] = {"strides": REQUIRED, "pads": REQUIRED, "dilations": REQUIRED}
_BOUNDS: dict[str, Any] = {"lo": -128, "hi": 127, "to": "i8"}
_SCALED: dict[str, Any] = {"bias": 0, "multiplier": REQUIRED, "shift": REQUIRED, **_BOUNDS}
_SUMMED: dict[str, Any] = {**_SCALED, "multiplier": 0, "shift": 0}  # without them, the result is the i32 sum

ROWS: list[OpRow] = [
    # the same tensor: its result is stored in another way than its operand
    OpRow("encode", "integer", (1, 1), _infer_encode, lambda v, a: [v[0]], {}, row_rules.own_row),
    OpRow("quantize", "integer", (3, 3), _infer_quantize, _evaluate_quantize, {"axis": -1}, row_rules.own_row),
    OpRow(
        "dequantize", "integer", (3, 3), _infer_dequantize, _evaluate_dequantize, {"axis": -1, "to": "f32"},
        row_rules.own_row,
    ),
    OpRow(
        "qconv", "integer", (2, 8), _infer_conv, _evaluate_conv,
        {**_WINDOW, "groups": 1, "layout": "nchw", "x_zero": 0, **_BOUNDS}, row_rules.window,
    ),
    OpRow(
        "qmatmul", "integer", (2, 6), _infer_matmul, _evaluate_matmul, {"x_zero": 0, **_BOUNDS}, row_rules.own_row
    ),
    OpRow(
        "qadd", "integer", (2, 2), _infer_add, _evaluate_add,
        {"x_scale": REQUIRED, "y_scale": REQUIRED, "bias": 0, "shift": REQUIRED, **_BOUNDS}, row_rules.elementwise,
    ),
    OpRow(
        "qmul", "integer", (2, 2), _infer_mul, _evaluate_mul, {"x_zero": 0, "y_zero": 0, **_SCALED},
        row_rules.elementwise,
    ),
    OpRow("qsum", "integer", (1, 1), _infer_sum, _evaluate_sum, {"axes": REQUIRED, "keepdims": True, **_SUMMED}),
    OpRow(
        "qsum_pool", "integer", (1, 1), _infer_pool, _evaluate_pool,
        {"kernel": REQUIRED, **_WINDOW, "layout": "nchw", "x_zero": 0, **_SCALED}, row_rules.window,
    ),
    OpRow("table", "integer", (2, 2), _infer_table, _evaluate_table, {}, row_rules.own_row),
]  # fmt: skip
