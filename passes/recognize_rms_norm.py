"""Puts RMS norm in the place of its long-hand forms, with the constant scale behind it.

x / sqrt(mean(x^2) + eps) * scale, x * rsqrt(…), x * (1 / sqrt(…))  ->  rms_norm x, scale
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.norm_pattern import absorbed, over_axes, roots, square_of, times
from edgec.passes.pattern import kept, product, reduced, rewrite


def recognize_rms_norm(graph: Graph) -> bool:
    changed = rewrite(graph, _unit)
    return rewrite(graph, lambda g, op: absorbed(g, op, "rms_norm", "mul", 1)) or changed


def _unit(graph: Graph, op: Op) -> Value | None:
    if op.kind not in ("mul", "div") or op.result.type.dtype != "f32":
        return None
    for root in roots(graph, op.result):
        found = reduced(graph, root.inner, "mean")
        x = square_of(graph, found[0]) if found is not None else None
        if found is None or x is None or x.type != op.result.type or root.factor.type.dims != kept(x, found[1]):
            continue
        if x not in product(graph, op.result, (x, root.factor)).over:
            continue
        b = Builder(graph, before=op)
        unit = over_axes(b, "rms_norm", x, found[1], root.eps)
        return None if unit is None else times(b, graph, op, unit, (x, root.factor))
    return None
