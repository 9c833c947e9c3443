"""Products of matrices."""

from __future__ import annotations

from edgec.ir.graph import Op
from edgec.targets.coreml.channel_scale import scaled, weights
from edgec.targets.coreml.emission import Emission, NoRoute, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.activation import activated


def _matmul(e: Emission, op: Op) -> Var:
    if op.attrs["to"]:
        raise NoRoute("multiplies bf16 or 8-bit floats, which Core ML does not")
    transposed = bool(op.attrs["trans_b"])
    weight, scale = weights(e, op, op.arg(1).type.rank - (2 if transposed else 1))
    y = scaled(e, e.mil("matmul", x=e.operand(op, 0), y=weight, transpose_y=transposed), scale, 0)
    bias = e.optional(op, 2)
    return activated(e, y if bias is None else e.mil("add", x=y, y=bias), str(op.attrs["act"]))


ROUTES: dict[str, Route] = {"matmul": _matmul}
