"""Operators on single elements."""

from __future__ import annotations

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, Route
from edgec.targets.coreml.mil import Var


def _unary(kind: str) -> Route:
    return lambda e, op: e.mil(kind, x=e.operand(op, 0))


def _binary(kind: str) -> Route:
    return lambda e, op: e.mil(kind, x=e.operand(op, 0), y=e.operand(op, 1))


def activated(e: Emission, x: Var, act: str) -> Var:
    """A fused activation by its name."""
    return x if not act else e.mil(act, x=x)


def _add(e: Emission, op: Op) -> Var:
    return activated(e, e.mil("add", x=e.operand(op, 0), y=e.operand(op, 1)), str(op.attrs["act"]))


def _clip(e: Emission, op: Op) -> Var:
    x, lo, hi = e.operand(op, 0), float(op.attrs["lo"]), float(op.attrs["hi"])  # type: ignore[arg-type]
    return e.mil("minimum", x=e.mil("maximum", x=x, y=e.const(lo)), y=e.const(hi))


ROUTES: dict[str, Route] = {
    **{kind: _unary(kind) for kind in ("relu", "sigmoid", "tanh")},
    **{kind: _binary(kind) for kind in ("sub", "mul")},
    "add": _add,
    "clip": _clip,
}
