"""QLinear operators, the standard's and onnxruntime's (domain com.microsoft): the float operator between dequantise and
quantise, so that they take the way of Q/DQ graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgec.ir.graph import Value
from edgec.ir.types import Quant, Type
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Importer, Node, Table
from edgec.onnx_import.ops.conv import conv, convolve
from edgec.onnx_import.ops.matmul import gemm, product
from edgec.onnx_import.ops.pool import average_pool
from edgec.onnx_import.ops.quantize import centred, dynamic_quantize
from edgec.onnx_import.ops.reduce import REDUCE
from edgec.onnx_import.ops.scales import Scales, checked, dequantised, limits_of, quantised
from edgec.onnx_import.ops.shape import concat


def real(node: Node, i: int, name: str, axis: int = 0) -> Value:
    """Operands i to i + 2, a tensor with its scale and zero point, as floats."""
    x = node.value(i)
    if x.type.dtype not in ("i8", "u8"):
        node.broken(f"has an operand '{name}' of {x.type.dtype}; legal are int8 and uint8")
    return dequantised(node, x, Scales(node.value(i + 1), node.optional(i + 2), axis, f"{name}_scale"))


def stored(node: Node, y: Value, i: int, name: str = "y") -> Value:
    """The result as the bytes that operands i and i + 1, its scale and zero point, ask for; u8 without the latter."""
    zero = node.optional(i + 1)
    dtype = zero.type.dtype if zero is not None else "u8"
    return quantised(node, y, Scales(node.value(i), zero, 0, f"{name}_scale"), dtype)


def inner(node: Node, *operands: Value | None, drop: Sequence[str] = (), opset: int = 0) -> Node:
    """The node as one of the standard's operators on floats, without some of its attributes."""
    made = Node(node.proto, list(operands), node.walk, node.scope, opset or node.scope.opsets[""])
    made.attributes = {name: a for name, a in node.attributes.items() if name not in drop}
    return made


def _one(items: Sequence[Item]) -> Value:
    (value,) = items
    assert isinstance(value, Value)
    return value


def _channels_first(node: Node, function: Callable[[Value], Value], x: Value) -> Value:
    """`function` on channels first, where the node says that its image has them last."""
    if not node.flag("channels_last"):
        return function(x)
    rank = len(node.shape(x))
    y = function(node.transpose(x, (0, rank - 1, *range(1, rank - 1))))
    return node.transpose(y, (0, *range(2, rank), 1))


def bias_of(node: Node, bias: Value, x_scale: Value, w_scale: Value, channels: int) -> Value | None:
    """An i32 bias in steps of x_scale * w_scale; None where these are known at run time only."""
    if bias.type.dtype != "i32" or node.shape(bias) != (channels,):
        node.broken(f"has a bias {bias.type}; legal is i32[{channels}]")
    if bias.const is None:
        return None
    graph = node.walk.graph
    step = (graph.array(x_scale).reshape(()) * graph.array(w_scale)).astype(np.float32)
    if not np.all((step > 0) & np.isfinite(step)):
        return None
    step = step.reshape(() if step.size == 1 else -1)
    zero = graph.module.intern(np.zeros(step.shape, np.int32))
    encoding = Quant("i32", graph.module.intern(step), zero, 0 if step.ndim else None)
    return graph.encoded(graph.stored(bias), Type("f32", (channels,), (encoding,)), bias.name)


def _constant_scales(*values: Value | None) -> bool:
    return all(v is None or (v.const is not None and v.type.dtype == "f32") for v in values)


def _check(node: Node, *operands: tuple[int, str]) -> None:
    """ModelError where the scale or zero point behind an operand, or behind a missing result, is not legal."""
    for i, name in operands:
        x, zero = (node.value(i) if i >= 0 else None), node.optional(abs(i) + 2)
        dtype = x.type.dtype if x is not None else zero.type.dtype if zero is not None else "u8"
        checked(node, dtype, Scales(node.value(abs(i) + 1), zero, 0, f"{name}_scale"))


def _one_number(node: Node, value: Value, name: str) -> None:
    if node.shape(value) not in ((), (1,)):
        node.broken(f"has a {name} of the shape {list(node.shape(value))}; legal is one number")


def qlinear_conv(node: Node) -> list[Item]:
    w, w_scale, w_zero = node.value(3), node.value(4), node.optional(5)
    channels = node.shape(w)[0] if node.shape(w) else 0
    for i, name in ((1, "x_scale"), (6, "y_scale")):
        _one_number(node, node.value(i), name)
    if node.shape(w_scale) not in ((), (1,), (channels,)):
        node.broken(f"has a w_scale of the shape {list(node.shape(w_scale))}; legal are one number and [{channels}]")
    _check(node, (0, "x"), (3, "w"), (-5, "y"))
    bias = node.optional(8)
    steps = None if bias is None else bias_of(node, bias, node.value(1), w_scale, channels)
    given = (node.value(1), node.optional(2), w_scale, w_zero, node.value(6), node.optional(7))
    scales = [v for v in given[::2] if v is not None]
    zeros = [v for v in given[1::2] if v is not None]
    fixed = _constant_scales(*scales) and all(z.const is not None for z in zeros)
    if not fixed or w.const is None or (bias is not None and steps is None):
        return _conv_by_sums(node)
    weights = real(node, 3, "w")
    plain = ("channels_last",)
    y = _channels_first(node, lambda x: _one(conv(inner(node, x, weights, steps, drop=plain))), real(node, 0, "x"))
    return [stored(node, y, 6)]


def qlinear_matmul(node: Node) -> list[Item]:
    given = [node.value(i) for i in range(8)]
    _check(node, (0, "a"), (3, "b"), (-5, "y"))
    b_scale = node.shape(given[4])
    whole = all(node.shape(given[i]) in ((), (1,)) for i in (1, 6))
    columns = b_scale in ((), (1,)) or (given[3].const is not None and b_scale == node.shape(given[3])[-1:])
    fixed = all(given[i].const is not None for i in (1, 2, 4, 5, 6, 7)) and given[1].type.dtype == "f32"
    if not (whole and columns and fixed):
        return _matmul_by_sums(node)
    return [stored(node, product(node, real(node, 0, "a"), real(node, 3, "b", -1)), 6)]


def qgemm(node: Node) -> list[Item]:
    """onnxruntime, com.microsoft.QGemm: floats where there is no scale of y; C in steps of alpha a_scale b_scale."""
    alpha = node.number("alpha", 1.0)
    if alpha <= 0:
        node.refuse("has an alpha that is not positive; positive ones are supported")
    b, columns = node.value(3), 0 if node.flag("transB") else 1
    if len(node.shape(b)) != 2:
        node.broken("needs matrices")
    n = node.shape(b)[columns]
    _one_number(node, node.value(1), "a_scale")
    scale = node.value(4)
    if node.shape(scale) not in ((), (1,), (n,)):
        node.broken(f"has a b_scale of the shape {list(node.shape(scale))}; legal are one number and [{n}]")
    if alpha != 1:
        scale = node.op("mul", scale, node.like(alpha, scale))
    bias, c = None, node.optional(6)
    if c is not None:
        flat = node.reshape(c, (n,)) if node.shape(c) == (1, n) else c
        bias = bias_of(node, flat, node.value(1), scale, n)
        if bias is None:
            node.refuse("has a C whose scale is known at run time only; constants are supported")
    weights = dequantised(node, b, Scales(scale, node.optional(5), columns, "b_scale"))
    y = _one(gemm(inner(node, real(node, 0, "A"), weights, bias, drop=("alpha",))))
    return [stored(node, y, 7) if node.has(7) else y]


def pairwise(kind: str) -> Importer:
    """Two operands and a result, each with a scale and a zero point."""

    def run(node: Node) -> list[Item]:
        return [stored(node, node.op(kind, real(node, 0, "A"), real(node, 3, "B")), 6, "C")]

    return run


def single(function: Callable[[Node, Value], Value]) -> Importer:
    """One operand and a result, each with a scale and a zero point."""

    def run(node: Node) -> list[Item]:
        return [stored(node, function(node, real(node, 0, "X")), 3, "Y")]

    return run


def _average(node: Node, x: Value) -> Value:
    plain = ("channels_last",)
    return _channels_first(node, lambda v: _one(average_pool(inner(node, v, drop=plain))), x)


def _global_average(node: Node, x: Value) -> Value:
    rank = len(node.shape(x))
    if rank < 3:
        node.broken(f"takes the mean of an image, and its operand has {rank} dimensions")
    return _channels_first(node, lambda v: node.reduce("mean", v, range(2, rank), keepdims=True), x)


def _leaky(node: Node, x: Value) -> Value:
    return node.op("leaky_relu", x, alpha=node.number("alpha", 0.01))


def _softmax(node: Node, x: Value) -> Value:
    return _one(REDUCE["Softmax"](inner(node, x, drop=("opset",), opset=node.integer("opset", 13))))


def qlinear_concat(node: Node) -> list[Item]:
    """The result's scale and zero point come first."""
    count, rest = divmod(node.count - 2, 3)
    if count < 1 or rest or "axis" not in node.attributes:
        node.broken(f"has {node.count} operands; legal are y's scale and zero point, three an input, and an 'axis'")
    parts = [real(node, 2 + 3 * i, f"input {i}") for i in range(count)]
    return [stored(node, _one(concat(inner(node, *parts))), 0)]


def qlinear_where(node: Node) -> list[Item]:
    chosen = node.op("where", node.value(0), real(node, 1, "X"), real(node, 4, "Y"))
    return [stored(node, chosen, 7, "Z")]


def _requantised(node: Node, total: Value, scales: Sequence[Value], zero: Value) -> Value:
    """An i32 sum times scale_a * scale_b / scale_y, rounded, plus the zero point."""
    a, b, y = (node.cast(s, "f32") for s in scales)
    factor = node.op("div", node.op("mul", a, b), y)
    lo, hi = limits_of(node, zero.type.dtype)
    steps = node.op("round", node.op("mul", node.cast(total, "f32"), factor))
    steps = node.op("add", steps, node.cast(zero, "f32"))
    return node.cast(node.op("clip", steps, lo=float(lo), hi=float(hi)), zero.type.dtype)


def _vector_at(node: Node, value: Value, rank: int, axis: int) -> Value:
    """A scalar, or a vector along an axis."""
    own = node.shape(value)
    if own in ((), (1,)):
        return node.reshape(value, ())
    return node.reshape(value, [own[0] if i == axis else 1 for i in range(rank)]) if len(own) == 1 else value


def _matmul_by_sums(node: Node) -> list[Item]:
    """QLinearMatMul in integers, scales known at run time only."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (node.value(i) for i in range(8))
    left = centred(node, a, a_zero, max(len(node.shape(a)) - 2, 0))
    right = centred(node, b, b_zero, len(node.shape(b)) - 1)
    total = product(node, left, right)
    rank = len(node.shape(total))
    scales = [
        _vector_at(node, a_scale, rank, rank - 2),
        _vector_at(node, b_scale, rank, rank - 1),
        _vector_at(node, y_scale, rank, rank - 2),
    ]
    return [_requantised(node, total, scales, _vector_at(node, y_zero, rank, rank - 2))]


def _conv_by_sums(node: Node) -> list[Item]:
    """QLinearConv in integers, scales known at run time only."""
    if node.flag("channels_last"):
        node.refuse("has channels last and scales known at run time only; constants are supported")
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (node.value(i) for i in range(8))
    total = convolve(node, centred(node, x, x_zero, None), centred(node, w, w_zero, 0), node.optional(8))
    rank = len(node.shape(total))
    scales = [node.reshape(x_scale, ()), _vector_at(node, w_scale, rank, 1), node.reshape(y_scale, ())]
    return [_requantised(node, total, scales, node.reshape(y_zero, ()))]




def matmul_integer_to_float(node: Node) -> list[Item]:
    """onnxruntime: A, B, their scales, zero points, bias."""
    a, b, a_scale, b_scale = (node.value(i) for i in range(4))
    axis = len(node.shape(b)) - 1
    left = centred(node, a, node.optional(4), None)
    total = product(node, left, centred(node, b, node.optional(5), axis))
    rank = len(node.shape(total))
    step = node.op("mul", node.reshape(a_scale, ()), _vector_at(node, b_scale, rank, rank - 1))
    y = node.op("mul", node.cast(total, "f32"), step)
    return [node.op("add", y, node.value(6)) if node.has(6) else y]


def dynamic_quantize_matmul(node: Node) -> list[Item]:
    """onnxruntime: A in floats, quantised at run time; B, its scale, its zero point, bias."""
    b, axis = node.value(1), len(node.shape(node.value(1))) - 1
    a, a_scale, a_zero = dynamic_quantize(inner(node, node.value(0)))
    assert isinstance(a, Value)
    assert isinstance(a_scale, Value)
    assert isinstance(a_zero, Value)
    total = product(node, centred(node, a, a_zero, None), centred(node, b, node.optional(3), axis))
    step = node.op("mul", a_scale, _vector_at(node, node.value(2), len(node.shape(total)), len(node.shape(total)) - 1))
    y = node.op("mul", node.cast(total, "f32"), step)
    return [node.op("add", y, node.value(4)) if node.has(4) else y]


QLINEAR: Table = {
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "com.microsoft.DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "com.microsoft.MatMulIntegerToFloat": matmul_integer_to_float,
    "com.microsoft.QGemm": qgemm,
    "com.microsoft.QLinearAdd": pairwise("add"),
    "com.microsoft.QLinearAveragePool": single(_average),
    "com.microsoft.QLinearConcat": qlinear_concat,
    "com.microsoft.QLinearConv": qlinear_conv,
    "com.microsoft.QLinearGlobalAveragePool": single(_global_average),
    "com.microsoft.QLinearLeakyRelu": single(_leaky),
    "com.microsoft.QLinearMul": pairwise("mul"),
    "com.microsoft.QLinearSigmoid": single(lambda node, x: node.op("sigmoid", x)),
    "com.microsoft.QLinearSoftmax": single(_softmax),
    "com.microsoft.QLinearWhere": qlinear_where,
}
