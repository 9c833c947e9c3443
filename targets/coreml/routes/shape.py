"""Moving elements about."""

from __future__ import annotations

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.conv import ints


def _reshape(e: Emission, op: Op) -> Var:
    return e.mil("reshape", x=e.operand(op, 0), shape=ints(op.attrs["shape"]))


def _transpose(e: Emission, op: Op) -> Var:
    return e.mil("transpose", x=e.operand(op, 0), perm=ints(op.attrs["perm"]))


def _concat(e: Emission, op: Op) -> Var:
    return e.mil("concat", values=[e.operand(op, i) for i in range(len(op.inputs))], axis=op.attrs["axis"])


ROUTES: dict[str, Route] = {"reshape": _reshape, "transpose": _transpose, "concat": _concat}
