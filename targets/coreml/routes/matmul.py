"""Products of matrices."""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.types import FLOATS
from edgec.targets.coreml.emission import Emission, NoRoute, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.activation import activated


def _matmul(e: Emission, op: Op) -> Var:
    if op.attrs["to"]:
        raise NoRoute("multiplies bf16 or 8-bit floats, which Core ML does not")
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if _is_layer(op):
        row = _row(e, op)
        y = e.mil("linear", x=e.operand(op, 0), weight=_weight(e, op), bias=row)
        bias = bias if row is None else None
    else:
        y = e.mil("matmul", x=e.operand(op, 0), y=e.operand(op, 1), transpose_y=bool(op.attrs["trans_b"]))
    return activated(e, y if bias is None else e.mil("add", x=y, y=e.value(bias)), str(op.attrs["act"]))


def _is_layer(op: Op) -> bool:
    """Whether it is MIL's linear: floats by a constant matrix, of at most three axes. Codes are not turned."""
    x, y = op.arg(0), op.arg(1)
    matrix = y.const is not None and y.type.rank == 2 and (bool(op.attrs["trans_b"]) or not y.type.encodings)
    return matrix and x.type.dtype in FLOATS and x.type.rank <= 3


def _weight(e: Emission, op: Op) -> Var:
    if op.attrs["trans_b"]:
        return e.operand(op, 1)
    return e.const(np.ascontiguousarray(np.asarray(e.array(op, 1)).T))


def _row(e: Emission, op: Op) -> Var | None:
    """The bias, where it is a constant that is the same for each row."""
    bias, n = e.array(op, 2), op.result.type.dims[-1]
    if bias is None or bias.size not in (1, n) or bias.shape[-1:] not in ((), (1,), (n,)):
        return None
    return e.const(np.broadcast_to(bias.reshape(-1), (n,)))


ROUTES: dict[str, Route] = {"matmul": _matmul}
