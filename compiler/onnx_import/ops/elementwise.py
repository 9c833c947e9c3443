"""Operators that work element by element: most are one core op under another name."""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Value
from edgec.ir.narrow import ROUND_MODES
from edgec.ir.types import DTYPES, FLOATS, INTEGERS, NARROW_FLOATS, SIGNED, bits_of
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Importer, Node, Table


def unary(kind: str) -> Importer:
    return lambda node: [node.op(kind, node.value(0))]


def binary(kind: str) -> Importer:
    return lambda node: [node.op(kind, node.value(0), node.value(1))]


def variadic(kind: str) -> Importer:
    """Max, Min, Sum over any number of broadcasting operands."""
    return lambda node: [fold(node, kind)]


def fold(node: Node, kind: str) -> Value:
    values = node.values()
    if not values:
        node.broken("needs at least one operand")
    result = values[0]
    for value in values[1:]:
        result = node.op(kind, result, value)
    return result


def with_number(kind: str, **defaults: float) -> Importer:
    """A unary op whose float attributes have the same names in ONNX."""
    return lambda node: [node.op(kind, node.value(0), **{k: node.number(k, d) for k, d in defaults.items()})]


def divide(node: Node) -> list[Item]:
    check_divisor(node, node.value(1))
    return [node.op("div", node.value(0), node.value(1))]


def check_divisor(node: Node, divisor: Value) -> None:
    """A zero among integers that are known; many machines stop at one."""
    if divisor.const is not None and divisor.type.dtype in INTEGERS and not np.all(node.array(divisor)):
        node.broken("divides integers by zero")


def mean(node: Node) -> list[Item]:
    total = fold(node, "add")
    return [node.op("div", total, node.like(len(node.values()), total))]


def clip(node: Node) -> list[Item]:
    x = node.value(0)
    if node.opset < 11:
        lo, hi = node.number("min", -np.inf, finite=False), node.number("max", np.inf, finite=False)
        return [node.clip(x, lo, hi)]
    low, high = node.optional(1), node.optional(2)
    if all(v is None or v.const is not None for v in (low, high)) and node.is_float(x):
        lo = float(node.array(low).reshape(())) if low is not None else -np.inf
        hi = float(node.array(high).reshape(())) if high is not None else np.inf
        # a NaN bounds nothing, as in onnxruntime; ONNX does not say
        lo, hi = -np.inf if np.isnan(lo) else lo, np.inf if np.isnan(hi) else hi
        # numpy and ONNX agree that the upper bound wins when they cross
        return [node.op("clip", x, lo=min(lo, hi), hi=hi)]
    x = node.op("max", x, low) if low is not None else x
    return [node.op("min", x, high) if high is not None else x]


def celu(node: Node) -> list[Item]:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)) = alpha elu(x / alpha)"""
    x = node.value(0)
    alpha = node.number("alpha", 1.0)
    if alpha == 0:
        node.broken("has an alpha of 0, which it divides by")
    if alpha == 1:
        return [node.op("elu", x, alpha=1.0)]
    scaled = node.op("elu", node.op("div", x, node.like(alpha, x)), alpha=1.0)
    return [node.op("mul", scaled, node.like(alpha, x))]


def thresholded_relu(node: Node) -> list[Item]:
    x = node.value(0)
    above = node.op("gt", x, node.like(node.number("alpha", 1.0), x))
    return [node.op("where", above, x, node.like(0, x))]


def shrink(node: Node) -> list[Item]:
    """x + bias below -lambd, x - bias above lambd, 0 between; ONNX computes in x's type."""
    x = node.value(0)
    bias, edge = node.number("bias", 0.0), node.number("lambd", 0.5)
    if not node.is_float(x):
        # comparing integers with a fraction: x > 1.5 is x > 1, x < -1.5 is x < -1
        edge_value, bias = node.like(int(np.floor(edge)), x), int(bias)
    else:
        edge_value = node.like(edge, x)
    low = node.op("lt", x, node.op("neg", edge_value))
    high = node.op("gt", x, edge_value)
    raised, lowered = node.op("add", x, node.like(bias, x)), node.op("sub", x, node.like(bias, x))
    return [node.op("where", low, raised, node.op("where", high, lowered, node.like(0, x)))]


def gelu(node: Node) -> list[Item]:
    mode = node.text("approximate", "none")
    if mode not in ("none", "tanh"):
        node.broken(f"has approximate='{mode}'; 'none' and 'tanh' are legal")
    return [node.op("gelu_tanh" if mode == "tanh" else "gelu", node.value(0))]


def swish(node: Node) -> list[Item]:
    x = node.value(0)
    alpha = node.number("alpha", 1.0)
    if alpha == 1:
        return [node.op("silu", x)]
    return [node.op("mul", x, node.op("sigmoid", node.op("mul", x, node.like(alpha, x))))]


def power(node: Node) -> list[Item]:
    """The result has the base's type. Mixed types are computed in the wider kind."""
    base, exponent = node.value(0), node.value(1)
    dtype = base.type.dtype
    if exponent.type.dtype == dtype:
        return [node.op("pow", base, exponent)]
    if dtype in FLOATS:
        return [node.op("pow", base, node.cast(exponent, dtype))]
    if exponent.type.dtype in INTEGERS and DTYPES[exponent.type.dtype].itemsize <= DTYPES[dtype].itemsize:
        return [node.op("pow", base, node.cast(exponent, dtype))]
    wide = node.op("pow", node.cast(base, "f64"), node.cast(exponent, "f64"))
    return [node.cast(wide, dtype)]


def modulo(node: Node) -> list[Item]:
    a, b = node.value(0), node.value(1)
    check_divisor(node, b)
    fmod = node.flag("fmod")
    return [node.op("fmod" if fmod else "mod", a, b)]


def bit_shift(node: Node) -> list[Item]:
    direction = node.text("direction", "")
    if direction not in ("LEFT", "RIGHT"):
        node.broken(f"has direction='{direction}'; 'LEFT' and 'RIGHT' are legal")
    x, amount = node.value(0), node.value(1)
    if node.opset < 28 or in_range(node, amount):
        return [node.op("shl" if direction == "LEFT" else "shr", x, amount)]
    # since opset 28 an amount out of range has a meaning: nothing but the sign remains
    bits = x.type.numpy.itemsize * 8
    inside = node.op("lt", amount, node.like(bits, amount))
    if amount.type.dtype in SIGNED:
        inside = node.op("and", inside, node.op("ge", amount, node.like(0, amount)))
    if direction == "RIGHT" and x.type.dtype in SIGNED:
        return [node.op("shr", x, node.op("where", inside, amount, node.like(bits - 1, amount)))]
    safe = node.op("where", inside, amount, node.like(0, amount))
    moved = node.op("shl" if direction == "LEFT" else "shr", x, safe)
    return [node.op("where", inside, moved, node.like(0, x))]


def in_range(node: Node, amount: Value) -> bool:
    """Is every shift known and legal in any opset?"""
    if amount.const is None:
        return False
    array = node.array(amount)
    return bool(np.all((array >= 0) & (array < amount.type.numpy.itemsize * 8)))


def is_nan(node: Node) -> list[Item]:
    return [node.op("is_nan", tested(node))]


def tested(node: Node) -> Value:
    """The operand, of 8-bit floats as float32."""
    x = node.value(0)
    return node.cast(x, "f32") if x.type.dtype in NARROW_FLOATS else x


def is_inf(node: Node) -> list[Item]:
    positive, negative = node.flag("detect_positive", True), node.flag("detect_negative", True)
    return [node.op("is_inf", tested(node), positive=positive, negative=negative)]


def cast(node: Node) -> list[Item]:
    return [recast(node, node.value(0), node.dtype("to"))]


def cast_like(node: Node) -> list[Item]:
    return [recast(node, node.value(0), node.value(1).type.dtype)]


def recast(node: Node, x: Value, to: str) -> Value:
    """With the attributes that say how 8-bit floats are rounded."""
    if to not in NARROW_FLOATS or x.type.dtype == to:
        return node.cast(x, to)
    mode = node.text("round_mode", "up")
    if mode not in ROUND_MODES:
        node.broken(f"has the round_mode '{mode}'; legal are {', '.join(ROUND_MODES)}")
    return node.op("cast", x, to=to, saturate=node.flag("saturate", True), round_mode=mode)


def bit_cast(node: Node) -> list[Item]:
    """The same bits as another type of the same width."""
    x, to = node.value(0), node.dtype("to")
    if bits_of(x.type.dtype) != bits_of(to):
        node.broken(f"goes from {x.type.dtype} to {to}, which differ in size")
    if to == "bool" and x.type.dtype != to:
        node.refuse(f"reinterprets {x.type.dtype} as {to}; numbers of one width are supported, Cast makes bools")
    if x.type.dtype == "bool":
        return [node.cast(x, to) if to in ("bool", "i8", "u8") else node.op("bitcast", node.cast(x, "u8"), to=to)]
    return [x if x.type.dtype == to else node.op("bitcast", x, to=to)]


def identity(node: Node) -> list[Item]:
    return [node.item(0)]


def dropout(node: Node) -> list[Item]:
    """Nothing at inference; the mask is all true."""
    x = node.value(0)
    training = bool(node.const(2).reshape(-1)[0]) if node.opset >= 12 and node.has(2) else False
    if training and (node.const_float(1) if node.has(1) else 0.5) != 0:
        node.refuse("is in training mode, which is random; inference and a ratio of 0 are supported")
    mask: Item = node.full(node.shape(x), True, "bool") if node.wants(1) else None
    return [x, mask]


SAME = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh", "Atan": "atan", "Atanh": "atanh",
    "BitwiseNot": "bit_not", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Erf": "erf", "Exp": "exp",
    "Floor": "floor", "HardSwish": "hard_swish", "Log": "log", "Mish": "mish", "Neg": "neg",
    "Not": "not", "Reciprocal": "reciprocal", "Relu": "relu", "Round": "round", "Sigmoid": "sigmoid", "Sign": "sign",
    "Sin": "sin", "Sinh": "sinh", "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Tan": "tan",
    "Tanh": "tanh",
}  # fmt: skip
PAIRS = {
    "Add": "add", "And": "and", "BitwiseAnd": "bit_and", "BitwiseOr": "bit_or", "BitwiseXor": "bit_xor",
    "Equal": "eq", "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le", "Mul": "mul",
    "Or": "or", "PRelu": "prelu", "Sub": "sub", "Xor": "xor",
}  # fmt: skip

ELEMENTWISE: Table = {
    **{name: unary(kind) for name, kind in SAME.items()},
    **{name: binary(kind) for name, kind in PAIRS.items()},
    "BitCast": bit_cast,
    "BitShift": bit_shift,
    "Cast": cast,
    "CastLike": cast_like,
    "Celu": celu,
    "Clip": clip,
    "Dropout": dropout,
    "Elu": with_number("elu", alpha=1.0),
    "Gelu": gelu,
    "HardSigmoid": with_number("hard_sigmoid", alpha=0.2, beta=0.5),
    "Identity": identity,
    "IsInf": is_inf,
    "IsNaN": is_nan,
    "LeakyRelu": with_number("leaky_relu", alpha=0.01),
    "Max": variadic("max"),
    "Mean": mean,
    "Min": variadic("min"),
    "Div": divide,
    "Mod": modulo,
    "Pow": power,
    "Selu": with_number("selu", alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Shrink": shrink,
    "Sum": variadic("add"),
    "Swish": swish,
    "ThresholdedRelu": thresholded_relu,
    "Where": lambda node: [node.op("where", node.value(0), node.value(1), node.value(2))],
}
