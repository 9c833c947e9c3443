"""What layer norm and RMS norm share written out: 1 / sqrt(v + eps) as a factor, and the op over the right axes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import bounded, either, made_by, peeled, product, scalar


@dataclass(frozen=True)
class Root:
    """A factor 1 / sqrt(inner + eps)."""

    factor: Value
    inner: Value
    eps: float


def roots(graph: Graph, value: Value) -> Iterator[Root]:
    """The inverse roots among the factors of a product."""
    found = product(graph, value)
    candidates = [(v, ("rsqrt", -0.5)) for v in found.over] + [(v, ("sqrt", 0.5)) for v in found.under]
    for factor, (kind, power) in candidates:
        op = made_by(peeled(factor), kind, "pow")
        if op is None or (op.kind == "pow" and scalar(graph, op.arg(1)) != power):
            continue
        inner, eps = op.arg(0), 0.0
        total = made_by(peeled(inner), "add")
        if total is not None:
            for value, constant in either(total):
                number = scalar(graph, constant)
                if number is not None and number >= 0.0:
                    inner, eps = value, number
                    break
        yield Root(factor, _not_negative(graph, peeled(inner)), eps)


def _not_negative(graph: Graph, value: Value) -> Value:
    limits = bounded(graph, value)
    return peeled(limits[0]) if limits is not None and limits[1:] == (0.0, float("inf")) else value


def square_of(graph: Graph, value: Value) -> Value | None:
    """x for x * x and x ** 2."""
    op = made_by(peeled(value), "mul", "pow")
    if op is None:
        return None
    if op.kind == "mul":
        return op.arg(0) if op.arg(0) is op.arg(1) else None
    return op.arg(0) if scalar(graph, op.arg(1)) == 2.0 else None


def over_axes(b: Builder, kind: str, x: Value, axes: Collection[int], eps: float) -> Value | None:
    """The norm of x over its last axes, or over one axis between transposes; None where neither fits."""
    rank = x.type.rank
    first = rank - len(axes)
    if sorted(axes) == list(range(first, rank)):
        return b.op(kind, x, axis=first, eps=eps)
    if len(axes) != 1:
        return None
    (axis,) = axes
    perm = (*(i for i in range(rank) if i != axis), axis)
    back = tuple(perm.index(i) for i in range(rank))
    return b.op("transpose", b.op(kind, b.op("transpose", x, perm=perm), axis=rank - 1, eps=eps), perm=back)


def times(b: Builder, graph: Graph, op: Op, unit: Value, whole: Collection[Value]) -> Value:
    """`unit` in the place of the product of the values in `whole`; the product's other factors stay."""
    rest = product(graph, op.result, whole)
    for value in rest.over:
        if value not in whole:
            unit = b.op("mul", unit, value)
    for value in rest.under:
        if value not in whole:
            unit = b.op("div", unit, value)
    return unit if rest.factor == 1.0 else b.op("mul", unit, b.const(rest.factor, unit.type.dtype))


def absorbed(graph: Graph, op: Op, kind: str, product_kind: str, at: int) -> Value | None:
    """The norm `kind` with the constant that `op` (mul or add) applies to its result as operand `at`."""
    if op.kind != product_kind or op.attrs.get("act"):
        return None
    for unit, constant in either(op):
        norm = made_by(unit, kind)
        if norm is None or constant.const is None or unit.type != op.result.type or len(norm.inputs) > at:
            continue
        axis = int(norm.attrs["axis"])  # type: ignore[arg-type]
        outside = constant.type.dims[: max(0, constant.type.rank - unit.type.rank + axis)]
        if any(d != 1 for d in outside) or len(graph.users()[unit]) != 1 or unit in graph.output_values():
            continue
        b = Builder(graph, before=op)
        inner = unit.type.dims[axis:]
        lead = (1,) * (len(inner) - constant.type.rank)
        shaped = b.op("reshape", constant, shape=(*lead, *constant.type.dims)[-len(inner) :])
        operands = [*norm.inputs, *[None] * (at - len(norm.inputs)), b.op("broadcast_to", shaped, shape=inner)]
        return b.op(kind, *operands, **norm.attrs)
    return None
