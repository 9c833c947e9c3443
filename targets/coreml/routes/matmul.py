"""Products of matrices."""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.types import FLOATS
from edgec.targets.coreml.channel_scale import scaled, weights
from edgec.targets.coreml.emission import Emission, NoRoute, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.activation import activated


def _matmul(e: Emission, op: Op) -> Var:
    if op.attrs["to"]:
        raise NoRoute("multiplies bf16 or 8-bit floats, which Core ML does not")
    transposed, row = bool(op.attrs["trans_b"]), None
    if _is_layer(op):
        weight, scale = weights(e, op, 0) if transposed else (_turned(e, op), None)
        row = _row(e, op) if scale is None else None
        y = e.mil("linear", x=e.operand(op, 0), weight=weight, bias=row)
    else:
        weight, scale = weights(e, op, op.arg(1).type.rank - (2 if transposed else 1))
        y = e.mil("matmul", x=e.operand(op, 0), y=weight, transpose_y=transposed)
    y, bias = scaled(e, y, scale, 0), e.optional(op, 2) if row is None else None
    return activated(e, y if bias is None else e.mil("add", x=y, y=bias), str(op.attrs["act"]))


def _is_layer(op: Op) -> bool:
    """Whether it is MIL's linear: floats by a constant matrix, of at most three axes. Codes are not turned."""
    x, y = op.arg(0), op.arg(1)
    matrix = y.const is not None and y.type.rank == 2 and (bool(op.attrs["trans_b"]) or not y.type.encodings)
    return matrix and x.type.dtype in FLOATS and x.type.rank <= 3


def _turned(e: Emission, op: Op) -> Var:
    """The matrix as [results, operands]."""
    return e.const(np.ascontiguousarray(np.asarray(e.array(op, 1)).T))


def _row(e: Emission, op: Op) -> Var | None:
    """The bias, where it is a constant that is the same for each row."""
    bias, n = e.array(op, 2), op.result.type.dims[-1]
    if bias is None or bias.size not in (1, n) or bias.shape[-1:] not in ((), (1,), (n,)):
        return None
    return e.const(np.broadcast_to(bias.reshape(-1), (n,)))


ROUTES: dict[str, Route] = {"matmul": _matmul}
