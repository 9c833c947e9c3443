"""Quantisation that operators say: steps of a scale, counted and multiplied in float32 whatever is computed in."""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.types import DTYPES
from edgec.targets.coreml.emission import Emission, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import along, held, reshaped


def _operands(e: Emission, op: Op, dtype: str | None) -> tuple[Var, Var, Var]:
    """What is converted, of five axes at most, and scale and zero point so that they broadcast to it. The scale is a
    float, the others have `dtype`."""
    x, scale, zero = e.held(op.arg(0), dtype), e.operand(op, 1, "f32"), e.operand(op, 2, dtype)
    axis = int(op.attrs["axis"])  # type: ignore[arg-type]
    if axis < 0:
        return x, scale, zero
    x, axis = along(e, x, op.arg(0).type.dims, axis)
    shape = tuple(int(n) if i == axis else 1 for i, n in enumerate(x.shape))
    return x, reshaped(e, scale, shape), reshaped(e, zero, shape)


def _quantize(e: Emission, op: Op) -> Var:
    """saturate(round(x / scale) + zero): clipped before it becomes an integer, which has to fit 32 bits."""
    info = np.iinfo(DTYPES[op.result.type.dtype])
    x, scale, zero = _operands(e, op, "f32")
    steps = e.mil("add", x=e.mil("round", x=e.mil("real_div", x=x, y=scale)), y=zero)
    bounded = e.mil("maximum", x=steps, y=e.const(float(info.min), "f32"))
    y = e.cast(e.mil("minimum", x=bounded, y=e.const(float(info.max), "f32")), "i32")
    return reshaped(e, y, held(op.result.type.dims))


def _dequantize(e: Emission, op: Op) -> Var:
    """(x - zero) * scale."""
    x, scale, zero = _operands(e, op, None)
    known = e.array(op, 2)
    if known is None or np.any(known):
        x = e.mil("sub", x=x, y=zero)
    y = e.cast(e.mil("mul", x=e.cast(x, "f32"), y=scale), e.float)
    return reshaped(e, y, held(op.result.type.dims))


def _encode(e: Emission, op: Op) -> Var:
    """The same tensor; what it is stored as is done to every result (stored_values.py)."""
    return e.mil("identity", x=e.operand(op, 0))


ROUTES: dict[str, Route] = {"encode": _encode, "quantize": _quantize, "dequantize": _dequantize}
