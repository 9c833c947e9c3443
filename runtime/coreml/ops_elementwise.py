"""Unary and binary operators on elements, casts, and select."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from edgec.runtime.coreml.call import Call, Unsupported, together
from edgec.runtime.coreml.wire import Array


def _unary(function: Callable[[Array], Array]) -> Callable[[Call], Array]:
    return lambda call: function(call.real("x"))


def _binary(function: Callable[[Array, Array], Array]) -> Callable[[Call], Array]:
    def meaning(call: Call) -> Array:
        x, y = call.real("x"), call.real("y")
        together(x, y)
        return function(x, y)

    return meaning


def _with_epsilon(function: Callable[[Array], Array], default: float) -> Callable[[Call], Array]:
    """f(x + epsilon); the default is rounded to the type of x, so that it is 0 for halves where it is tiny."""

    def meaning(call: Call) -> Array:
        x = call.real("x")
        epsilon = call.dtype("x").numpy.type(default) if not call.has("epsilon") else call.number("epsilon")
        return function(x + np.float32(epsilon))

    return meaning


@cache
def _erf_knots() -> tuple[Array, Array]:
    """erf and its derivative on 8193 knots from -6 to 6."""
    at = np.linspace(-6, 6, 8193)
    return np.array([math.erf(x) for x in at]), 2 / math.sqrt(math.pi) * np.exp(-at * at)


def erf(x: Array) -> Array:
    """The error function by cubic Hermite interpolation in float64: within 1e-12 of math.erf. Same shape, float64."""
    values, slopes = _erf_knots()
    step = 12 / 8192
    position = (np.clip(x.astype(np.float64), -6, 6) + 6) / step
    left = np.minimum(np.nan_to_num(position, nan=0.0).astype(np.int64), 8191)
    t = position - left
    v0, v1, s0, s1 = values[left], values[left + 1], slopes[left] * step, slopes[left + 1] * step
    return np.asarray(v0 + t * (s0 + t * (3 * (v1 - v0) - 2 * s0 - s1 + t * (2 * (v0 - v1) + s0 + s1))))


def _pow(x: Array, y: Array) -> Array:
    if x.dtype.kind in "iu":
        return np.asarray(np.trunc(np.power(x.astype(np.float64), y.astype(np.float64))), np.int64)
    return np.asarray(np.power(x, y))


def _real_div(x: Array, y: Array) -> Array:
    """Integers give integers, rounded down (coremltools' mil/ops/tests/iOS14/test_elementwise_binary.py); whether that
    is down or towards zero below zero, nobody says."""
    if x.dtype.kind not in "iu":
        return np.asarray(x / y)
    exact = x.astype(np.float64) / y.astype(np.float64)
    if not np.all(np.isfinite(exact)) or np.any((exact < 0) & (exact != np.trunc(exact))):
        raise Unsupported("real_div of integers by zero, or of other signs with a rest: not documented")
    return np.asarray(np.floor(exact), np.int64)


def _floor_div(x: Array, y: Array) -> Array:
    return np.floor_divide(x, y) if x.dtype.kind in "iu" else np.floor(x / y)


def _cast(call: Call) -> Array:
    """To halves: what keeps the result rounds it, or keeps it in float32. No integer that halves hold is rounded by
    float32."""
    x, dtype = call.real("x"), call.named_type("dtype").numpy
    return cast(x, np.dtype(np.float32) if dtype == np.float16 else dtype)


def cast(x: Array, dtype: np.dtype[Any]) -> Array:
    """Towards zero from floats to integers, saturating there; not zero is true."""
    if dtype == np.bool_:
        return np.asarray(x != 0)
    if dtype.kind in "iu" and x.dtype.kind == "f":
        info = np.iinfo(dtype)
        whole = np.nan_to_num(np.trunc(x.astype(np.float64)), nan=0.0)
        return np.asarray(np.clip(whole, info.min, info.max), dtype)
    return x.astype(dtype, copy=False)


def _clip(call: Call) -> Array:
    low, high = call.number("alpha"), call.number("beta")
    if call.opset >= 7 and not low < high:
        raise ValueError(f"clip from {low} to {high}: alpha must be less than beta")
    return np.asarray(np.minimum(np.maximum(call.real("x"), np.float32(low)), np.float32(high)))


def _threshold(call: Call) -> Array:
    x = call.real("x")
    return np.asarray(np.maximum(x, x.dtype.type(call.number("alpha"))))


def _select(call: Call) -> Array:
    cond, a, b = call.array("cond"), call.array("a"), call.array("b")
    together(cond, a, b)
    return np.where(cond, a, b)


def _exp2(x: Array) -> Array:
    return np.trunc(np.exp2(x.astype(np.float64))).astype(np.int64) if x.dtype.kind in "iu" else np.exp2(x)


MEANINGS: dict[str, Callable[[Call], Array]] = {
    "abs": _unary(np.abs),
    "acos": _unary(np.arccos),
    "asin": _unary(np.arcsin),
    "atan": _unary(np.arctan),
    "atanh": _unary(np.arctanh),
    "ceil": _unary(np.ceil),
    "cos": _unary(np.cos),
    "cosh": _unary(np.cosh),
    "erf": _unary(erf),
    "exp": _unary(np.exp),
    "exp2": _unary(_exp2),
    "floor": _unary(np.floor),
    "logical_not": _unary(np.logical_not),
    "round": _unary(np.rint),  # halves to even, as coremltools folds it
    "sign": _unary(np.sign),
    "sin": _unary(np.sin),
    "sinh": _unary(np.sinh),
    "sqrt": _unary(np.sqrt),
    "square": _unary(np.square),
    "tan": _unary(np.tan),
    "tanh": _unary(np.tanh),
    "inverse": _with_epsilon(lambda x: 1 / x, 1e-4),
    "log": _with_epsilon(np.log, 1e-45),
    "rsqrt": _with_epsilon(lambda x: 1 / np.sqrt(x), 1e-12),
    "clip": _clip,
    "threshold": _threshold,
    "cast": _cast,
    "add": _binary(np.add),
    "sub": _binary(np.subtract),
    "mul": _binary(np.multiply),
    "real_div": _binary(_real_div),
    "floor_div": _binary(_floor_div),
    "mod": _binary(np.mod),
    "pow": _binary(_pow),
    "maximum": _binary(lambda x, y: np.where(x > y, x, y)),
    "minimum": _binary(lambda x, y: np.where(x > y, y, x)),
    "equal": _binary(np.equal),
    "not_equal": _binary(np.not_equal),
    "greater": _binary(np.greater),
    "greater_equal": _binary(np.greater_equal),
    "less": _binary(np.less),
    "less_equal": _binary(np.less_equal),
    "logical_and": _binary(np.logical_and),
    "logical_or": _binary(np.logical_or),
    "logical_xor": _binary(np.logical_xor),
    "select": _select,
}
