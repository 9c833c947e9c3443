"""Operators on bits, for which MIL has none: integers are taken apart into planes of one bit, and put together again.

Shifts are products with and quotients by powers of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.types import DTYPES, SIGNED
from edgec.targets.coreml.emission import Emission, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import broadcasted, held, reshaped
from edgec.targets.coreml.routes.integer import NARROW, wrapped

LOWEST = int(np.iinfo(np.int32).min)


def _bits(dtype: str) -> int:
    """Bits that an integer has here: those of 64 are held in 32, signs and all."""
    return min(8 * DTYPES[dtype].itemsize, 32)


def _not(e: Emission, op: Op) -> Var:
    return wrapped(e, e.mil("sub", x=e.const(-1), y=e.operand(op, 0)), op.arg(0).type.dtype)


def _planes(e: Emission, value: Value, shape: tuple[int, ...]) -> Var:
    """Bits of a value as [elements, bits]. Quotients are of numbers >= 0, which all round alike."""
    bits = _bits(value.type.dtype)
    x = broadcasted(e, e.held(value), value.type.dims, shape)
    x = reshaped(e, x, (math.prod(shape), 1))
    lowest = -(1 << (bits - 1)) if value.type.dtype in NARROW else LOWEST
    negative = e.cast(e.mil("less", x=x, y=e.const(0)), "i32")
    if value.type.dtype in SIGNED or bits == 32:
        # without the highest bit, which is the sign
        x = e.mil("sub", x=x, y=e.mil("mul", x=negative, y=e.const(lowest)))
        bits -= 1
    shifted = e.mil("floor_div", x=x, y=e.const(np.array([[1 << i for i in range(bits)]])))
    half = e.mil("floor_div", x=shifted, y=e.const(2))
    planes = e.mil("sub", x=shifted, y=e.mil("mul", x=half, y=e.const(2)))
    if bits == _bits(value.type.dtype):
        return planes
    return e.mil("concat", values=[planes, negative], axis=1)


def _together(e: Emission, planes: Var, dtype: str, shape: tuple[int, ...]) -> Var:
    bits = _bits(dtype)
    weights = [1 << i for i in range(bits)]
    if dtype in SIGNED or bits == 32:
        weights[-1] = -weights[-1]
    weighted = e.mil("mul", x=planes, y=e.const(np.array([weights])))
    return reshaped(e, e.mil("reduce_sum", x=weighted, axes=[1], keep_dims=False), held(shape))


def _bitwise(combine: Callable[[Emission, Var, Var], Var]) -> Route:
    def route(e: Emission, op: Op) -> Var:
        dims, dtype = op.result.type.dims, op.result.type.dtype
        planes = combine(e, _planes(e, op.arg(0), dims), _planes(e, op.arg(1), dims))
        return _together(e, planes, dtype, dims)

    return route


def _xor(e: Emission, x: Var, y: Var) -> Var:
    return e.cast(e.mil("not_equal", x=x, y=y), "i32")


def _shift(left: bool) -> Route:
    def route(e: Emission, op: Op) -> Var:
        """By less than the width, else 0. A shift by 31 multiplies by the lowest number, which is right as it wraps."""
        x, by, dtype = e.operand(op, 0), e.operand(op, 1), op.arg(0).type.dtype
        bits = _bits(dtype)
        top = e.const(bits - 1 if left else min(bits - 1, 30))
        bounded = e.mil("minimum", x=e.mil("maximum", x=by, y=e.const(0)), y=top)
        powers = np.array([1 << i for i in range(31)] + [LOWEST])
        power = e.mil("gather", x=e.const(powers), indices=bounded, axis=0)
        if left:
            y = wrapped(e, e.mil("mul", x=x, y=power), dtype)
        else:
            y = e.mil("floor_div", x=x, y=power)
            if bits == 32:  # by 31: what is left is the sign
                sign = e.mil("floor_div", x=y, y=e.const(2))
                far = e.cast(e.mil("equal", x=by, y=e.const(31)), "i32")
                y = e.mil("add", x=y, y=e.mil("mul", x=far, y=e.mil("sub", x=sign, y=y)))
        legal = e.mil(
            "logical_and", x=e.mil("greater_equal", x=by, y=e.const(0)),
            y=e.mil("less", x=by, y=e.const(bits)),
        )  # fmt: skip
        return e.mil("mul", x=y, y=e.cast(legal, "i32"))

    return route


ROUTES: dict[str, Route] = {
    "bit_not": _not,
    "bit_and": _bitwise(lambda e, x, y: e.mil("mul", x=x, y=y)),
    "bit_or": _bitwise(lambda e, x, y: e.mil("maximum", x=x, y=y)),
    "bit_xor": _bitwise(_xor),
    "shl": _shift(True),
    "shr": _shift(False),
}
