"""Puts one op in the place of softmax written out.

exp(x - max x) / sum(exp(x - max x)), with or without the maximum  ->  softmax x
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import kept, made_by, product, reduced, rewrite


def recognize_softmax(graph: Graph) -> bool:
    return rewrite(graph, _softmax)


def _softmax(graph: Graph, op: Op) -> Value | None:
    if op.kind not in ("div", "mul") or op.result.type.dtype != "f32":
        return None
    found = product(graph, op.result)
    if len(found.over) != 1 or len(found.under) != 1 or found.factor != 1.0:
        return None
    power, total = made_by(found.over[0], "exp"), reduced(graph, found.under[0], "sum")
    if power is None or total is None or total[0] is not power.result or len(total[1]) != 1:
        return None
    if power.result.type != op.result.type or found.under[0].type.dims != kept(power.result, total[1]):
        return None
    axis = total[1][0]
    return Builder(graph, before=op).op("softmax", _shifted(graph, power.arg(0), axis), axis=axis)


def _shifted(graph: Graph, value: Value, axis: int) -> Value:
    """x for x - max x: softmax is the same for both."""
    op = made_by(value, "sub")
    if op is None:
        return value
    top = reduced(graph, op.arg(1), "max")
    if top is None or top[0] is not op.arg(0) or top[1] != (axis,) or op.arg(1).type.dims != kept(top[0], (axis,)):
        return value
    return op.arg(0)
