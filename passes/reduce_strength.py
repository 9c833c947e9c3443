"""Cheaper ops for the same value: squares and roots for powers, a factor for a constant divisor, rsqrt for 1 / sqrt, a
mean for a pool with one window.

pow x, 2.0  ->  mul x, x        div x, 4.0  ->  mul x, 0.25        div 1.0, (sqrt x)  ->  rsqrt x
avg_pool x {kernel=(7, 7)}  ->  reduce_mean x {axes=(2, 3)}        for x: f32[1,8,7,7]
"""

from __future__ import annotations

import math
from typing import Any

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import made_by, rewrite, scalar


def reduce_strength(graph: Graph) -> bool:
    return rewrite(graph, _cheaper)


def _cheaper(graph: Graph, op: Op) -> Value | None:
    made = _form(graph, op) if op.result.type.dtype == "f32" else None
    return made if made is not None and made.type == op.result.type else None


def _form(graph: Graph, op: Op) -> Value | None:
    b = Builder(graph, before=op)
    if op.kind == "reciprocal" and (root := made_by(op.arg(0), "sqrt")) is not None:
        return b.op("rsqrt", root.arg(0))
    if op.kind == "avg_pool" and (axes := _window_of_all(op)) is not None:
        return b.op("reduce_mean", op.arg(0), axes=axes, keepdims=True)
    if op.kind not in ("pow", "div"):
        return None
    x, number = op.arg(0), scalar(graph, op.arg(1))
    if op.kind == "div":
        root = made_by(op.arg(1), "sqrt")
        if root is not None and scalar(graph, x) == 1.0 and root.result.type == op.result.type:
            return b.op("rsqrt", root.arg(0))
        if scalar(graph, x) == 1.0 and op.arg(1).type == op.result.type:
            return b.op("reciprocal", op.arg(1))
        usable = number is not None and 1e-30 < abs(number) < 1e30
        if number is None or not usable or op.result.type != x.type:
            return None
        return b.op("mul", x, b.const(1.0 / number, "f32"))
    if op.result.type != x.type:
        return None
    if number == 2.0:
        return b.op("mul", x, x)
    if number == 3.0:
        return b.op("mul", b.op("mul", x, x), x)
    if number == 0.5 and _square_or_sum(x):
        return b.op("sqrt", x)
    return x if number == 1.0 and not math.isnan(number) else None


def _window_of_all(op: Op) -> tuple[int, ...] | None:
    """The axes of a pool whose only window is the whole image, without padding."""
    attrs: Any = op.attrs
    dims, rank = op.arg(0).type.dims, len(attrs["kernel"])
    first = 2 if attrs["layout"] == "nchw" else 1
    axes = tuple(range(first, first + rank))
    whole = tuple(dims[i] for i in axes) == attrs["kernel"] and not any(attrs["pads"])
    return axes if whole else None


def _square_or_sum(x: Value) -> bool:
    """pow(-inf, 0.5) is inf and sqrt(-inf) is not: only where x is seen to be no infinity below zero."""
    return made_by(x, "mul", "reduce_mean", "reduce_sum", "abs", "relu", "exp") is not None
