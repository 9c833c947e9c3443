"""8-bit floats that are known at run time: QuantizeLinear and Cast make their bytes, DequantizeLinear and Cast read
them."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.encodings import FLOAT8, nearest_float8
from edgec.ir.graph import Value
from edgec.ir.ops.float8 import MOST
from edgec.onnx_import.items import Float8Bytes, Item, Narrow
from edgec.onnx_import.node import Node
from edgec.onnx_import.ops.scales import Scales, checked, fitted

Array = np.ndarray[Any, Any]
FORMATS = {"float8e4m3fn": "e4m3", "float8e5m2": "e5m2"}


def to_float8(node: Node, x: Value, element: str, scale: Value | None) -> Item:
    """x / scale to the nearest number of the type, half to even; what is beyond the largest becomes it."""
    if element not in FORMATS:
        node.refuse(f"makes numbers of {element} at run time; float8e4m3fn and float8e5m2 are supported")
    if not node.flag("saturate", True):
        node.refuse("has saturate=0; that numbers beyond the largest become it is supported")
    number, format = node.cast(x, "f32"), FORMATS[element]
    if scale is None and x.const is not None:
        codes = nearest_float8(node.array(number), np.ones((), np.float32), format)
        return Narrow(element, codes.view(FLOAT8[format]).astype(np.float32))
    one, each = _scales(node, x, scale)
    if each is not None:
        number = node.op("div", number, each)
    return Float8Bytes(element, format, node.op("to_float8", number, format=format, scale=one))


def from_float8(node: Node, x: Float8Bytes, scale: Value | None, to: str) -> Value:
    """The numbers of bytes times the scale."""
    one, each = _scales(node, x.bytes_, scale)
    number = node.op("from_float8", x.bytes_, format=x.format, scale=one)
    return node.cast(number if each is None else node.op("mul", number, each), to)


def check_zero(node: Node, element: str) -> None:
    """ModelError, or a refusal, for the zero point of a tensor of 8-bit floats that is another type or number."""
    zero = node.narrow(2)
    if node.has(2) and (zero is None or zero.element != element):
        node.broken(f"has a zero point of another type than {element}; legal is the tensor's own type")
    if zero is not None and np.any(zero.array):
        node.refuse(f"has a zero point other than 0 beside {element}; 0 is supported")


def _scales(node: Node, x: Value, scale: Value | None) -> tuple[float, Value | None]:
    """A scale that is part of the operator, and what is divided or multiplied by besides, which broadcasts over x."""
    if scale is None:
        return 1.0, None
    given = Scales(scale, None, node.integer("axis", 1))
    checked(node, "", given)
    if scale.const is not None and scale.type.size == 1:
        number = float(np.float32(node.array(scale).reshape(())))
        if 1 / MOST <= number <= MOST:
            return number, None
    return 1.0, node.cast(fitted(node, scale, node.shape(x), given.axis), "f32")
