"""Sums and products with a constant of floats whose rounding to bytes would show: a depthwise convolution of one tap,
with weight, bias and multiplier for each element of the constant, which is then as exact as weights are.

%1 = mul %0: quant<…>, #k: f32[c]   ->   %1 = qconv %0, #±127[c,1,1,1], #zeros, #m[c], #s[c] {groups=c}
"""

from __future__ import annotations

import math

import numpy as np

from edgec.ir.graph import Value
from edgec.passes.form import Array, Form, clamped
from edgec.passes.requant import NEAR, Grid, NotInIntegers, check_sum, multiplier, zero_in_sum

SPREAD_BYTES = 1 << 16  # of a constant that is broadcast before it is stored
EACH = 1 + 3 * 4  # bytes of one element: weight, bias, multiplier and shift
LARGEST = 127
LEAST_FACTOR = 2.0**-18  # of a sum's step to the result's: what it leaves of a weight is no 2000th of a step
BEYOND = 2 * 256  # steps of the result: whatever is added, such a number is at the end of what bytes hold


def float_constant(f: Form, i: int) -> Array | None:
    """Operand i where it is a constant that no encoding rounds."""
    value, grid = f.operands[i]
    known = value is not None and grid is None and value.const is not None and value.type == value.type.plain
    array = f.build.graph.array(value) if known and value is not None else None
    return array if array is not None and array.dtype == np.float32 else None


def shows(f: Form, i: int, y: Value, grid: Grid, factor: float) -> bool:
    """Whether the result is off by more than NEAR of its steps since operand i, a constant, is in bytes `y`; `factor`
    is the result's steps for each unit of it."""
    array = float_constant(f, i)
    if array is None:
        return False
    stored = f.build.graph.array(y).astype(np.float64)
    off = np.abs((stored - grid.zero) * grid.scale - array)
    return float(off.max(initial=0.0)) * factor > NEAR


def constant_form(f: Form) -> Value:
    """add, sub or mul of bytes and a constant of floats."""
    i = next((i for i in (0, 1) if float_constant(f, i) is not None), None)
    if i is None:
        raise NotInIntegers("NO_INTEGER_FORM")
    (x, grid), result, array = f.byte(1 - i), f.target(), float_constant(f, i)
    assert array is not None
    dims = f.op.result.type.dims
    longer = [n > 1 for n in array.shape]
    axes = array.ndim - longer.index(True) if any(longer) else 1
    inner = dims[-axes:]  # the last axes, from the first along which the constant differs
    if x.type.dims != dims or not x.type.size or math.prod(inner) * EACH > SPREAD_BYTES:
        raise NotInIntegers("CONSTANT_STEP")
    k = np.broadcast_to(array.reshape(array.shape[-axes:]), inner).reshape(-1).astype(np.float64)
    made = _scaled(f, x, grid, result, *_line(f.op.kind, i, k))
    return f.build.op("reshape", made, shape=dims) if made.type.dims != dims else made


def _line(kind: str, i: int, k: Array) -> tuple[Array, Array]:
    """a and b of a*x + b."""
    if kind == "mul":
        return k, np.zeros_like(k)
    sign = -1.0 if kind == "sub" else 1.0
    return np.full_like(k, sign if i == 0 else 1.0), k if i == 0 else sign * k


def _scaled(f: Form, x: Value, grid: Grid, result: Grid, a: Array, b: Array) -> Value:
    steps = np.maximum(np.abs(a) / LARGEST, result.scale * LEAST_FACTOR / grid.scale)  # of weights
    w = np.rint(a / steps)
    most = np.abs(a) * grid.most_steps * grid.scale + BEYOND * result.scale
    pairs = [multiplier(s * grid.scale / result.scale) for s in steps.tolist()]
    bias = np.rint(np.clip(b, -most, most) / (steps * grid.scale))
    bias += np.array([zero_in_sum(result, m, s) for m, s in pairs], np.float64)
    check_sum(np.abs(w) * grid.most_steps + np.abs(bias))
    m, s = (np.array(v, np.int32) for v in zip(*pairs, strict=True))
    dims = x.type.dims
    if len(dims) != 4 or dims[-1] != len(a):
        x = f.build.op("reshape", x, shape=(1, math.prod(dims) // len(a), 1, len(a)))
    weights = w.astype(np.int8).reshape(-1, 1, 1, 1)
    return f.build.op(
        "qconv", x, f.build.const(weights), *map(f.build.const, (bias.astype(np.int32), m, s)), strides=(1, 1),
        pads=(0, 0, 0, 0), dilations=(1, 1), groups=len(a), layout="nhwc", x_zero=grid.zero,
        **clamped(result, str(f.attrs.get("act", ""))),
    )  # fmt: skip
