"""Puts layer norm in the place of its long-hand forms, with the constant scale and bias behind it.

d = x - mean x;  d / sqrt(mean(d^2) + eps) * scale + bias                         ->  layer_norm x, scale, bias
x * (scale / sqrt(var + eps)) + (bias - mean x * scale / sqrt(var + eps))         ->  layer_norm x, scale, bias

Over one axis that is not the last it stands between transposes.
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.norm_pattern import absorbed, over_axes, roots, square_of, times
from edgec.passes.pattern import either, kept, made_by, product, reduced, rewrite

Moments = tuple[Value, tuple[int, ...]]


def recognize_layer_norm(graph: Graph) -> bool:
    changed = rewrite(graph, _unit)
    changed |= rewrite(graph, lambda g, op: absorbed(g, op, "layer_norm", "mul", 1))
    return rewrite(graph, lambda g, op: absorbed(g, op, "layer_norm", "add", 2)) or changed


def _unit(graph: Graph, op: Op) -> Value | None:
    if op.result.type.dtype != "f32" or op.attrs.get("act"):
        return None
    return _by_difference(graph, op) if op.kind in ("mul", "div") else _by_shift(graph, op)


def _by_difference(graph: Graph, op: Op) -> Value | None:
    """A product with the factors x - mean x and 1 / sqrt(var x + eps)."""
    for root in roots(graph, op.result):
        moments = _variance(graph, root.inner)
        if moments is None or not _broadcasts(root.factor, moments):
            continue
        for centred in product(graph, op.result, (root.factor,)).over:
            if not _is_centred(graph, centred, moments) or centred.type != op.result.type:
                continue
            b = Builder(graph, before=op)
            unit = over_axes(b, "layer_norm", *moments, root.eps)
            return None if unit is None else times(b, graph, op, unit, (centred, root.factor))
    return None


def _by_shift(graph: Graph, op: Op) -> Value | None:
    """x * m + (bias - mean x * m), where m has the factor 1 / sqrt(var x + eps)."""
    if op.kind != "add":
        return None
    for scaled, shift in either(op):
        left, right = made_by(scaled, "mul"), made_by(shift, "sub")
        moved = made_by(right.arg(1), "mul") if right is not None else None
        if left is None or right is None or moved is None:
            continue
        for x, m in either(left):
            for mean, same in either(moved):
                if same is not m or x.type != op.result.type:
                    continue
                for root in roots(graph, m):
                    moments = _variance(graph, root.inner)
                    if moments is None or moments[0] is not x or not _broadcasts(root.factor, moments):
                        continue
                    if reduced(graph, mean, "mean") != moments or mean.type.dims != kept(*moments):
                        continue
                    b = Builder(graph, before=op)
                    unit = over_axes(b, "layer_norm", *moments, root.eps)
                    made_m = m.op
                    if unit is None or made_m is None:
                        continue
                    return b.op("add", times(b, graph, made_m, unit, (root.factor,)), right.arg(0))
    return None


def _broadcasts(value: Value, moments: Moments) -> bool:
    return value.type.dims == kept(*moments)


def _is_centred(graph: Graph, value: Value, moments: Moments) -> bool:
    op = made_by(value, "sub")
    if op is None or op.arg(0) is not moments[0] or not _broadcasts(op.arg(1), moments):
        return False
    return reduced(graph, op.arg(1), "mean") == moments


def _variance(graph: Graph, value: Value) -> Moments | None:
    """(x, axes) where the value is the population variance of x: E[(x - mean)^2] or E[x^2] - mean^2."""
    found = reduced(graph, value, "mean")
    if found is not None:
        centred = square_of(graph, found[0])
        op = made_by(centred, "sub")
        if centred is None or op is None:
            return None
        moments = (op.arg(0), found[1])
        return moments if _is_centred(graph, centred, moments) else None
    difference = made_by(value, "sub")
    if difference is None:
        return None
    squares, mean = reduced(graph, difference.arg(0), "mean"), square_of(graph, difference.arg(1))
    if squares is None or mean is None:
        return None
    x = square_of(graph, squares[0])
    return (x, squares[1]) if x is not None and reduced(graph, mean, "mean") == (x, squares[1]) else None
