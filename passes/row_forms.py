"""Integer forms of softmax, norms, attention and PRelu (ir/ops/integer_rows.py): which have one, and its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops.integer import MIDDLE
from edgec.ir.ops.integer_rows import (
    COARSER,
    EPS_BITS,
    FINER,
    HIDDEN,
    KEY_STEP,
    LONGEST_KEYS,
    LONGEST_NORM,
    LONGEST_SOFTMAX,
    TOP_WEIGHT,
    norm_bits,
)
from edgec.passes.requant import Grid, NotInIntegers, multiplier

Array = np.ndarray[Any, Any]
TOP = (1 << 15) - 1
MOST_BITS = 6  # of a step of the result, that sums keep behind the point
LARGEST_MASK = 1 << 20  # numbers of a mask that is spread over queries
SAME_SCALE = 1e-6  # bits, that a scale in float32 may be beside a power of 2
LEAST_SHARE = 512  # of a multiplier of values, for the most keys
SHARES = 256.0  # of 1, the steps of a softmax's result before `finer`
FINEST_SHARE = 1 / (SHARES * (1 << FINER))


def refusal(op: Op) -> str:
    """The code of what keeps softmax, a norm or attention from bytes by its form alone; "" for nothing."""
    dims = op.arg(0).type.dims
    if op.kind == "softmax":
        return "ROW_TOO_LONG" if dims[_axis(op)] > LONGEST_SOFTMAX else ""
    if op.kind in ("layer_norm", "rms_norm"):
        return "ROW_TOO_LONG" if math.prod(dims[_axis(op) :]) > LONGEST_NORM else ""
    scale = float(op.attrs["scale"])  # type: ignore[arg-type]
    if op.arg(1).type.dims[2] > LONGEST_KEYS or dims[3] >= -HIDDEN >> 16:
        return "ROW_TOO_LONG"
    return "" if scale > 0 and dims[2] * op.arg(1).type.dims[2] <= LARGEST_MASK else "NO_INTEGER_FORM"


def _axis(op: Op) -> int:
    return int(op.attrs["axis"])  # type: ignore[arg-type]


def _check(op: Op) -> None:
    if code := refusal(op):
        raise NotInIntegers(code)


def softmax_form(b: Builder, op: Op, x: Value, grid: Grid, result: Grid) -> Value:
    """To the result's scale, and 0 as the lowest byte."""
    _check(op)
    table = np.rint(65535 * np.exp(-grid.scale * np.arange(256.0))).astype(np.uint16)
    finer = math.ceil(math.log2(1 / (SHARES * result.scale)) - SAME_SCALE)
    if not -COARSER <= finer <= FINER:
        raise NotInIntegers("REQUANT_RANGE")
    numerator = min(max(round(math.ldexp(1 / (SHARES * result.scale), 16 - finer)), 1 << 15), 1 << 16)
    return b.op("qsoftmax", x, b.const(table), axis=op.attrs["axis"], numerator=numerator, finer=finer, to=grid.dtype)


def _bits(largest: float, base: int) -> int:
    """The most fraction bits, up to MOST_BITS, with which `largest` * 2^(bits + base) fits 16 bits."""
    bits = min(MOST_BITS, math.floor(math.log2(TOP / largest)) - base) if largest > 0 else MOST_BITS
    if bits < 1:
        raise NotInIntegers("REQUANT_RANGE")
    return bits


def norm_form(b: Builder, op: Op, x: Value, grid: Grid, result: Grid) -> Value:
    _check(op)
    row = x.type.dims[_axis(op) :]
    n, graph = math.prod(row), b.graph
    given = [*op.inputs[1:], None, None][:2]
    if any(v is not None and v.const is None for v in given):
        raise NotInIntegers("NO_INTEGER_FORM")
    gain, offset = (graph.array(v).astype(np.float64) if v is not None else start
                    for v, start in zip(given, (np.ones(row), np.zeros(row)), strict=True))  # fmt: skip
    gain, offset = gain / result.scale, offset / result.scale + (result.zero - MIDDLE[result.dtype])
    point = 15 - norm_bits(n)
    shift = min(_bits(float(np.abs(gain).max()), point), _bits(float(np.abs(offset).max()), 0))
    gain, offset = np.rint(np.ldexp(gain, shift + point)), np.rint(np.ldexp(offset, shift))
    if max(np.abs(gain).max(), np.abs(offset).max()) > TOP:
        raise NotInIntegers("REQUANT_RANGE")
    eps = round(math.ldexp(float(op.attrs["eps"]) * (n / grid.scale) ** 2, EPS_BITS))  # type: ignore[arg-type]
    if eps > 1 << 60:
        raise NotInIntegers("REQUANT_RANGE")
    return b.op(
        "qnorm", x, b.const(gain.astype(np.int16)), b.const(offset.astype(np.int16)), axis=op.attrs["axis"],
        centre=int(op.kind == "layer_norm"), x_zero=grid.zero, eps=eps, shift=shift, to=result.dtype,
    )  # fmt: skip


def prelu_form(b: Builder, op: Op, x: Value, grid: Grid, result: Grid) -> Value:
    """With a slope for each channel, the last axis."""
    slope = op.arg(1)
    channels = x.type.dims[-1]
    if slope.const is None or slope.type.size != channels or slope.type.dims[-1:] != (channels,):
        raise NotInIntegers("NO_INTEGER_FORM")
    factor = grid.scale / result.scale
    slopes = b.graph.array(slope).reshape(-1).astype(np.float64) * factor
    shift = _bits(max(factor, float(np.abs(slopes).max())), 8)
    positive, *others = (round(math.ldexp(v, shift + 8)) for v in (factor, *slopes.tolist()))
    if max(positive, *map(abs, others)) > TOP or positive < 1:
        raise NotInIntegers("REQUANT_RANGE")
    return b.op("qprelu", x, b.const(np.array(others, np.int16)), x_zero=grid.zero, zero=result.zero, positive=positive,
                shift=shift, to=result.dtype)  # fmt: skip


def attention_form(b: Builder, op: Op, operands: Sequence[tuple[Value, Grid]], result: Grid) -> Value:
    _check(op)
    (q, of_q), (k, of_k), (v, of_v) = operands
    step = of_q.scale * of_k.scale * float(op.attrs["scale"])  # type: ignore[arg-type]
    m, s = multiplier(step / KEY_STEP)
    factor, keys = round(math.ldexp(of_v.scale / result.scale, 31)), k.type.dims[2]
    hides = -HIDDEN // 2 * m >> s >= 255
    if not hides or factor < LEAST_SHARE * TOP_WEIGHT * keys or factor >= TOP_WEIGHT << 30:
        raise NotInIntegers("REQUANT_RANGE")
    table = np.rint(TOP_WEIGHT * np.exp(-KEY_STEP * np.arange(256.0))).astype(np.uint8)
    mask = _mask(b.graph, op, step, q.type.dims[2], keys)
    return b.op(
        "qattention", q, k, v, b.const(table), *([b.const(mask)] if mask is not None else []), q_zero=of_q.zero,
        v_zero=of_v.zero, zero=result.zero, multiplier=m, shift=s, factor=factor, to=result.dtype,
    )  # fmt: skip


def _mask(graph: Graph, op: Op, step: float, queries: int, keys: int) -> Array | None:
    """What is added to scores, in their steps."""
    given = op.inputs[3] if len(op.inputs) > 3 else None
    if given is not None and given.const is None:
        raise NotInIntegers("NO_INTEGER_FORM")
    mask: Array | None = None
    if given is not None:
        array = graph.array(given)
        if array.dtype == np.bool_:
            mask = np.where(array, 0, HIDDEN)
        else:
            steps = array.astype(np.float64) / step
            if np.isnan(steps).any() or steps.max(initial=0.0) >= -HIDDEN // 2:
                raise NotInIntegers("REQUANT_RANGE")
            mask = np.where(steps <= HIDDEN // 2, HIDDEN, np.rint(np.maximum(steps, HIDDEN))).astype(np.int64)
    if op.attrs["causal"]:
        later = np.arange(keys) > np.arange(queries)[:, np.newaxis]
        mask = np.where(later, HIDDEN, 0 if mask is None else mask)
    if mask is not None and (np.broadcast_to(mask, (*mask.shape[:-1], keys)) == HIDDEN).all(-1).any():
        raise NotInIntegers("NO_INTEGER_FORM")  # floats give zeros to a query that sees no key
    return None if mask is None else mask.astype(np.int32)
