"""Reductions."""

from __future__ import annotations

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.conv import ints


def _reduce(kind: str) -> Route:
    def route(e: Emission, op: Op) -> Var:
        x = e.operand(op, 0)
        return e.mil(kind, x=x, axes=ints(op.attrs["axes"]), keep_dims=bool(op.attrs["keepdims"]))

    return route


ROUTES: dict[str, Route] = {f"reduce_{kind}": _reduce(f"reduce_{kind}") for kind in ("sum", "mean", "max", "min")}
