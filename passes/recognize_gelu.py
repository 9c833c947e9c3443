"""Puts one op in the place of GELU written out, by erf or by tanh, in any order of its factors.

x * 0.5 * (1 + erf(x / sqrt 2))                              ->  gelu x
x * 0.5 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))        ->  gelu_tanh x
"""

from __future__ import annotations

import math

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import close, made_by, matches, polynomial, product, rewrite

_INNER = {"erf": (0.0, math.sqrt(0.5)), "tanh": (0.0, math.sqrt(2 / math.pi), 0.0, 0.044715 * math.sqrt(2 / math.pi))}
_RESULT = {"erf": "gelu", "tanh": "gelu_tanh"}


def recognize_gelu(graph: Graph) -> bool:
    return rewrite(graph, _gelu)


def _gelu(graph: Graph, op: Op) -> Value | None:
    if op.kind not in ("mul", "div") or op.result.type.dtype != "f32":
        return None
    found = product(graph, op.result)
    if len(found.over) < 2 or found.under:
        return None
    for gate in found.over:
        curve = _curve(graph, gate)
        if curve is None:
            continue
        x = _other(graph, op, gate)
        form = polynomial(graph, gate, curve.result)
        if x is None or form is None or len(form) != 2 or not close(form[0], form[1]):
            continue
        factor = product(graph, op.result, (x, gate)).factor * form[1]
        if close(factor, 0.5) and matches(polynomial(graph, curve.arg(0), x), *_INNER[curve.kind]):
            return Builder(graph, before=op).op(_RESULT[curve.kind], x) if x.type == op.result.type else None
    return None


def _curve(graph: Graph, gate: Value) -> Op | None:
    """The erf or tanh in 1 + erf(…)."""
    total = made_by(gate, "add")
    if total is None:
        return None
    for value in (total.arg(0), total.arg(1)):
        over = product(graph, value).over
        if len(over) == 1 and (curve := made_by(over[0], "erf", "tanh")) is not None:
            return curve
    return None


def _other(graph: Graph, op: Op, gate: Value) -> Value | None:
    """What the gate is multiplied with: the factor that the curve's argument is made of, itself perhaps a product."""
    curve = _curve(graph, gate)
    assert curve is not None
    pending, seen = [curve.arg(0)], set[Value]()
    while pending:
        value = pending.pop()
        if value in seen or value.const is not None:
            continue
        seen.add(value)
        rest = product(graph, op.result, (value, gate))
        if sorted(map(id, rest.over)) == sorted(map(id, (value, gate))) and not rest.under:
            return value
        if value.op is not None and value.op.kind in ("add", "mul", "div", "pow", "sub", "neg") and len(seen) < 32:
            pending += [v for v in value.op.inputs if v is not None]
    return None
