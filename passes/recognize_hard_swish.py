"""Puts one op in the place of hard-swish written out.

x * clip(x + 3, 0, 6) / 6, x * hard_sigmoid(x)  ->  hard_swish x
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import bounded, close, made_by, matches, polynomial, product, rewrite


def recognize_hard_swish(graph: Graph) -> bool:
    return rewrite(graph, _hard_swish)


def _hard_swish(graph: Graph, op: Op) -> Value | None:
    if op.kind not in ("mul", "div") or op.result.type.dtype != "f32":
        return None
    for gate in product(graph, op.result).over:
        for x in _sources(graph, gate):
            found = product(graph, op.result, (x, gate))
            plain = sorted(map(id, found.over)) == sorted((id(x), id(gate))) and not found.under
            if plain and x.type == op.result.type and _is_gate(graph, gate, x, found.factor):
                return Builder(graph, before=op).op("hard_swish", x)
    return None


def _sources(graph: Graph, gate: Value) -> list[Value]:
    """What x may be in clip(a * x + b): the argument, or an operand of its sum and product."""
    curve = made_by(gate, "hard_sigmoid")
    limits = bounded(graph, gate)
    if curve is not None:
        return [curve.arg(0)]
    if limits is None:
        return []
    found = [limits[0]]
    for value in found:
        if (inner := made_by(value, "add", "mul", "div", "sub")) is not None and len(found) < 8:
            found += [v for v in (inner.arg(0), inner.arg(1)) if v.const is None]
    return found


def _is_gate(graph: Graph, gate: Value, x: Value, factor: float) -> bool:
    """Whether factor * gate is clip(x / 6 + 1/2, 0, 1)."""
    curve = made_by(gate, "hard_sigmoid")
    if curve is not None:
        alpha, beta = float(curve.attrs["alpha"]), float(curve.attrs["beta"])  # type: ignore[arg-type]
        return close(factor, 1.0) and close(alpha, 1 / 6) and close(beta, 0.5)
    limits = bounded(graph, gate)
    if limits is None or limits[1] != 0.0 or not close(limits[2] * factor, 1.0):
        return False
    return matches(polynomial(graph, limits[0], x), 0.5 / factor, 1 / 6 / factor)
