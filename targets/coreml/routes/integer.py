"""Arithmetic on integers. All of them are int32 here: what is narrower in the model wraps as it does there, and what is
wider must fit 32 bits.

MIL says of integers' floor_div which way it rounds, of `mod` and `real_div` it does not: quotients and remainders are
made of floor_div, with a correction that is right whichever way it rounded.
"""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.types import DTYPES, SIGNED
from edgec.targets.coreml.emission import Emission, NoRoute, Route
from edgec.targets.coreml.mil import Var

NARROW = ("i8", "u8", "i16", "u16")


def wrapped(e: Emission, x: Var, dtype: str) -> Var:
    """int32 numbers modulo 2^bits, in the range of a narrow dtype; others as they are. Right, too, for what wrapped at
    32 bits before."""
    if dtype not in NARROW:
        return x
    info = np.iinfo(DTYPES[dtype])
    span = e.const(int(info.max) - int(info.min) + 1)
    shifted = e.mil("sub", x=x, y=e.const(int(info.min))) if info.min else x
    return e.mil("sub", x=x, y=e.mil("mul", x=e.mil("floor_div", x=shifted, y=span), y=span))


def _dtype(op: Op) -> str:
    return op.arg(0).type.dtype


def _plain(kind: str) -> Route:
    def route(e: Emission, op: Op) -> Var:
        y = e.mil(kind, x=e.operand(op, 0), y=e.operand(op, 1))
        return wrapped(e, y, _dtype(op)) if kind in ("add", "sub", "mul") else y

    return route


def _add(e: Emission, op: Op) -> Var:
    act = str(op.attrs["act"])
    if act not in ("", "relu"):
        raise NoRoute(f"of integers has the activation {act}, which has no form in Core ML")
    y = _plain("add")(e, op)
    return e.mil("maximum", x=y, y=e.const(0)) if act else y


def _neg(e: Emission, op: Op) -> Var:
    return wrapped(e, e.mil("sub", x=e.const(0), y=e.operand(op, 0)), _dtype(op))


def _abs(e: Emission, op: Op) -> Var:
    if _dtype(op) not in SIGNED:
        return e.operand(op, 0)
    return wrapped(e, e.mil("abs", x=e.operand(op, 0)), _dtype(op))


def _relu(e: Emission, op: Op) -> Var:
    return e.mil("maximum", x=e.operand(op, 0), y=e.const(0))


def _clip(e: Emission, op: Op) -> Var:
    info = np.iinfo(DTYPES[_dtype(op)] if _dtype(op) in NARROW else np.int32)
    x = e.operand(op, 0)
    lo, hi = float(op.attrs["lo"]), float(op.attrs["hi"])  # type: ignore[arg-type]
    if lo > info.min:
        x = e.mil("maximum", x=x, y=e.const(int(min(lo, info.max))))
    if hi < info.max:
        x = e.mil("minimum", x=x, y=e.const(int(max(hi, info.min))))
    return x


def _divisor(e: Emission, op: Op) -> tuple[Var, Var | None]:
    """The divisor with 1 for 0, and where it was 0 (None where it is a constant that has none)."""
    known = e.array(op, 1)
    y = e.operand(op, 1)
    if known is not None and np.all(known != 0):
        return y, None
    zero = e.mil("equal", x=y, y=e.const(0))
    # select takes its shape from its branches alone
    return e.mil("add", x=y, y=e.cast(zero, "i32")), zero


def _off(e: Emission, remainder: Var, like: Var) -> Var:
    """1 where a remainder is not 0 and has another sign than `like`, else 0."""
    below = [e.mil("less", x=x, y=e.const(0)) for x in (remainder, like)]
    differs = e.mil("logical_xor", x=below[0], y=below[1])
    whole = e.mil("not_equal", x=remainder, y=e.const(0))
    return e.cast(e.mil("logical_and", x=whole, y=differs), "i32")


def _parts(e: Emission, op: Op) -> tuple[Var, Var, Var, Var, Var | None]:
    """Dividend, divisor, a quotient and the remainder that belongs to it; where the divisor is 0."""
    x = e.operand(op, 0)
    y, zero = _divisor(e, op)
    quotient = e.mil("floor_div", x=x, y=y)
    return x, y, quotient, e.mil("sub", x=x, y=e.mil("mul", x=quotient, y=y)), zero


def _unless(e: Emission, zero: Var | None, x: Var) -> Var:
    """`x`, and 0 where the divisor is."""
    return x if zero is None else e.mil("mul", x=x, y=e.cast(e.mil("logical_not", x=zero), "i32"))


def _div(e: Emission, op: Op) -> Var:
    """Towards 0."""
    x, _, quotient, remainder, zero = _parts(e, op)
    if _dtype(op) in SIGNED:
        quotient = e.mil("add", x=quotient, y=_off(e, remainder, x))
    return wrapped(e, _unless(e, zero, quotient), _dtype(op))


def _modulo(of_divisor: bool) -> Route:
    """The remainder with the divisor's sign (mod) or the dividend's (fmod)."""

    def route(e: Emission, op: Op) -> Var:
        x, y, _, remainder, zero = _parts(e, op)
        if _dtype(op) in SIGNED:
            off = _off(e, remainder, y if of_divisor else x)
            kind = "add" if of_divisor else "sub"
            remainder = e.mil(kind, x=remainder, y=e.mil("mul", x=off, y=y))
        return _unless(e, zero, remainder)

    return route


def _pow(e: Emission, op: Op) -> Var:
    """By squares, which wrap as products do: MIL does not say that its pow is exact. Of negative exponents, what 1 / x
    truncates to."""
    x, power = e.operand(op, 0), e.operand(op, 1)
    known, dtype = e.array(op, 1), op.arg(1).type.dtype
    least = int(known.min()) if known is not None else int(np.iinfo(DTYPES[dtype]).min)
    most = min(int(known.max()) if known is not None else int(np.iinfo(DTYPES[dtype]).max), 2**31 - 1)
    one = e.const(1)
    result, square, left = one, x, e.mil("maximum", x=power, y=e.const(0)) if least < 0 else power
    for bit in range(max(most, 1).bit_length()):
        half = e.mil("floor_div", x=left, y=e.const(2))
        odd = e.mil("sub", x=left, y=e.mil("mul", x=half, y=e.const(2)))
        # square where odd is 1, and 1 where it is 0
        factor = e.mil("add", x=e.mil("mul", x=odd, y=e.mil("sub", x=square, y=one)), y=one)
        result, left = e.mil("mul", x=result, y=factor), half
        if bit < 30:
            square = e.mil("mul", x=square, y=square)
    if least < 0:
        ones = e.cast(e.mil("less_equal", x=e.mil("abs", x=x), y=one), "i32")
        units = e.mil("mul", x=ones, y=e.mil("mul", x=x, y=x))  # of -1 and 1
        even = e.mil("sub", x=power, y=e.mil("mul", x=e.mil("floor_div", x=power, y=e.const(2)), y=e.const(2)))
        sign = e.mil("sub", x=one, y=e.mil("mul", x=e.mil("abs", x=even), y=e.mil("sub", x=one, y=x)))
        below = e.cast(e.mil("less", x=power, y=e.const(0)), "i32")
        inverse = e.mil("mul", x=units, y=sign)
        result = e.mil("add", x=result, y=e.mil("mul", x=below, y=e.mil("sub", x=inverse, y=result)))
    return wrapped(e, result, _dtype(op))


def _prelu(e: Emission, op: Op) -> Var:
    x = e.operand(op, 0)
    above, below = e.mil("maximum", x=x, y=e.const(0)), e.mil("minimum", x=x, y=e.const(0))
    return wrapped(e, e.mil("add", x=above, y=e.mil("mul", x=below, y=e.operand(op, 1))), _dtype(op))


ROUTES: dict[str, Route] = {
    "add": _add,
    "sub": _plain("sub"),
    "mul": _plain("mul"),
    "min": _plain("minimum"),
    "max": _plain("maximum"),
    "neg": _neg,
    "abs": _abs,
    "sign": lambda e, op: e.mil("sign", x=e.operand(op, 0)),
    "relu": _relu,
    "clip": _clip,
    "div": _div,
    "mod": _modulo(True),
    "fmod": _modulo(False),
    "pow": _pow,
    "prelu": _prelu,
}
