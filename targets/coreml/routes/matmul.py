"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.types import FLOATS
from edgec.targets.coreml.channel_scale import scaled, weights
from edgec.targets.coreml.emission import Emission, NoRoute, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.activation import activated

Array = np.ndarray[Any, Any]


def _matmul(e: Emission, op: Op) -> Var:
    if op.attrs["to"]:
        raise NoRoute("multiplies bf16 or 8-bit floats, which Core ML does not")
    act = str(op.attrs["act"])
    if (row := _row(e, op)) is not None:
        return activated(e, e.mil("linear", x=e.operand(op, 0), weight=_matrix(e, op), bias=e.const(row)), act)
    transposed = bool(op.attrs["trans_b"])
    weight, scale = weights(e, op, op.arg(1).type.rank - (2 if transposed else 1))
    y = scaled(e, e.mil("matmul", x=e.operand(op, 0), y=weight, transpose_y=transposed), scale, 0)
    bias = e.optional(op, 2)
    return activated(e, y if bias is None else e.mil("add", x=y, y=bias), act)


def _row(e: Emission, op: Op) -> Array | None:
    """The bias of MIL's linear, if it is that: one for all rows, and a constant matrix for at most three axes. Without
    a bias, linear would have one of zeros. Codes are not turned, and their scales may stand in front of the bias."""
    x, matrix, bias = op.arg(0).type, e.array(op, 1), e.array(op, 2)
    n = op.result.type.dims[-1]
    if bias is None or bias.size not in (1, n) or bias.shape[-1:] not in ((), (1,), (n,)):
        return None
    if matrix is None or matrix.ndim != 2 or x.dtype not in FLOATS or x.rank > 3:
        return None
    return np.broadcast_to(bias.reshape(-1), (n,))


def _matrix(e: Emission, op: Op) -> Var:
    """[results, operands]"""
    if op.attrs["trans_b"]:
        return e.operand(op, 1)
    return e.const(np.ascontiguousarray(np.asarray(e.array(op, 1)).T))


ROUTES: dict[str, Route] = {"matmul": _matmul}
