"""Activations, alone and fused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import LARGEST_HALF, Emission, Route, dtype_of
from edgec.targets.coreml.mil import Var


def _number(e: Emission, x: Var, number: float) -> Any:
    """A parameter in the dtype of `x`."""
    return e.as_dtype(np.asarray(float(number)), dtype_of(x))


def clipped(e: Emission, x: Var, lo: float, hi: float) -> Var:
    """min(max(x, lo), hi). MIL's clip refuses lo >= hi. Bounds that the dtype does not reach say nothing."""
    dtype = dtype_of(x)
    most = LARGEST_HALF if dtype == "f16" else math.inf
    if (lo, hi) == (0, 6):
        return e.mil("relu6", x=x)
    if -most < lo and hi < most and (low := _number(e, x, lo)) < (high := _number(e, x, hi)):
        return e.mil("clip", x=x, alpha=low, beta=high)
    if lo > -most:
        x = e.mil("maximum", x=x, y=e.const(min(lo, most), dtype))
    return e.mil("minimum", x=x, y=e.const(max(hi, -most), dtype)) if hi < most else x


def hard_sigmoid(e: Emission, x: Var, alpha: float, beta: float) -> Var:
    return e.mil("sigmoid_hard", x=x, alpha=_number(e, x, alpha), beta=_number(e, x, beta))


def hard_swish(e: Emission, x: Var) -> Var:
    return e.mil("mul", x=x, y=hard_sigmoid(e, x, 1 / 6, 0.5))


def leaky_relu(e: Emission, x: Var, alpha: float) -> Var:
    return e.mil("leaky_relu", x=x, alpha=_number(e, x, alpha))


def gelu(e: Emission, x: Var) -> Var:
    return e.mil("gelu", x=x, mode="EXACT")


def gelu_tanh(e: Emission, x: Var) -> Var:
    return e.mil("gelu", x=x, mode="TANH_APPROXIMATION")


def softplus(e: Emission, x: Var) -> Var:
    """max(x, 0) + softplus(-|x|): the same number, of an argument whose exponential fits halves. The Neural Engine
    gives 0 for softplus above 10.4 (apple/coremltools#2687)."""
    away = e.mil("mul", x=e.mil("abs", x=x), y=e.const(-1.0, dtype_of(x)))
    return e.mil("add", x=e.mil("relu", x=x), y=e.mil("softplus", x=away))


def mish(e: Emission, x: Var) -> Var:
    return e.mil("mul", x=x, y=e.mil("tanh", x=softplus(e, x)))


def elu(e: Emission, x: Var, alpha: float) -> Var:
    return e.mil("elu", x=x, alpha=_number(e, x, alpha))


def _plain(kind: str) -> Callable[[Emission, Var], Var]:
    return lambda e, x: e.mil(kind, x=x)


# fused or alone
SIMPLE: dict[str, Callable[[Emission, Var], Var]] = {
    **{kind: _plain(kind) for kind in ("sigmoid", "tanh", "silu", "relu", "relu6", "softsign")},
    "hard_swish": hard_swish,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "softplus": softplus,
    "mish": mish,
}


def activated(e: Emission, x: Var, act: str) -> Var:
    """A fused activation by its name (ir/ops/activation.py: activate)."""
    if not act:
        return x
    name, *numbers = act.split(":")
    if name == "clip":
        return clipped(e, x, float(numbers[0]), float(numbers[1]))
    if name == "leaky":
        return leaky_relu(e, x, float(numbers[0]))
    return hard_sigmoid(e, x, 1 / 6, 0.5) if name == "hard_sigmoid" else SIMPLE[name](e, x)


def _alone(make: Callable[[Emission, Var], Var]) -> Route:
    return lambda e, op: make(e, e.operand(op, 0))


def _of(op: Op, *names: str) -> list[float]:
    return [float(op.attrs[name]) for name in names]  # type: ignore[arg-type]


def _selu(e: Emission, op: Op) -> Var:
    alpha, gamma = _of(op, "alpha", "gamma")
    x = elu(e, e.operand(op, 0), alpha)
    return e.mil("mul", x=x, y=e.const(gamma, dtype_of(x)))


def _prelu(e: Emission, op: Op) -> Var:
    """MIL's prelu has a constant slope for each channel of four axes; any other is max(x, 0) + slope * min(x, 0)."""
    x, slope = e.operand(op, 0), e.array(op, 1)
    dims, dtype = op.arg(0).type.dims, dtype_of(x)
    if slope is not None and op.result.type.dims == dims:
        if slope.size and bool((slope == slope.flat[0]).all()):
            return leaky_relu(e, x, float(slope.flat[0]))
        if len(dims) == 4 and slope.ndim >= 3 and slope.shape[-3:] == (dims[1], 1, 1):
            return e.mil("prelu", x=x, alpha=e.as_dtype(slope.reshape(-1), dtype))
    zero = e.const(0.0, dtype)
    below = e.mil("mul", x=e.mil("minimum", x=x, y=zero), y=e.operand(op, 1))
    return e.mil("add", x=e.mil("maximum", x=x, y=zero), y=below)


ROUTES: dict[str, Route] = {
    **{kind: _alone(make) for kind, make in SIMPLE.items() if kind != "relu6"},
    "clip": lambda e, op: clipped(e, e.operand(op, 0), *_of(op, "lo", "hi")),
    "leaky_relu": lambda e, op: leaky_relu(e, e.operand(op, 0), *_of(op, "alpha")),
    "elu": lambda e, op: elu(e, e.operand(op, 0), *_of(op, "alpha")),
    "selu": _selu,
    "hard_sigmoid": lambda e, op: hard_sigmoid(e, e.operand(op, 0), *_of(op, "alpha", "beta")),
    "prelu": _prelu,
}
