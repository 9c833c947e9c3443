"""Quantisation that operators say: steps of a scale, counted and multiplied in float32 whatever is computed in."""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.types import DTYPES
from edgec.targets.coreml.emission import Emission, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import reshaped


def _along(e: Emission, x: Var, op: Op) -> Var:
    """A scale or zero point so that it broadcasts to operand 0."""
    axis, rank = int(op.attrs["axis"]), op.arg(0).type.rank  # type: ignore[arg-type]
    return x if axis < 0 else reshaped(e, x, tuple(int(x.shape[0]) if i == axis else 1 for i in range(rank)))


def _quantize(e: Emission, op: Op) -> Var:
    """saturate(round(x / scale) + zero): clipped before it becomes an integer, which has to fit 32 bits."""
    info = np.iinfo(DTYPES[op.result.type.dtype])
    x, scale = e.operand(op, 0, "f32"), _along(e, e.operand(op, 1, "f32"), op)
    zero = _along(e, e.operand(op, 2, "f32"), op)
    steps = e.mil("add", x=e.mil("round", x=e.mil("real_div", x=x, y=scale)), y=zero)
    bounded = e.mil("maximum", x=steps, y=e.const(float(info.min), "f32"))
    return e.cast(e.mil("minimum", x=bounded, y=e.const(float(info.max), "f32")), "i32")


def _dequantize(e: Emission, op: Op) -> Var:
    """(x - zero) * scale."""
    x = e.operand(op, 0)
    zero, known = _along(e, e.operand(op, 2), op), e.array(op, 2)
    if known is None or np.any(known):
        x = e.mil("sub", x=x, y=zero)
    y = e.mil("mul", x=e.cast(x, "f32"), y=_along(e, e.operand(op, 1, "f32"), op))
    return e.cast(y, e.float)


def _encode(e: Emission, op: Op) -> Var:
    """The same tensor; what it is stored as is done to every result (stored_values.py)."""
    return e.mil("identity", x=e.operand(op, 0))


ROUTES: dict[str, Route] = {"encode": _encode, "quantize": _quantize, "dequantize": _dequantize}
