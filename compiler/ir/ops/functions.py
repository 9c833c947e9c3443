"""What element-wise operators compute, in numpy: tables by kind, with the dtypes that each takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgec.ir.ops.row import Attrs
from edgec.ir.types import DTYPES, FLOATS, INTEGERS

Array = np.ndarray[Any, Any]
HALVES = (DTYPES["f16"], DTYPES["bf16"])


def wide(x: Array) -> Array:
    """Half floats are computed in float32 and rounded once."""
    return x.astype(np.float32) if x.dtype in HALVES else x


def erf(x: Array) -> Array:
    """Error function in the array's own precision (math.erf, element by element on unique values)."""
    flat, back = np.unique(x.astype(np.float64).ravel(), return_inverse=True)
    values = np.fromiter((math.erf(v) for v in flat), np.float64, len(flat))
    return np.asarray(values[back].reshape(x.shape).astype(x.dtype))


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))).astype(x.dtype)


def _gelu_tanh(x: Array) -> Array:
    c = x.dtype.type(math.sqrt(2 / math.pi))
    return np.asarray(x * x.dtype.type(0.5) * (1 + np.tanh(c * (x + x.dtype.type(0.044715) * x * x * x)))).astype(
        x.dtype
    )


UNARY: dict[str, tuple[frozenset[str], Callable[[Array], Array]]] = {
    "neg": (FLOATS | INTEGERS, np.negative),
    "abs": (FLOATS | INTEGERS, np.abs),
    "sign": (FLOATS | INTEGERS, np.sign),
    "exp": (FLOATS, np.exp),
    "log": (FLOATS, np.log),
    "sqrt": (FLOATS, np.sqrt),
    "rsqrt": (FLOATS, lambda x: 1 / np.sqrt(x)),
    "reciprocal": (FLOATS, lambda x: 1 / x),
    "sin": (FLOATS, np.sin),
    "cos": (FLOATS, np.cos),
    "tan": (FLOATS, np.tan),
    "asin": (FLOATS, np.arcsin),
    "acos": (FLOATS, np.arccos),
    "atan": (FLOATS, np.arctan),
    "sinh": (FLOATS, np.sinh),
    "cosh": (FLOATS, np.cosh),
    "tanh": (FLOATS, np.tanh),
    "asinh": (FLOATS, np.arcsinh),
    "acosh": (FLOATS, np.arccosh),
    "atanh": (FLOATS, np.arctanh),
    "erf": (FLOATS, erf),
    "sigmoid": (FLOATS, _sigmoid),
    "floor": (FLOATS, np.floor),
    "ceil": (FLOATS, np.ceil),
    "round": (FLOATS, np.rint),
    "relu": (FLOATS | INTEGERS, lambda x: np.maximum(x, x.dtype.type(0))),
    "softplus": (FLOATS, _softplus),
    "softsign": (FLOATS, lambda x: x / (1 + np.abs(x))),
    "gelu": (FLOATS, lambda x: x * (x.dtype.type(0.5) * (1 + erf(x * x.dtype.type(math.sqrt(0.5)))))),
    "gelu_tanh": (FLOATS, _gelu_tanh),
    "silu": (FLOATS, lambda x: x * _sigmoid(x)),
    "hard_swish": (FLOATS, lambda x: x * np.clip(x * x.dtype.type(1 / 6) + x.dtype.type(0.5), 0, 1)),
    "mish": (FLOATS, lambda x: x * np.tanh(_softplus(x))),
    "not": (frozenset({"bool"}), np.logical_not),
    "bit_not": (INTEGERS, np.invert),
}


def clip(x: Array, a: Attrs) -> Array:
    lo, hi = float(a["lo"]), float(a["hi"])  # type: ignore[arg-type]
    if x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        low = limits.min if lo <= limits.min else int(lo)
        high = limits.max if hi >= limits.max else int(hi)
        return np.asarray(np.minimum(np.maximum(x, x.dtype.type(low)), x.dtype.type(high)))
    return np.asarray(np.minimum(np.maximum(x, x.dtype.type(lo)), x.dtype.type(hi)))


def _elu(x: Array, a: Any) -> Array:
    return np.asarray(np.where(x > 0, x, a["alpha"] * np.expm1(np.minimum(x, 0)))).astype(x.dtype)


def _selu(x: Array, a: Any) -> Array:
    return np.asarray(a["gamma"] * np.where(x > 0, x, a["alpha"] * np.expm1(np.minimum(x, 0)))).astype(x.dtype)


PARAMETRIC: dict[str, tuple[Any, Callable[[Array, Any], Array]]] = {
    "clip": ({"lo": -math.inf, "hi": math.inf}, clip),
    "leaky_relu": ({"alpha": 0.01}, lambda x, a: np.where(x >= 0, x, x * x.dtype.type(a["alpha"]))),
    "elu": ({"alpha": 1.0}, _elu),
    "selu": ({"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}, _selu),
    "hard_sigmoid": (
        {"alpha": 0.2, "beta": 0.5},
        lambda x, a: np.clip(x * x.dtype.type(a["alpha"]) + x.dtype.type(a["beta"]), 0, 1),
    ),
}


def _div(a: Array, b: Array) -> Array:
    if a.dtype.kind not in "iu":
        return a / b
    safe = np.where(b == 0, b.dtype.type(1), b)
    quotient = np.floor_divide(a, safe)
    if a.dtype.kind == "i":
        quotient = quotient + ((np.remainder(a, safe) != 0) & ((a < 0) != (safe < 0)))
    return np.where(b == 0, a.dtype.type(0), quotient).astype(a.dtype)


def _shift(left: bool) -> Callable[[Array, Array], Array]:
    def shift(a: Array, b: Array) -> Array:
        bits = 8 * a.dtype.itemsize
        legal = (b >= 0) & (b < bits)
        by = np.where(legal, b, 0).astype(a.dtype)
        return np.where(legal, a << by if left else a >> by, 0).astype(a.dtype)

    return shift


def _pow(a: Array, b: Array) -> Array:
    if a.dtype.kind not in "iu":
        return np.asarray(a**b)
    # whole powers wrap; a negative exponent leaves what 1 / a truncates to
    whole = np.power(a, np.where(b < 0, 0, b).astype(b.dtype))
    rest = np.where(a == 1, 1, np.where((a == a.dtype.type(0) - 1) & (a < 0), 1 - 2 * (b & 1), 0))
    return np.where(b < 0, rest, whole).astype(a.dtype)


NUMBERS = FLOATS | INTEGERS
BOOL = frozenset({"bool"})
BINARY: dict[str, tuple[frozenset[str], Callable[[Array, Array], Array]]] = {
    "add": (NUMBERS, np.add),
    "sub": (NUMBERS, np.subtract),
    "mul": (NUMBERS, np.multiply),
    "div": (NUMBERS, _div),
    "pow": (NUMBERS, _pow),
    "min": (NUMBERS, np.minimum),
    "max": (NUMBERS, np.maximum),
    "mod": (NUMBERS, np.mod),
    "fmod": (NUMBERS, np.fmod),
    "prelu": (NUMBERS, lambda x, slope: np.where(x >= 0, x, x * slope)),
    "and": (BOOL, np.logical_and),
    "or": (BOOL, np.logical_or),
    "xor": (BOOL, np.logical_xor),
    "bit_and": (INTEGERS, np.bitwise_and),
    "bit_or": (INTEGERS, np.bitwise_or),
    "bit_xor": (INTEGERS, np.bitwise_xor),
    "shl": (INTEGERS, _shift(True)),
    "shr": (INTEGERS, _shift(False)),
}
COMPARE: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
