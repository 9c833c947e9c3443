"""Operators on single elements: arithmetic, functions, comparisons, logic. Integers have routes of their own where they
mean something else."""

from __future__ import annotations

import math

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, Route, dtype_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import broadcasted, held
from edgec.targets.coreml.routes.activation import activated


def _unary(kind: str) -> Route:
    return lambda e, op: e.mil(kind, x=e.operand(op, 0))


def _binary(kind: str) -> Route:
    return lambda e, op: e.mil(kind, x=e.operand(op, 0), y=e.operand(op, 1))


def _add(e: Emission, op: Op) -> Var:
    return activated(e, e.mil("add", x=e.operand(op, 0), y=e.operand(op, 1)), str(op.attrs["act"]))


def negated(e: Emission, x: Var) -> Var:
    return e.mil("mul", x=x, y=e.const(-1.0, dtype_of(x)))


def _with_epsilon(kind: str) -> Route:
    """MIL adds an epsilon to the operand of log and rsqrt; the default is 1e-45 and 1e-12 for floats, 0 for halves."""

    def route(e: Emission, op: Op) -> Var:
        x = e.operand(op, 0)
        return e.mil(kind, x=x, epsilon=e.as_dtype(np.asarray(0.0), dtype_of(x)))

    return route


def _reciprocal(e: Emission, op: Op) -> Var:
    """MIL's inverse adds 1e-4 to its operand."""
    x = e.operand(op, 0)
    return e.mil("real_div", x=e.const(1.0, dtype_of(x)), y=x)


def _asinh(e: Emission, x: Var) -> Var:
    """Of a = |x|: atanh(a / sqrt(1 + a²)) below 1, where a logarithm would cancel; above, log(a) + log(1 + sqrt(1 +
    1/a²)), which squares nothing large."""
    dtype = dtype_of(x)
    one, zero = e.const(1.0, dtype), e.as_dtype(np.asarray(0.0), dtype)

    def root(square: Var) -> Var:
        return e.mil("sqrt", x=e.mil("add", x=square, y=one))

    a = e.mil("abs", x=x)
    low, high = e.mil("minimum", x=a, y=one), e.mil("maximum", x=a, y=one)
    near = e.mil("atanh", x=e.mil("real_div", x=low, y=root(e.mil("mul", x=low, y=low))))
    over = e.mil("real_div", x=one, y=high)
    rest = e.mil("log", x=e.mil("add", x=root(e.mil("mul", x=over, y=over)), y=one), epsilon=zero)
    far = e.mil("add", x=e.mil("log", x=high, epsilon=zero), y=rest)
    found = e.mil("select", cond=e.mil("less", x=a, y=one), a=near, b=far)
    return e.mil("mul", x=e.mil("sign", x=x), y=found)


def _acosh(e: Emission, op: Op) -> Var:
    """2 asinh(sqrt((x - 1) / 2)), where the difference near 1 is exact."""
    x = e.operand(op, 0)
    dtype = dtype_of(x)
    half = e.mil("mul", x=e.mil("sub", x=x, y=e.const(1.0, dtype)), y=e.const(0.5, dtype))
    return e.mil("mul", x=_asinh(e, e.mil("sqrt", x=half)), y=e.const(2.0, dtype))


def _pow(e: Emission, op: Op) -> Var:
    """Squares and cubes are products: what a power of a negative number is, MIL leaves open."""
    x, exponent = e.operand(op, 0), e.array(op, 1)
    if exponent is not None and exponent.size and op.result.type.dims == op.arg(0).type.dims:
        if bool((exponent == 2).all()):
            return e.mil("mul", x=x, y=x)
        if bool((exponent == 3).all()):
            return e.mil("mul", x=e.mil("mul", x=x, y=x), y=x)
    return e.mil("pow", x=x, y=e.operand(op, 1))


def _fmod(e: Emission, op: Op) -> Var:
    """Sign of x times |x| mod |y|: which sign MIL's mod gives does not matter for numbers of one sign."""
    x, y = e.operand(op, 0), e.operand(op, 1)
    rest = e.mil("mod", x=e.mil("abs", x=x), y=e.mil("abs", x=y))
    return e.mil("mul", x=rest, y=e.mil("sign", x=x))


def _mod(e: Emission, op: Op) -> Var:
    """The remainder with the sign of y: that of x, plus y, which may be infinite, where their signs differ."""
    y, rest = e.operand(op, 1), _fmod(e, op)
    zero = e.const(0.0, dtype_of(y))
    differ = e.mil("less", x=e.mil("mul", x=e.mil("sign", x=rest), y=e.mil("sign", x=y)), y=zero)
    return e.mil("select", cond=differ, a=e.mil("add", x=rest, y=y), b=rest)


def _compare(kind: str) -> Route:
    """Bools are compared as integers."""

    def route(e: Emission, op: Op) -> Var:
        dtype = "i32" if op.arg(0).type.dtype == "bool" else None
        return e.mil(kind, x=e.operand(op, 0, dtype), y=e.operand(op, 1, dtype))

    return route


def _where(e: Emission, op: Op) -> Var:
    """MIL's select has the shape of its two values: where the condition's is larger, one of them is repeated."""
    a, b, dims = e.operand(op, 1), e.operand(op, 2), held(op.result.type.dims)
    if np.broadcast_shapes(a.shape, b.shape) != dims:
        a = broadcasted(e, a, tuple(a.shape), dims)
    return e.mil("select", cond=e.operand(op, 0), a=a, b=b)


def _is_nan(e: Emission, op: Op) -> Var:
    x = e.operand(op, 0)
    return e.mil("not_equal", x=x, y=x)


def _is_inf(e: Emission, op: Op) -> Var:
    x, a = e.operand(op, 0), op.attrs
    if a["positive"] and a["negative"]:
        return e.mil("equal", x=e.mil("abs", x=x), y=e.const(math.inf, dtype_of(x)))
    if not a["positive"] and not a["negative"]:
        return e.const(np.zeros(op.result.type.dims, np.bool_))
    return e.mil("equal", x=x, y=e.const(math.inf if a["positive"] else -math.inf, dtype_of(x)))


SAME = ("abs", "sign", "exp", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "atanh", "erf",
        "floor", "ceil", "round")  # fmt: skip
NAMES = {"sub": "sub", "mul": "mul", "div": "real_div", "min": "minimum", "max": "maximum", "and": "logical_and",
         "or": "logical_or", "xor": "logical_xor"}  # fmt: skip
COMPARE = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}

ROUTES: dict[str, Route] = {
    **{kind: _unary(kind) for kind in SAME},
    **{kind: _binary(name) for kind, name in NAMES.items()},
    **{kind: _compare(name) for kind, name in COMPARE.items()},
    "not": _unary("logical_not"),
    "neg": lambda e, op: negated(e, e.operand(op, 0)),
    "log": _with_epsilon("log"),
    "rsqrt": _with_epsilon("rsqrt"),
    "reciprocal": _reciprocal,
    "asinh": lambda e, op: _asinh(e, e.operand(op, 0)),
    "acosh": _acosh,
    "add": _add,
    "pow": _pow,
    "mod": _mod,
    "fmod": _fmod,
    "where": _where,
    "is_nan": _is_nan,
    "is_inf": _is_inf,
}
