"""Convolutions and matmuls by constant weights: sums of products of bytes, scaled once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.encodings import spread
from edgec.ir.graph import Value
from edgec.ir.ops.functions import UNARY
from edgec.ir.ops.integer import GROUP, MOST_TIMES, TOP_OF_FOUR
from edgec.ir.residual import residual_of
from edgec.ir.types import Quant
from edgec.passes.form import Form, clamped, numbers_of
from edgec.passes.group_scales import whole_multiples
from edgec.passes.requant import NotInIntegers, check_sum, multiplier, steps_in_sum, zero_in_sum

Array = np.ndarray[Any, Any]
NEARLY_WHOLE = 1e-2
SAME_STEP = 1e-5  # scales of biases are products of two, rounded to float32


def _weights(f: Form, axis: int) -> tuple[Array, Array, Array | None]:
    """The stored bytes of operand 1, result channels first, the scale of each, and multipliers of groups."""
    value = f.op.arg(1)
    encoding = value.type.encodings[0] if value.type.encodings else None
    if value.const is not None and isinstance(encoding, Quant) and encoding.format == "i4" and encoding.group == GROUP:
        return _weights_in_groups(f, axis, encoding)
    if value.type == value.type.plain and value.type.dtype == "f32":
        raise NotInIntegers("NO_INTEGER_FORM" if value.const is None else "OPERAND_IN_FLOATS")
    known = value.const is not None and value.type.size > 0
    if not known or not isinstance(encoding, Quant) or encoding.format not in ("i8", "u8"):
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
    reach = np.abs(whole.reshape(len(step), -1)).sum(1) * grid.most_steps
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
            r = residual if of_residual is None else b.op("dequantize", residual, *numbers_of(b, of_residual))
            y = b.op("add", y, r)
        y = activated(b, y, act)
        return y if f.result is None else b.op("quantize", y, *numbers_of(b, f.result))
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
    bounds = clamped(f.result, act)
    rest = [b.const(v) if isinstance(v, np.ndarray) else v for v in ((added + zero).astype(np.int32), m, s, *more)]
    while rest[-1] is None:
        rest.pop()
    return b.op(kind, x, b.const(w), *rest, **attrs, **bounds)


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


def _in_whole_steps(f: Form, scale: Array, times: Array) -> tuple[Array, Array]:
    """The same products of scales and multipliers, such that a step of what is added is a whole number of the sums'."""
    grid = f.operands[3][1] if len(f.operands) > 3 else None
    if grid is None:
        return scale, times
    ratio = grid.scale / (f.byte(0)[1].scale * scale)
    most = MOST_TIMES // times.reshape(len(times), -1).max(axis=1)
    finer = np.ones(len(scale), np.int64)
    for count in range(MOST_TIMES, 0, -1):
        whole = np.abs(ratio * count - np.rint(ratio * count)) < NEARLY_WHOLE
        finer = np.where(whole & (count <= most), count, finer)
    return scale / finer, (times * finer.reshape(-1, *[1] * (times.ndim - 1))).astype(np.int8)


def conv_form(f: Form) -> Value:
    if f.op.arg(1).type.rank > 4:
        raise NotInIntegers("NO_INTEGER_FORM")
    w, scale, times = _weights(f, 0)
    if times is not None:
        scale, times = _in_whole_steps(f, scale, times)
    depthwise = f.attrs["groups"] == len(w) and w.shape[1] == 1
    residual = residual_of(f.op)
    if residual is not None and (depthwise or residual.const is not None):
        raise NotInIntegers("NO_INTEGER_FORM")
    names = ("strides", "pads", "dilations", "groups", "layout")
    return _products(f, "qconv", w, scale, {n: f.attrs[n] for n in names}, times)


def matmul_form(f: Form) -> Value:
    dims = f.op.arg(1).type.dims
    if math.prod(dims[:-2]) != 1 or f.op.arg(0).type.rank != f.op.result.type.rank:
        raise NotInIntegers("NO_INTEGER_FORM")
    w, scale, times = _weights(f, len(dims) - (2 if f.attrs["trans_b"] else 1))
    n = f.op.result.type.dims[-1]
    times = times.reshape(n, -1) if times is not None else None
    return _products(f, "qmatmul", w.reshape(n, -1), scale, {}, times)
