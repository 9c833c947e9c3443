"""Element-wise ONNX operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from edgec.ir.graph import Value
from edgec.ir.types import FLOATS
from edgec.onnx_import.node import Node, Refused
from edgec.onnx_import.reader import element_type

Entry = Callable[[Node], list[Value]]


def _unary(kind: str) -> Entry:
    return lambda n: [n.op(kind, n.value(0))]


def _binary(kind: str) -> Entry:
    return lambda n: [n.op(kind, n.value(0), n.value(1))]


def _variadic(kind: str) -> Entry:
    def build(n: Node) -> list[Value]:
        result = n.value(0)
        for i in range(1, len(n.inputs)):
            result = n.op(kind, result, n.value(i))
        return [result]

    return build


def _mean(n: Node) -> list[Value]:
    total = _variadic("add")(n)[0]
    return [n.op("mul", total, n.like(1 / len(n.inputs), total))]


def _pow(n: Node) -> list[Value]:
    x, y = n.value(0), n.value(1)
    if y.const is not None and y.type.size == 1 and x.type.dtype in FLOATS:
        power = float(n.array(1, "exponent").ravel()[0])
        if power == 2.0 and y.type.rank <= x.type.rank:
            return [n.op("mul", x, x)]
        if power == 0.5 and y.type.rank <= x.type.rank:
            return [n.op("sqrt", x)]
    if y.type.dtype != x.type.dtype:
        wide = "f64" if x.type.dtype not in FLOATS and y.type.dtype in FLOATS else x.type.dtype
        return [n.cast(n.op("pow", n.cast(x, wide), n.cast(y, wide)), x.type.dtype)]
    return [n.op("pow", x, y)]


def _clip(n: Node) -> list[Value]:
    x = n.value(0)
    bounds: list[float] = []
    for i, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), start=1):
        limit = n.optional(i)
        if n.opset < 11:
            bounds.append(float(n.attr(name, default)))
        elif limit is None:
            bounds.append(default)
        elif limit.const is not None:
            bounds.append(float(n.array(i, name).ravel()[0]))
        else:
            y = x
            for j, kind in ((1, "max"), (2, "min")):
                if n.has(j):
                    y = n.op(kind, y, n.reshape(n.value(j), ()))
            return [y]
    return [n.op("clip", x, lo=bounds[0], hi=bounds[1])]


def _cast(n: Node) -> list[Value]:
    to = element_type(int(n.attr("to", 0)), "its result")
    return [n.cast(n.value(0), to)]


def _gelu(n: Node) -> list[Value]:
    return [n.op("gelu_tanh" if n.attr("approximate", "none") == "tanh" else "gelu", n.value(0))]


def _mod(n: Node) -> list[Value]:
    return [n.op("fmod" if n.attr("fmod", 0) else "mod", n.value(0), n.value(1))]


def _shift(n: Node) -> list[Value]:
    return [n.op("shl" if n.attr("direction", "LEFT") == "LEFT" else "shr", n.value(0), n.value(1))]


def _thresholded_relu(n: Node) -> list[Value]:
    x = n.value(0)
    return [n.op("where", n.op("gt", x, n.like(n.attr("alpha", 1.0), x)), x, n.like(0.0, x))]


def _shrink(n: Node) -> list[Value]:
    x = n.value(0)
    bias, lambd = n.like(n.attr("bias", 0.0), x), n.attr("lambd", 0.5)
    low = n.op("where", n.op("lt", x, n.like(-lambd, x)), n.op("add", x, bias), n.like(0.0, x))
    return [n.op("where", n.op("gt", x, n.like(lambd, x)), n.op("sub", x, bias), low)]


def _celu(n: Node) -> list[Value]:
    x, alpha = n.value(0), float(n.attr("alpha", 1.0))
    scaled = n.op("elu", n.op("mul", x, n.like(1 / alpha, x)), alpha=1.0)
    return [n.op("where", n.op("ge", x, n.like(0.0, x)), x, n.op("mul", scaled, n.like(alpha, x)))]


def _parametric(kind: str, **defaults: float) -> Entry:
    def build(n: Node) -> list[Value]:
        attrs: dict[str, Any] = {name: float(n.attr(name, default)) for name, default in defaults.items()}
        return [n.op(kind, n.value(0), **attrs)]

    return build


def _is_inf(n: Node) -> list[Value]:
    positive, negative = bool(n.attr("detect_positive", 1)), bool(n.attr("detect_negative", 1))
    return [n.op("is_inf", n.value(0), positive=positive, negative=negative)]


def _identity(n: Node) -> list[Value]:
    return [n.value(0)]


def _dropout(n: Node) -> list[Value]:
    if n.has(2) and n.array(2, "training mode").any():
        raise Refused("it is in training mode")
    x = n.value(0)
    if n.outputs == 1:
        return [x]
    return [x, n.op("broadcast_to", n.const(True, "bool"), shape=x.type.dims)]


def _prelu(n: Node) -> list[Value]:
    x, slope = n.value(0), n.value(1)
    if slope.type.rank < x.type.rank and slope.type.size > 1 and slope.type.rank == 1:
        try_last = slope.type.dims[0] == x.type.dims[-1]
        if not try_last:
            slope = n.reshape(slope, (slope.type.dims[0],) + (1,) * (x.type.rank - 2))
    return [n.op("prelu", x, slope)]


_NAMES = {
    "Neg": "neg", "Abs": "abs", "Sign": "sign", "Exp": "exp", "Log": "log", "Sqrt": "sqrt",
    "Reciprocal": "reciprocal", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "asin", "Acos": "acos",
    "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh", "Tanh": "tanh", "Asinh": "asinh", "Acosh": "acosh",
    "Atanh": "atanh", "Erf": "erf", "Sigmoid": "sigmoid", "Floor": "floor", "Ceil": "ceil", "Round": "round",
    "Relu": "relu", "Softplus": "softplus", "Softsign": "softsign", "HardSwish": "hard_swish", "Mish": "mish",
    "Not": "not", "BitwiseNot": "bit_not", "IsNaN": "is_nan",
}  # fmt: skip
_PAIRS = {
    "Sub": "sub", "Mul": "mul", "Div": "div", "Add": "add", "And": "and", "Or": "or", "Xor": "xor",
    "BitwiseAnd": "bit_and", "BitwiseOr": "bit_or", "BitwiseXor": "bit_xor", "Equal": "eq", "Less": "lt",
    "LessOrEqual": "le", "Greater": "gt", "GreaterOrEqual": "ge",
}  # fmt: skip

TABLE: dict[str, Entry] = {
    **{name: _unary(kind) for name, kind in _NAMES.items()},
    **{name: _binary(kind) for name, kind in _PAIRS.items()},
    "Sum": _variadic("add"),
    "Min": _variadic("min"),
    "Max": _variadic("max"),
    "Mean": _mean,
    "Pow": _pow,
    "Clip": _clip,
    "Cast": _cast,
    "CastLike": lambda n: [n.cast(n.value(0), n.value(1).type.dtype)],
    "Gelu": _gelu,
    "Mod": _mod,
    "BitShift": _shift,
    "ThresholdedRelu": _thresholded_relu,
    "Shrink": _shrink,
    "Celu": _celu,
    "LeakyRelu": _parametric("leaky_relu", alpha=0.01),
    "Elu": _parametric("elu", alpha=1.0),
    "Selu": _parametric("selu", alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "HardSigmoid": _parametric("hard_sigmoid", alpha=0.2, beta=0.5),
    "IsInf": _is_inf,
    "Identity": _identity,
    "Dropout": _dropout,
    "PRelu": _prelu,
    "Where": lambda n: [n.op("where", n.value(0), n.value(1), n.value(2))],
    "Swish": lambda n: [
        n.op("mul", n.value(0), n.op("sigmoid", n.op("mul", n.value(0), n.like(n.attr("alpha", 1.0), n.value(0)))))
    ],
}
