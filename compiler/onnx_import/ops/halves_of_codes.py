"""Constants of halves that the model has as integers and scales: encoded, so that a pass may take what the integers
stand for before it is rounded to halves (passes/widen_quantised.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Value
from edgec.ir.types import DTYPES, Quant, Type
from edgec.onnx_import.node import Node

Array = np.ndarray[Any, Any]
HALVES = ("f16", "bf16")
# the model's type -> the encoding's format, and how much its numbers are less
FORMATS = {"i2": ("i4", 0), "u2": ("i4", 0), "i4": ("i4", 0), "u4": ("i4", 8), "i8": ("i8", 0), "u8": ("u8", 0)}


def halves_of_codes(
    node: Node, x: Value, scale: Array, zero: Array | None, axis: int, block: int, to: str
) -> Value | None:
    """scale * (x - zero) as `to`, a constant; a scale is one number, one along the axis, or one for `block` elements
    of it. None where no encoding is that: of floats, by scales that are 0, or negative and not in blocks."""
    graph, dtype = node.walk.graph, x.type.dtype
    by = scale.astype(np.float32)
    if to not in HALVES or dtype not in FORMATS or not np.all(by != 0 if block else by > 0):
        return None
    format, less = FORMATS[dtype]
    stored = DTYPES["u8" if format == "u8" else "i8"]
    shape = () if by.size == 1 else by.shape
    start = np.zeros(shape, np.int16) if zero is None else zero.astype(np.int16).reshape(shape)
    keys = (graph.module.intern(by.reshape(shape)), graph.module.intern((start - less).astype(stored)))
    encoding = Quant(format, *keys, axis if shape else None, block if shape else 0)
    codes = (graph.array(x).astype(np.int16) - less).astype(stored)
    return graph.encoded(codes, Type(to, x.type.shape, (encoding,)), x.name)
