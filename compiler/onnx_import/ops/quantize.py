"""QuantizeLinear and DequantizeLinear; dynamic quantisation as explicit core ops on integers and floats, exact as the
standard defines them."""

from __future__ import annotations

from edgec.ir.graph import Value
from edgec.ir.types import NARROW
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.ops.conv import convolve
from edgec.onnx_import.ops.matmul import product
from edgec.onnx_import.ops.narrow import dequantize_narrow
from edgec.onnx_import.ops.scales import QUANTISED, Scales, dequantised, quantised
from edgec.onnx_import.signature import SPELLED


def quantize_linear(node: Node) -> list[Item]:
    x, scale = node.value(0), as_float(node, node.value(1))
    zero = node.optional(2)
    given = node.dtype("output_dtype", "") if node.opset >= 21 else ""
    dtype = zero.type.dtype if zero is not None else given or "u8"
    if given not in ("", dtype):
        node.broken(f"has the output_dtype {SPELLED[given]} beside a zero point of {SPELLED[dtype]}; legal is the zero "
                    "point's own type")  # fmt: skip
    if dtype not in QUANTISED and dtype not in NARROW:
        legal = ", ".join(SPELLED[d] for d in SPELLED if d in QUANTISED or d in NARROW)
        node.broken(f"makes {SPELLED[dtype]}; legal are {legal}")
    _check_alike(node, scale, zero)
    # precision: the type of the division. Since opset 23 it is by default the scale's, which need not be x's; before,
    # onnxruntime divides halves as floats
    own = scale.type.dtype if node.opset >= 23 and x.type.dtype in ("f16", "bf16") else "f32"
    work = node.dtype("precision", "") or own
    return [quantised(node, x, Scales(scale, zero, node.integer("axis", 1)), dtype, work, node.flag("saturate", True))]


def dequantize_linear(node: Node) -> list[Item]:
    x, scale = node.value(0), as_float(node, node.value(1))
    dtype = scale.type.dtype
    if node.opset >= 23:
        dtype = node.dtype("output_dtype", "") or dtype
    zero = node.optional(2)
    _check_alike(node, scale, zero)
    if x.type.dtype in NARROW and all(v is None or v.const is not None for v in (x, scale, zero)):
        return dequantize_narrow(node, x, scale, zero, dtype)
    return [dequantised(node, x, Scales(scale, zero, node.integer("axis", 1)), dtype)]


def _check_alike(node: Node, scale: Value, zero: Value | None) -> None:
    """As many zero points as scales: one for all of them is legal elsewhere, as in QLinearConv, and not here."""
    if zero is not None and node.shape(zero) != node.shape(scale) and zero.type.size * scale.type.size != 1:
        node.broken(f"has zero points of the shape {list(node.shape(zero))} beside a scale of "
                    f"{list(node.shape(scale))}; legal are equal shapes")  # fmt: skip


def as_float(node: Node, scale: Value) -> Value:
    """A scale that is a power of two, float8e8m0, as the float32 that it is."""
    return node.cast(scale, "f32") if scale.type.dtype == "f8e8m0" else scale


def dynamic_quantize(node: Node) -> list[Item]:
    """scale = (max(x, 0) - min(x, 0)) / 255, zero = clip(round(-min / scale)); the scale of zeros alone is 1, as
    onnxruntime has it."""
    x = node.value(0)
    axes = range(len(node.shape(x)))
    low = node.op("min", node.reduce("min", x, axes), node.like(0, x))
    high = node.op("max", node.reduce("max", x, axes), node.like(0, x))
    extent = node.op("sub", high, low)
    scale = node.op("div", extent, node.like(255, x))
    scale = node.op("where", node.op("eq", extent, node.like(0, x)), node.like(1, x), scale)
    zero = node.op("round", node.op("div", node.op("neg", low), scale))
    zero = node.cast(node.op("clip", zero, lo=0.0, hi=255.0), "u8")
    return [quantised(node, x, Scales(scale, zero), "u8"), scale, zero]


def centred(node: Node, x: Value, zero: Value | None, axis: int | None) -> Value:
    """x - zero as i32; a vector of zero points belongs to `axis`."""
    wide = node.cast(x, "i32")
    if zero is None:
        return wide
    zero = node.cast(zero, "i32")
    own, rank = node.shape(zero), len(node.shape(x))
    if own in ((), (1,)):
        zero = node.reshape(zero, ())
    elif len(own) == 1 and axis is not None:
        zero = node.reshape(zero, [own[0] if i == axis % rank else 1 for i in range(rank)])
    return node.op("sub", wide, zero)


def matmul_integer(node: Node) -> list[Item]:
    a, b = node.value(0), node.value(1)
    left = centred(node, a, node.optional(2), max(len(node.shape(a)) - 2, 0))
    right = centred(node, b, node.optional(3), len(node.shape(b)) - 1)
    return [product(node, left, right)]


def conv_integer(node: Node) -> list[Item]:
    x = centred(node, node.value(0), node.optional(2), None)
    w = centred(node, node.value(1), node.optional(3), 0)
    return [convolve(node, x, w, None)]


QUANTIZE: Table = {
    "ConvInteger": conv_integer,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize,
    "MatMulInteger": matmul_integer,
    "QuantizeLinear": quantize_linear,
    "com.microsoft.DequantizeLinear": dequantize_linear,
    "com.microsoft.QuantizeLinear": quantize_linear,
}
