"""Activations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, axis_of
from edgec.runtime.coreml.ops_elementwise import erf
from edgec.runtime.coreml.wire import Array


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def _unary(function: Callable[[Array], Array]) -> Callable[[Call], Array]:
    return lambda call: function(call.real("x"))


def _with_alpha(function: Callable[[Array, np.float32], Array]) -> Callable[[Call], Array]:
    return lambda call: function(call.real("x"), np.float32(call.number("alpha")))


def _with_both(function: Callable[[Array, np.float32, np.float32], Array]) -> Callable[[Call], Array]:
    return lambda call: function(call.real("x"), np.float32(call.number("alpha")), np.float32(call.number("beta")))


def _gelu(call: Call) -> Array:
    x = call.real("x")
    mode = call.text("mode", "EXACT", ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"))
    if mode == "EXACT":
        return np.asarray(0.5 * x * (1 + erf(x / math.sqrt(2))))
    if mode == "SIGMOID_APPROXIMATION":
        return np.asarray(x * sigmoid(np.float32(1.702) * x))
    wide = x.astype(np.float64)
    return np.asarray(0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))))


def channels(values: Array, x: Array) -> Array:
    """One value a channel, shaped to meet x [n, C, …]."""
    if values.ndim != 1 or x.ndim < 2 or values.shape[0] not in (1, x.shape[1]):
        raise ValueError(f"{list(values.shape)} values do not fit the channels of {list(x.shape)}")
    return values.reshape([1, -1] + [1] * (x.ndim - 2))


def _prelu(call: Call) -> Array:
    x = call.real("x")
    return np.where(x > 0, x, channels(call.real("alpha"), x) * x)


def _softplus_parametric(call: Call) -> Array:
    x = call.real("x")
    return np.asarray(channels(call.real("alpha"), x) * np.logaddexp(np.float32(0), channels(call.real("beta"), x) * x))


def _softmax(call: Call) -> Array:
    x = call.real("x")
    return softmax(x, axis_of(call.integer("axis", -1), x.ndim))


MEANINGS: dict[str, Callable[[Call], Array]] = {
    "relu": _unary(lambda x: np.maximum(x, 0)),
    "relu6": _unary(lambda x: np.clip(x, 0, 6)),
    "sigmoid": _unary(sigmoid),
    "silu": _unary(lambda x: x * sigmoid(x)),
    "softplus": _unary(lambda x: np.logaddexp(np.float32(0), x)),
    "softsign": _unary(lambda x: x / (1 + np.abs(x))),
    "elu": _with_alpha(lambda x, a: np.where(x > 0, x, a * np.expm1(x))),
    "leaky_relu": _with_alpha(lambda x, a: np.where(x >= 0, x, a * x)),
    "thresholded_relu": _with_alpha(lambda x, a: np.where(x >= a, x, np.float32(0))),
    "clamped_relu": _with_both(lambda x, a, b: np.minimum(np.where(x >= 0, x, a * x), b)),
    "linear_activation": _with_both(lambda x, a, b: x * a + b),
    "scaled_tanh": _with_both(lambda x, a, b: a * np.tanh(b * x)),
    "sigmoid_hard": _with_both(lambda x, a, b: np.clip(a * x + b, 0, 1)),
    "gelu": _gelu,
    "prelu": _prelu,
    "softplus_parametric": _softplus_parametric,
    "softmax": _softmax,
}
