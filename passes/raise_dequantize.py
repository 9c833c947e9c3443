"""Moves a dequantize above what only moves bytes, or takes their largest, so that it meets the quantize there.

%1 = quantize %0, #s, #z                        %1 = quantize %0, #s, #z
%2 = max_pool %1 {kernel=(2, 2), …}        ->   %2 = dequantize %1, #s, #z
%3 = dequantize %2, #s, #z                      %3 = max_pool %2 {kernel=(2, 2), …}

Bounds of quantised bytes (PyTorch writes Clip for its 7 bits) bound the number before it is rounded, so that what makes
it takes the clamp in: they are numbers that bytes stand for, and the same bytes come out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.sweep import sweep

KINDS = ("concat", "max_pool", "pad", "reshape", "slice", "transpose")


def raise_dequantize(graph: Graph) -> bool:
    return sweep(graph, lambda b, op: _raised(graph, b, op))


def _raised(graph: Graph, b: Builder, op: Op) -> Value | None:
    """The move of what is dequantised, for one scale a tensor."""
    if op.kind != "dequantize" or op.attrs["axis"] != -1 or any(v.const is None for v in (op.arg(1), op.arg(2))):
        return None
    return _above(graph, b, op, op.arg(0)) or _bounded(graph, b, op)


def _bounded(graph: Graph, b: Builder, op: Op) -> Value | None:
    """The dequantised bytes that a quantize with the same scale made, and that were bounded before `op`."""
    scale, zero = op.arg(1), op.arg(2)
    inner, (lo, hi) = op.arg(0), (-math.inf, math.inf)
    while inner.op is not None and inner.op.kind in ("max", "min"):
        x, bound = inner.op.arg(0), inner.op.arg(1)
        if bound.const is None or bound.type.size != 1 or x.type != inner.type:
            return None
        number = float(graph.array(bound).reshape(()))
        lo, hi = _bounds(inner.op.kind, number, lo, hi)
        inner = x
    made = inner.op
    if made is None or made.kind != "quantize" or inner is op.arg(0):
        return None
    if made.attrs["axis"] != -1 or made.arg(1).const != scale.const or made.arg(2).const != zero.const:
        return None
    start, step, ends = int(graph.array(zero)), float(graph.array(scale)), np.iinfo(graph.array(zero).dtype)
    lo = (lo - start) * step if lo > ends.min else -math.inf
    hi = (hi - start) * step if hi < ends.max else math.inf
    x = made.arg(0)
    if x.op is not None and x.op.kind == "relu":  # one clamp, which what is before it takes in
        x, lo, hi = x.op.arg(0), *_bounds("max", 0.0, lo, hi)
    if (lo, hi) != (-math.inf, math.inf):
        x = b.op("clip", x, lo=lo, hi=hi)
    return b.op("dequantize", b.op("quantize", x, scale, zero), scale, zero)


def _bounds(kind: str, number: float, lo: float, hi: float) -> tuple[float, float]:
    """Those of max or min with a number, and then of a clip; its upper one wins where they cross."""
    return (min(max(lo, number), hi), hi) if kind == "max" else (lo, max(min(hi, number), lo))


def _above(graph: Graph, b: Builder, op: Op, x: Value) -> Value | None:
    """The dequantised x, where it is made by a move."""
    move = x.op
    if move is None or move.kind not in KINDS:
        return None
    attrs: dict[str, Any] = dict(move.attrs)
    if move.kind == "pad" and attrs["mode"] == "constant":
        attrs["value"] = (attrs["value"] - int(graph.array(op.arg(2)))) * float(graph.array(op.arg(1)))
    operands = []
    for v in move.inputs:
        assert v is not None
        operands.append(_above(graph, b, op, v) or b.op("dequantize", v, op.arg(1), op.arg(2)))
    return b.op(move.kind, *operands, **attrs)
