"""Integer forms of operators on encoded values, one function a family: operands' bytes in, the result's bytes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.encodings import spread
from edgec.ir.graph import Op, Value
from edgec.ir.ops import OPS
from edgec.ir.ops.elementwise import PARAMETRIC, UNARY
from edgec.ir.ops.integer import GROUP, TOP_OF_FOUR
from edgec.ir.ops.resize import is_blend, whole_taps
from edgec.ir.types import DTYPES, Quant
from edgec.passes.group_scales import whole_multiples
from edgec.passes.requant import Grid, Looked, NotInIntegers, check_sum, multiplier, steps_in_sum, table, zero_in_sum
from edgec.passes.row_forms import attention_form, norm_form, prelu_form, shares, softmax_form

Array = np.ndarray[Any, Any]
SPREAD_BYTES = 1 << 16  # of a constant that is broadcast before it is stored
MOST_TAPS = 16  # of interpolation along an axis
WITH_NUMBER = ("add", "div", "max", "min", "mul", "pow", "prelu", "sub")  # tables where one operand is a number
SAME_STEP = 1e-5  # scales of biases are products of two, rounded to float32


@dataclass(frozen=True)
class Form:
    """An operator with its operands: for each, its bytes and their grid, or the float value and None."""

    op: Op
    build: Builder
    operands: Sequence[tuple[Value | None, Grid | None]]
    result: Grid | None  # None: the result is a plain float tensor

    @property
    def attrs(self) -> Any:
        return self.op.attrs

    def byte(self, i: int, grid_of_constant: Grid | None = None) -> tuple[Value, Grid]:
        """Operand i as bytes; a constant of floats on a grid of its own, or on the given one."""
        value, grid = self.operands[i] if i < len(self.operands) else (None, None)
        if value is not None and grid is None and value.const is not None and value.type == value.type.plain:
            array = self.build.graph.array(value)
            if array.dtype == np.float32 and np.isfinite(array).all():
                grid = grid_of_constant or covering(array, self.target().dtype)
                value = self.build.const(grid.encode(array))
        if value is None or grid is None:
            raise NotInIntegers("NO_INTEGER_FORM")
        return value, grid

    def target(self) -> Grid:
        if self.result is None:
            raise NotInIntegers("NO_INTEGER_FORM")
        return self.result


def covering(array: Array, dtype: str) -> Grid:
    """A grid over all that an array has, and 0."""
    lo, hi = float(array.min(initial=0.0)), float(array.max(initial=0.0))
    scale, least = float(np.float32((hi - lo) / 255 or 1.0)), Grid(dtype, 1.0, 0).least
    return Grid(dtype, scale, int(np.clip(round(least - lo / scale), least, least + 255)))


def _clamped(grid: Grid, act: str) -> dict[str, Any]:
    lo, hi = grid.bounds(act)
    return {"lo": lo, "hi": hi, "to": grid.dtype}


def _weights(f: Form, axis: int) -> tuple[Array, Array, Array | None]:
    """The stored bytes of operand 1, result channels first, the scale of each, and multipliers of groups."""
    value = f.op.arg(1)
    encoding = value.type.encodings[0] if value.type.encodings else None
    if value.const is not None and isinstance(encoding, Quant) and encoding.format == "i4" and encoding.group == GROUP:
        return _weights_in_groups(f, axis, encoding)
    if value.const is None or not isinstance(encoding, Quant) or encoding.format not in ("i8", "u8"):
        raise NotInIntegers("NO_INTEGER_FORM")
    constants = f.build.graph.module.constants
    zero, stored = constants[encoding.zero].astype(np.int64), f.build.graph.stored(value).astype(np.int64)
    if encoding.axis is not None and encoding.axis != axis:
        raise NotInIntegers("NO_INTEGER_FORM")
    along = [-1 if i == axis else 1 for i in range(stored.ndim)]
    stored = np.moveaxis(stored - (zero.reshape(along) if zero.ndim else zero), axis, 0)
    if stored.min(initial=0) < -127 or stored.max(initial=0) > 127:
        raise NotInIntegers("WEIGHTS_ASYMMETRIC")
    scale = np.broadcast_to(constants[encoding.scale].astype(np.float64), (stored.shape[0],))
    return np.ascontiguousarray(stored.astype(np.int8)), scale, None


def _weights_in_groups(f: Form, axis: int, encoding: Quant) -> tuple[Array, Array, Array]:
    constants = f.build.graph.module.constants
    stored, scales = (
        np.moveaxis(v, axis, 0) for v in (f.build.graph.stored(f.op.arg(1)), constants[encoding.scale])
    )  # fmt: skip
    if np.any(constants[encoding.zero]) or stored.min(initial=0) < -TOP_OF_FOUR:
        raise NotInIntegers("WEIGHTS_ASYMMETRIC")
    base, times = whole_multiples(scales.reshape(len(scales), -1))
    return np.ascontiguousarray(stored), base, times.reshape(scales.shape)


def _products(
    f: Form, kind: str, w: Array, w_scale: Array, attrs: dict[str, Any], times: Array | None
) -> Value:
    """qconv or qmatmul: i32 sums scaled to bytes, or to floats where the result is plain, or what is added to them."""
    x, grid = f.byte(0)
    act = str(f.attrs["act"])
    step = grid.scale * w_scale  # of the sums, a channel
    added = _bias(f, step)
    residual, of_residual = f.operands[3] if kind == "qconv" and len(f.operands) > 3 else (None, None)
    whole = w.astype(np.int64) if times is None else w * spread(times.astype(np.int64), 1, GROUP, w.shape[1])
    reach = np.abs(whole.reshape(len(step), -1)).sum(1) * max(
        grid.most - grid.zero, grid.zero - grid.least
    )
    attrs = {**attrs, "x_zero": grid.zero}
    b = f.build
    if f.result is None or (residual is not None and of_residual is None):
        check_sum(reach + np.abs(added))
        in_groups = (None, None, b.const(times)) if times is not None else ()
        sums = b.op(kind, x, b.const(w), b.const(added.astype(np.int32)), *in_groups, **attrs)
        axis = 1 if attrs.get("layout") == "nchw" else sums.type.rank - 1
        zeros = np.zeros(len(step), np.int32)
        y = b.op("dequantize", sums, b.const(step.astype(np.float32)), b.const(zeros), axis=axis)
        if residual is not None:
            r = residual if of_residual is None else b.op("dequantize", residual, *_numbers(b, of_residual))
            y = b.op("add", y, r)
        y = activated(b, y, act)
        return y if f.result is None else b.op("quantize", y, *_numbers(b, f.result))
    more: list[Array | Value | None] = [times]
    if residual is not None and of_residual is not None:
        steps = steps_in_sum(step, of_residual, f.result)
        added = added - of_residual.zero * steps
        reach = reach + max(-of_residual.least, of_residual.most) * steps
        more = [times, residual, steps.astype(np.int32)]
    pairs = [multiplier(s / f.result.scale) for s in step.tolist()]
    zero = np.array([zero_in_sum(f.result, m, s) for m, s in pairs], np.float64)
    check_sum(reach + np.abs(added + zero))
    m, s = (np.array(v, np.int32) for v in zip(*pairs, strict=True))
    bounds = _clamped(f.result, act)
    rest = [b.const(v) if isinstance(v, np.ndarray) else v for v in ((added + zero).astype(np.int32), m, s, *more)]
    while rest[-1] is None:
        rest.pop()
    return b.op(kind, x, b.const(w), *rest, **attrs, **bounds)


def _numbers(b: Builder, grid: Grid) -> tuple[Value, Value]:
    """Scale and zero point as constants."""
    return b.const(np.array(grid.scale, np.float32)), b.const(np.array(grid.zero, DTYPES[grid.dtype]))


def activated(b: Builder, y: Value, act: str) -> Value:
    """A fused activation as an operator of its own."""
    if not act:
        return y
    name, *numbers = act.split(":")
    if name == "relu6":
        return b.op("clip", y, lo=0.0, hi=6.0)
    if name == "clip":
        return b.op("clip", y, lo=float(numbers[0]), hi=float(numbers[1]))
    if name in UNARY:
        return b.op(name, y)
    raise NotInIntegers("NO_INTEGER_FORM")


def _bias(f: Form, step: Array) -> Array:
    """Operand 2 in steps of the sums, one a channel: the integers themselves where those are its steps, too."""
    value = f.op.inputs[2] if len(f.op.inputs) > 2 else None
    if value is None:
        return np.zeros(len(step))
    if value.const is None or value.type.size not in (1, len(step)):
        raise NotInIntegers("NO_INTEGER_FORM")
    graph, encoding = f.build.graph, value.type.encodings[0] if value.type.encodings else None
    if not isinstance(encoding, Quant):
        return np.rint(np.broadcast_to(graph.array(value).reshape(-1).astype(np.float64), step.shape) / step)
    scale, zero = (graph.module.constants[key].astype(np.float64) for key in encoding.constants)
    stored = np.broadcast_to((graph.stored(value).reshape(-1) - zero).astype(np.float64), step.shape)
    return np.where(np.isclose(scale, step, rtol=SAME_STEP, atol=0.0), stored, np.rint(stored * scale / step))


def _conv(f: Form) -> Value:
    w, scale, times = _weights(f, 0)
    depthwise = f.attrs["groups"] == len(w) and w.shape[1] == 1
    if len(f.op.inputs) > 3 and f.op.inputs[3] is not None and (depthwise or f.op.inputs[3].const is not None):
        raise NotInIntegers("NO_INTEGER_FORM")
    names = ("strides", "pads", "dilations", "groups", "layout")
    return _products(f, "qconv", w, scale, {n: f.attrs[n] for n in names}, times)


def _matmul(f: Form) -> Value:
    dims = f.op.arg(1).type.dims
    if math.prod(dims[:-2]) != 1 or f.op.arg(0).type.rank != f.op.result.type.rank:
        raise NotInIntegers("NO_INTEGER_FORM")
    w, scale, times = _weights(f, len(dims) - (2 if f.attrs["trans_b"] else 1))
    n = f.op.result.type.dims[-1]
    times = times.reshape(n, -1) if times is not None else None
    return _products(f, "qmatmul", w.reshape(n, -1), scale, {}, times)


def looked_up(op: Op) -> int | None:
    """The operand of which the result is a function, element by element; None where there is no single one."""
    if op.kind in UNARY or op.kind in PARAMETRIC:
        return 0
    for i in (0, 1) if op.kind in WITH_NUMBER else ():
        number = op.arg(1 - i)
        varies = op.arg(i).const is None and op.arg(i).type.dims == op.result.type.dims
        if varies and number.const is not None and number.type.size == 1:
            return i
    return None


def _function(f: Form, i: int) -> Callable[[Array], Array]:
    """What the operator makes of numbers of its operand i."""
    if f.op.kind not in WITH_NUMBER:
        return lambda v: np.asarray(OPS[f.op.kind].evaluate([v], f.attrs)[0])
    return partial(_applied, f.op, f.build.graph.array(f.op.arg(1 - i)).reshape(()), i)


def passed_on(f: Form) -> tuple[Value, Looked] | None:
    """Bytes and what the operator makes of their numbers, for the next operator to go on with."""
    i = looked_up(f.op)
    value, grid = f.operands[i] if i is not None else (None, None)
    if i is None or value is None or grid is None:
        return None
    with np.errstate(all="ignore"):
        return value, Looked(grid.dtype, grid.scale, grid.zero, _function(f, i)(grid.numbers()))


def _with_number(f: Form) -> Value | None:
    """An operator on bytes and one constant number is a table."""
    i = looked_up(f.op)
    if i is None:
        return None
    (x, grid), result = f.byte(i), f.target()
    result.bounds(str(f.attrs.get("act", "")))  # refuses what is no clamp
    return _looked_up(f.build, x, table(grid, _function(f, i), result))


def _applied(op: Op, constant: Array, i: int, numbers: Array) -> Array:
    """What the operator makes of these numbers as operand i and the constant as the other one."""
    operands = [constant, constant]
    operands[i] = numbers
    return np.asarray(OPS[op.kind].evaluate(operands, op.attrs)[0])


def _spread(f: Form, i: int, y: Value, dims: tuple[int, ...]) -> Value:
    """Operand i's bytes; a constant takes the shape of the other operand, where that is small."""
    if y.type.dims == dims:
        return y
    if f.op.arg(i).const is None or math.prod(dims) > SPREAD_BYTES:
        raise NotInIntegers("NO_INTEGER_FORM")
    return f.build.op("broadcast_to", y, shape=dims)


def _add(f: Form) -> Value:
    made = _with_number(f)
    if made is not None:
        return made
    (x, gx), (y, gy), result = f.byte(0), f.byte(1), f.target()
    x, y = (_spread(f, i, v, f.op.result.type.dims) for i, v in enumerate((x, y)))
    sign = -1.0 if f.op.kind == "sub" else 1.0
    factors = gx.scale / result.scale, sign * gy.scale / result.scale
    shift = min(22, 14 - math.frexp(max(abs(v) for v in factors))[1])
    if shift < 4:
        raise NotInIntegers("REQUANT_RANGE")
    a, b = (round(math.ldexp(v, shift)) for v in factors)
    bias = (result.zero << shift) - a * gx.zero - b * gy.zero
    check_sum(255 * (abs(a) + abs(b)) + abs(bias) + (1 << shift))
    return f.build.op("qadd", x, y, x_scale=a, y_scale=b, bias=bias, shift=shift,
                      **_clamped(result, str(f.attrs.get("act", ""))))  # fmt: skip


def _mul(f: Form) -> Value:
    made = _with_number(f)
    if made is not None:
        return made
    (x, gx), (y, gy), result = f.byte(0), f.byte(1), f.target()
    if x.type.size < y.type.size:
        (x, gx), (y, gy) = (y, gy), (x, gx)
    if y.const is not None and y.type.rank < x.type.rank:
        y = f.build.op("reshape", y, shape=(1,) * (x.type.rank - y.type.rank) + y.type.dims)
    fits = x.type.rank == y.type.rank and all(n in (1, m) for n, m in zip(y.type.dims, x.type.dims, strict=True))
    if not fits or x.type.dims != f.op.result.type.dims:
        raise NotInIntegers("NO_INTEGER_FORM")
    m, s = multiplier(gx.scale * gy.scale / result.scale)
    return f.build.op("qmul", x, y, x_zero=gx.zero, y_zero=gy.zero, bias=zero_in_sum(result, m, s), multiplier=m,
                      shift=s, **_clamped(result, str(f.attrs.get("act", ""))))  # fmt: skip


def _mean(f: Form) -> Value:
    (x, grid), result = f.byte(0), f.target()
    count = math.prod(x.type.dims[i] for i in f.attrs["axes"])
    m, s = multiplier(grid.scale / (result.scale * (count if f.op.kind == "reduce_mean" else 1)))
    bias = zero_in_sum(result, m, s) - grid.zero * count
    check_sum(255 * count + abs(bias))
    return f.build.op("qsum", x, axes=tuple(sorted(f.attrs["axes"])), keepdims=bool(f.attrs["keepdims"]), bias=bias,
                      multiplier=m, shift=s, **_clamped(result, ""))  # fmt: skip


def windows_count_alike(attrs: Any) -> bool:
    """Whether every window of an average pool divides by the same number."""
    return not any(attrs["pads"]) or (attrs["count_include_pad"] and not attrs["ceil_pads"])


def _avg_pool(f: Form) -> Value:
    (x, grid), result, a = f.byte(0), f.target(), f.attrs
    if not windows_count_alike(a):
        raise NotInIntegers("NO_INTEGER_FORM")
    count = math.prod(a["kernel"])
    m, s = multiplier(grid.scale / (result.scale * count))
    bias = zero_in_sum(result, m, s) - grid.zero * count
    check_sum(255 * count + abs(bias))
    window = {n: a[n] for n in ("kernel", "strides", "pads", "dilations", "layout")}
    return f.build.op("qsum_pool", x, x_zero=grid.zero, bias=bias, multiplier=m, shift=s, **window,
                      **_clamped(result, ""))  # fmt: skip


def _unary(f: Form) -> Value:
    (x, grid), result = f.byte(0), f.target()
    return _looked_up(f.build, x, table(grid, _function(f, 0), result))


def _looked_up(b: Builder, x: Value, entries: Array) -> Value:
    """Entries for bytes; of what a table of bytes made, those of both."""
    before = x.op
    if before is not None and before.kind == "table" and before.arg(1).const is not None:
        inner = b.graph.array(before.arg(1))
        return b.op("table", before.arg(0), b.const(entries[inner.astype(np.int64) - np.iinfo(inner.dtype).min]))
    return b.op("table", x, b.const(entries))


def rescaled(b: Builder, x: Value, source: Grid, result: Grid) -> Value:
    """The same numbers on another grid."""
    return x if source == result else _looked_up(b, x, table(source, lambda v: v, result))


def _moved(f: Form) -> Value:
    """What moves elements, or takes the largest: the same on bytes."""
    result = f.target()
    on_grid = [rescaled(f.build, *f.byte(i, result), result) for i in range(len(f.operands))]
    attrs = dict(f.attrs)
    if f.op.kind == "pad":
        attrs["value"] = result.nearest(float(attrs["value"]))
    return f.build.op(f.op.kind, *on_grid, **attrs)


def resizes_bytes(op: Op) -> bool:
    """By moving elements, or by few weights of neighbours."""
    if op.attrs["mode"] == "nearest":
        return True
    dims, a = op.arg(0).type.dims, op.attrs
    return is_blend(a, dims) and all(whole_taps(a, i, dims[i])[0].shape[1] <= MOST_TAPS for i in (1, 2))


def _resized(f: Form) -> Value:
    if not resizes_bytes(f.op):
        raise NotInIntegers("NO_INTEGER_FORM")
    if f.attrs["mode"] == "nearest":
        return _moved(f)
    return f.build.op("qresize", rescaled(f.build, *f.byte(0), f.target()), **f.attrs)


def _gathered(f: Form) -> Value:
    """Elements by integers; of a constant, too."""
    (index, _), result = f.operands[1], f.target()
    return f.build.op("gather", rescaled(f.build, *f.byte(0, result), result), index, **f.attrs)


def _by_number(f: Form) -> Value:
    made = _with_number(f)
    if made is None:
        raise NotInIntegers("NO_INTEGER_FORM")
    return made


def _softmax(f: Form) -> Value:
    result = f.target()
    x, grid = f.byte(0)
    return rescaled(f.build, softmax_form(f.build, f.op, x, grid), shares(result.dtype), result)


def _norm(f: Form) -> Value:
    x, grid = f.byte(0)
    return norm_form(f.build, f.op, x, grid, f.target())


def _attention(f: Form) -> Value:
    return attention_form(f.build, f.op, [f.byte(i) for i in range(3)], f.target())


def _prelu(f: Form) -> Value:
    made = _with_number(f)
    if made is not None:
        return made
    x, grid = f.byte(0)
    return prelu_form(f.build, f.op, x, grid, f.target())


FORMS: dict[str, Callable[[Form], Value]] = {
    **dict.fromkeys((*UNARY, *PARAMETRIC), _unary),
    **dict.fromkeys(
        ("concat", "max_pool", "pad", "reduce_max", "reduce_min", "reshape", "slice", "transpose"), _moved
    ),
    **dict.fromkeys(("div", "max", "min", "pow"), _by_number),
    **dict.fromkeys(("layer_norm", "rms_norm"), _norm),
    "add": _add,
    "attention": _attention,
    "avg_pool": _avg_pool,
    "conv": _conv,
    "gather": _gathered,
    "matmul": _matmul,
    "mul": _mul,
    "prelu": _prelu,
    "reduce_mean": _mean,
    "reduce_sum": _mean,
    "resize": _resized,
    "softmax": _softmax,
    "sub": _add,
}
