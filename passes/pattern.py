"""Reading a graph backwards: products, polynomials, sums over axes; what the recognising passes match with."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Op, Value

DEPTH = 8  # how far a pattern is followed; none of the exporters' forms is deeper


@dataclass
class Product:
    """factor * over[0] * over[1] … / under[0] / under[1] …"""

    factor: float = 1.0
    over: list[Value] = field(default_factory=list)
    under: list[Value] = field(default_factory=list)


def rewrite(graph: Graph, match: Callable[[Graph, Op], Value | None]) -> bool:
    """Puts what `match` makes in the place of each op's only result, and drops what nobody reads any more."""
    changed = False
    gone: set[int] = set()
    for op in list(graph.ops):
        if id(op) in gone or len(op.results) != 1:
            continue
        made = match(graph, op)
        if made is None:
            continue
        graph.replace(op.result, made)
        gone |= _drop(graph, op)
        changed = True
    return changed


def _drop(graph: Graph, root: Op) -> set[int]:
    users = graph.users()
    leaving = graph.output_values()
    dead: set[int] = set()
    pending = [root]
    while pending:
        op = pending.pop()
        if id(op) in dead or any(r in leaving or any(id(u) not in dead for u in users.get(r, ())) for r in op.results):
            continue
        dead.add(id(op))
        pending += [v.op for v in op.inputs if v is not None and v.op is not None]
    graph.ops = [op for op in graph.ops if id(op) not in dead]
    return dead


def close(a: float, b: float) -> bool:
    """Equal as far as exporters write constants out."""
    return math.isclose(a, b, rel_tol=1e-5)


def scalar(graph: Graph, value: Value) -> float | None:
    """The number that a constant consists of."""
    if value.const is None or not value.type.size:
        return None
    array = graph.array(value).reshape(-1)
    return float(array[0]) if array.size == 1 or bool(np.all(array == array[0])) else None


def made_by(value: Value | None, *kinds: str) -> Op | None:
    """The op of one of these kinds that makes the value; none with a fused activation."""
    if value is None or value.op is None or value.op.kind not in kinds or value.op.attrs.get("act"):
        return None
    return value.op


def either(op: Op) -> Iterator[tuple[Value, Value]]:
    """Both orders of the operands."""
    yield op.arg(0), op.arg(1)
    yield op.arg(1), op.arg(0)


def peeled(value: Value) -> Value:
    """The value without reshapes that only add or drop axes of length 1."""
    op = made_by(value, "reshape")
    if op is None or [d for d in op.arg(0).type.dims if d != 1] != [d for d in value.type.dims if d != 1]:
        return value
    return peeled(op.arg(0))


def product(graph: Graph, value: Value, whole: Collection[Value] = (), depth: int = DEPTH) -> Product:
    """The value as a product; the values in `whole` are not taken apart."""
    made = Product()
    _multiply(graph, value, True, set(whole), made, depth)
    return made


def _multiply(graph: Graph, value: Value, over: bool, whole: set[Value], made: Product, depth: int) -> None:
    number = scalar(graph, value)
    op = value.op
    if number is not None and number != 0.0:
        made.factor *= number if over else 1.0 / number
    elif op is not None and value not in whole and depth and op.kind in ("mul", "div"):
        _multiply(graph, op.arg(0), over, whole, made, depth - 1)
        _multiply(graph, op.arg(1), over if op.kind == "mul" else not over, whole, made, depth - 1)
    elif op is not None and value not in whole and depth and op.kind == "reciprocal":
        _multiply(graph, op.arg(0), not over, whole, made, depth - 1)
    elif op is not None and value not in whole and depth and op.kind == "neg":
        made.factor = -made.factor
        _multiply(graph, op.arg(0), over, whole, made, depth - 1)
    else:
        (made.over if over else made.under).append(value)


def polynomial(graph: Graph, value: Value, base: Value, depth: int = DEPTH) -> tuple[float, ...] | None:
    """Coefficients, lowest first and up to the cube, of the value as a polynomial in `base`."""
    if value is base:
        return (0.0, 1.0)
    number = scalar(graph, value)
    if number is not None:
        return (number,)
    op = made_by(value, "add", "sub", "mul", "div", "neg", "pow")
    if op is None or not depth:
        return None
    left = polynomial(graph, op.arg(0), base, depth - 1)
    if left is None:
        return None
    if op.kind == "neg":
        return _trimmed(np.negative(left))
    right = polynomial(graph, op.arg(1), base, depth - 1)
    if right is None:
        return None
    if op.kind == "add":
        return _trimmed(np.polynomial.polynomial.polyadd(left, right))
    if op.kind == "sub":
        return _trimmed(np.polynomial.polynomial.polysub(left, right))
    if op.kind == "mul":
        return _trimmed(np.polynomial.polynomial.polymul(left, right))
    if len(right) != 1:
        return None
    if op.kind == "div":
        return _trimmed(np.divide(left, right[0])) if right[0] else None
    return _trimmed(np.polynomial.polynomial.polypow(left, int(right[0]))) if right[0] in (2.0, 3.0) else None


def _trimmed(coefficients: Any) -> tuple[float, ...] | None:
    found = [float(c) for c in coefficients]
    return tuple(found) if len(found) <= 4 else None


def matches(found: tuple[float, ...] | None, *expected: float) -> bool:
    """Whether the coefficients are these."""
    if found is None or len(found) != len(expected):
        return False
    return all(close(f, e) if e else f == 0.0 for f, e in zip(found, expected, strict=True))


def bounded(graph: Graph, value: Value) -> tuple[Value, float, float] | None:
    """The value as min(max(x, lo), hi): (x, lo, hi)."""
    op = made_by(value, "clip", "min", "relu", "max")
    if op is None:
        return None
    if op.kind == "clip":
        return op.arg(0), float(op.attrs["lo"]), float(op.attrs["hi"])  # type: ignore[arg-type]
    if op.kind == "relu":
        return op.arg(0), 0.0, math.inf
    for inner, bound in either(op):
        number = scalar(graph, bound)
        if number is None:
            continue
        below = bounded(graph, inner) or (inner, -math.inf, math.inf)
        if op.kind == "min" and below[2] == math.inf:
            return below[0], below[1], number
        if op.kind == "max" and below[1] == -math.inf and number <= below[2]:
            return below[0], number, below[2]
    return None


def reduced(graph: Graph, value: Value, kind: str) -> tuple[Value, tuple[int, ...]] | None:
    """The source and the axes of `kind` (mean, sum or max) over it; a mean may be a sum times 1/count."""
    value = peeled(value)
    op = made_by(value, f"reduce_{kind}")
    if op is not None:
        return op.arg(0), tuple(op.attrs["axes"])  # type: ignore[arg-type]
    if kind != "mean":
        return None
    found = product(graph, value)
    if len(found.over) != 1 or found.under:
        return None
    total = reduced(graph, found.over[0], "sum")
    if total is None:
        return None
    count = math.prod(total[0].type.dims[i] for i in total[1])
    return total if count and close(found.factor * count, 1.0) else None


def kept(source: Value, axes: Collection[int]) -> tuple[int, ...]:
    """The shape of a reduction that keeps its axes."""
    return tuple(1 if i in axes else d for i, d in enumerate(source.type.dims))
