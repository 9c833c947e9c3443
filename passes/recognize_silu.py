"""Puts one op in the place of SiLU written out.

x * sigmoid(x), x / (1 + exp(-x))  ->  silu x
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import either, made_by, matches, polynomial, rewrite


def recognize_silu(graph: Graph) -> bool:
    return rewrite(graph, _silu)


def _silu(graph: Graph, op: Op) -> Value | None:
    if op.result.type.dtype != "f32":
        return None
    if op.kind == "mul":
        for x, gate in either(op):
            sigmoid = made_by(gate, "sigmoid")
            if sigmoid is not None and sigmoid.arg(0) is x:
                return Builder(graph, before=op).op("silu", x)
    elif op.kind == "div" and (total := made_by(op.arg(1), "add")) is not None:
        for value in (total.arg(0), total.arg(1)):
            power, x = made_by(value, "exp"), op.arg(0)
            if (
                power is not None
                and x.type == op.result.type
                and matches(polynomial(graph, total.result, power.result), 1.0, 1.0)
                and matches(polynomial(graph, power.arg(0), x), 0.0, -1.0)
            ):
                return Builder(graph, before=op).op("silu", x)
    return None
