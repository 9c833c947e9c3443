"""Sums, products and means of values that vary: every operand is scaled inside one sum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.graph import Value
from edgec.passes.constant_forms import SPREAD_BYTES, constant_form, shows
from edgec.passes.form import Form, clamped
from edgec.passes.requant import NEAR, NotInIntegers, check_sum, multiplier, zero_in_sum
from edgec.passes.table_forms import with_number


def _spread(f: Form, i: int, y: Value, dims: tuple[int, ...]) -> Value:
    """Operand i's bytes; a constant takes the shape of the other operand, where that is small."""
    if y.type.dims == dims:
        return y
    if f.op.arg(i).const is None or math.prod(dims) > SPREAD_BYTES:
        raise NotInIntegers("NO_INTEGER_FORM")
    return f.build.op("broadcast_to", y, shape=dims)


def add_form(f: Form) -> Value:
    made = with_number(f)
    if made is not None:
        return made
    (x, gx), (y, gy), result = f.byte(0), f.byte(1), f.target()
    if shows(f, 0, x, gx, 1 / result.scale) or shows(f, 1, y, gy, 1 / result.scale):
        return constant_form(f)
    x, y = (_spread(f, i, v, f.op.result.type.dims) for i, v in enumerate((x, y)))
    sign = -1.0 if f.op.kind == "sub" else 1.0
    factors = gx.scale / result.scale, sign * gy.scale / result.scale
    shift = min(22, 14 - math.frexp(max(abs(v) for v in factors))[1])
    if shift < 4:
        raise NotInIntegers("REQUANT_RANGE")
    a, b = (round(math.ldexp(v, shift)) for v in factors)
    off = abs(a - math.ldexp(factors[0], shift)) + abs(b - math.ldexp(factors[1], shift))
    if math.ldexp(255 * off, -shift) > NEAR:
        raise NotInIntegers("REQUANT_RANGE")
    bias = (result.zero << shift) - a * gx.zero - b * gy.zero
    check_sum(255 * (abs(a) + abs(b)) + abs(bias) + (1 << shift))
    return f.build.op("qadd", x, y, x_scale=a, y_scale=b, bias=bias, shift=shift,
                      **clamped(result, str(f.attrs.get("act", ""))))  # fmt: skip


def mul_form(f: Form) -> Value:
    made = with_number(f)
    if made is not None:
        return made
    (x, gx), (y, gy), result = f.byte(0), f.byte(1), f.target()
    largest = gx.scale * gx.most_steps, gy.scale * gy.most_steps
    if shows(f, 0, x, gx, largest[1] / result.scale) or shows(f, 1, y, gy, largest[0] / result.scale):
        return constant_form(f)
    if x.type.size < y.type.size:
        (x, gx), (y, gy) = (y, gy), (x, gx)
    if y.const is not None and y.type.rank < x.type.rank:
        y = f.build.op("reshape", y, shape=(1,) * (x.type.rank - y.type.rank) + y.type.dims)
    fits = x.type.rank == y.type.rank and all(n in (1, m) for n, m in zip(y.type.dims, x.type.dims, strict=True))
    if not fits or x.type.dims != f.op.result.type.dims:
        raise NotInIntegers("NO_INTEGER_FORM")
    m, s = multiplier(gx.scale * gy.scale / result.scale)
    return f.build.op("qmul", x, y, x_zero=gx.zero, y_zero=gy.zero, bias=zero_in_sum(result, m, s), multiplier=m,
                      shift=s, **clamped(result, str(f.attrs.get("act", ""))))  # fmt: skip


def mean_form(f: Form) -> Value:
    """Sums scaled to bytes, or to floats where the result is plain."""
    (x, grid), b = f.byte(0), f.build
    count = math.prod(x.type.dims[i] for i in f.attrs["axes"])
    step = grid.scale / (count if f.op.kind == "reduce_mean" else 1)  # of the sums
    bias = -grid.zero * count
    attrs: dict[str, Any] = {"axes": tuple(sorted(f.attrs["axes"])), "keepdims": bool(f.attrs["keepdims"])}
    if f.result is None:
        check_sum(255 * count + abs(bias))
        sums = b.op("qsum", x, bias=bias, **attrs)
        return b.op("dequantize", sums, b.const(np.array(step, np.float32)), b.const(np.array(0, np.int32)))
    m, s = multiplier(step / f.result.scale)
    bias += zero_in_sum(f.result, m, s)
    check_sum(255 * count + abs(bias))
    return b.op("qsum", x, bias=bias, multiplier=m, shift=s, **attrs, **clamped(f.result, ""))


def windows_count_alike(attrs: Any) -> bool:
    """Whether every window of an average pool divides by the same number."""
    return not any(attrs["pads"]) or (attrs["count_include_pad"] and not attrs["ceil_pads"])


def avg_pool_form(f: Form) -> Value:
    (x, grid), result, a = f.byte(0), f.target(), f.attrs
    if not windows_count_alike(a):
        raise NotInIntegers("NO_INTEGER_FORM")
    count = math.prod(a["kernel"])
    m, s = multiplier(grid.scale / (result.scale * count))
    bias = zero_in_sum(result, m, s) - grid.zero * count
    check_sum(255 * count + abs(bias))
    window = {n: a[n] for n in ("kernel", "strides", "pads", "dilations", "layout")}
    return f.build.op("qsum_pool", x, x_zero=grid.zero, bias=bias, multiplier=m, shift=s, **window,
                      **clamped(result, ""))  # fmt: skip
