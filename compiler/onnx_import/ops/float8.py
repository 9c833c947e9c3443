"""8-bit floats that are known at run time, between floats: `to_float8` and `from_float8`, which have kernels of their
own and of which `multiply_float8` makes products, instead of divisions and casts."""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Value
from edgec.ir.ops.float8 import MOST
from edgec.onnx_import.node import Node
from edgec.onnx_import.ops.scales import Scales, checked, fitted

FORMATS = {"f8e4m3fn": "e4m3", "f8e5m2": "e5m2"}


def to_float8(node: Node, x: Value, dtype: str, given: Scales) -> Value | None:
    """x / scale to the nearest number of the type, half to even; what is beyond the largest becomes it. None where that
    is another operator's: other types, zero points, floats, or infinities that stay."""
    if dtype not in FORMATS or x.const is not None or x.type.dtype != "f32" or not node.flag("saturate", True):
        return None
    checked(node, dtype, given)
    if not _is_zero(node, given.zero):
        return None
    one, each = _scales(node, x, given)
    number = x if each is None else node.op("div", x, each)
    return node.op("bitcast", node.op("to_float8", number, format=FORMATS[dtype], scale=one), to=dtype)


def from_float8(node: Node, x: Value, given: Scales, to: str) -> Value | None:
    """The numbers times the scale, or None as before."""
    dtype = x.type.dtype
    if dtype not in FORMATS or x.const is not None or to != "f32":
        return None
    checked(node, dtype, given)
    if not _is_zero(node, given.zero):
        return None
    made = x.op if x.op is not None and x.op.kind == "bitcast" else None
    known = made.arg(0) if made is not None and made.arg(0).type.dtype == "u8" else node.op("bitcast", x, to="u8")
    one, each = _scales(node, x, given)
    number = node.op("from_float8", known, format=FORMATS[dtype], scale=one)
    return number if each is None else node.op("mul", number, each)


def _is_zero(node: Node, zero: Value | None) -> bool:
    return zero is None or (zero.const is not None and not node.array(zero).astype(np.float32).any())


def _scales(node: Node, x: Value, given: Scales) -> tuple[float, Value | None]:
    """A scale that is part of the operator, and what is divided or multiplied by besides, which broadcasts over x."""
    scale = given.scale
    if scale.const is not None and scale.type.size == 1:
        number = float(np.float32(node.array(scale).reshape(())))
        if 1 / MOST <= number <= MOST:
            return number, None
    return 1.0, node.cast(fitted(node, scale, node.shape(x), given.axis, given.label), "f32")
