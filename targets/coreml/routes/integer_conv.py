"""Convolutions of integers, of which Core ML convolves none: sums in float32 are exact below 2^24.

Where sums may be larger, weights are taken apart into digits, and each digit's sum is within it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.types import DTYPES
from edgec.targets.coreml.emission import Emission, NoRoute, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.conv import convolved
from edgec.targets.coreml.routes.integer import NARROW, wrapped

Array = np.ndarray[Any, Any]
EXACT = 1 << 24
SAME = ("reshape", "transpose", "broadcast_to", "slice")  # numbers stay as they are


def largest(e: Emission, value: Value) -> int:
    """No element is larger, whatever its sign: by its dtype, or by what it is made of."""
    if value.const is not None:
        return int(np.abs(e.graph.array(value).astype(np.int64)).max(initial=0))
    own = 1 << 31
    if value.type.dtype in NARROW:
        info = np.iinfo(DTYPES[value.type.dtype])
        own = max(-int(info.min), int(info.max))
    op = value.op
    if op is None:
        return own
    if op.kind in SAME or (op.kind == "cast" and op.arg(0).type.dtype in NARROW):
        return min(own, largest(e, op.arg(0)))
    if op.kind == "pad" and op.attrs["mode"] == "constant":
        return min(own, max(largest(e, op.arg(0)), abs(int(op.attrs["value"]))))  # type: ignore[arg-type]
    if op.kind in ("add", "sub") and not op.attrs.get("act"):
        return min(own, largest(e, op.arg(0)) + largest(e, op.arg(1)))
    return own


def _conv(e: Emission, op: Op) -> Var:
    if op.attrs["act"] not in ("", "relu"):
        raise NoRoute(f"of integers has the activation {op.attrs['act']}, which has no form in Core ML")
    weights = op.arg(1)
    terms, most = math.prod(weights.type.dims[1:]), largest(e, weights)
    base = (EXACT - 1) // (terms * max(1, largest(e, op.arg(0)))) + 1  # digits are smaller
    if base <= most and base < 2:
        raise NoRoute(f"adds {terms} products of integers of up to 32 bits, which no float of Core ML holds exactly")
    x = e.cast(e.operand(op, 0), "f32")
    rest: Any = e.array(op, 1)
    rest = e.operand(op, 1) if rest is None else rest
    y, unit = None, 1
    while True:
        digit, rest, most = (rest, None, 0) if most < base else (*_digit(e, rest, base), -(-most // base))
        wide = e.const(digit, "f32") if isinstance(digit, np.ndarray) else e.cast(digit, "f32")
        part = e.cast(convolved(e, op, x, wide), "i32")
        part = part if unit == 1 else e.mil("mul", x=part, y=e.const(unit))
        y = part if y is None else e.mil("add", x=y, y=part)
        if rest is None:
            break
        unit *= base
    bias = e.optional(op, 2)
    if bias is not None:
        bias = e.mil("reshape", x=bias, shape=[1, -1] + [1] * (op.result.type.rank - 2))
    for term in (bias, e.optional(op, 3)):
        y = y if term is None else e.mil("add", x=y, y=term)
    y = wrapped(e, y, op.result.type.dtype)
    return e.mil("maximum", x=y, y=e.const(0)) if op.attrs["act"] else y


def _digit(e: Emission, x: Any, base: int) -> tuple[Any, Any]:
    """The last digit of integers, and what is left."""
    if isinstance(x, np.ndarray):
        return x - x // base * base, x // base
    rest = e.mil("floor_div", x=x, y=e.const(base))
    return e.mil("sub", x=x, y=e.mil("mul", x=rest, y=e.const(base))), rest


ROUTES: dict[str, Route] = {"conv": _conv}
