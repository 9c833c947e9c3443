"""DynamicQuantizeLSTM of onnxruntime (domain com.microsoft): an LSTM whose weights are bytes, and whose inputs and
states become bytes at run time.

All steps of X that are computed share a scale and a zero point, those of DynamicQuantizeLinear; so do, at each step,
all states that the step before made (onnxruntime's uni_directional_lstm.cc, on one thread). What X adds to the gates is
a product of integers, and the LSTM is left without W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.ops.matmul import product
from edgec.onnx_import.ops.qlinear import inner
from edgec.onnx_import.ops.quantize import centred, dynamic_quantize
from edgec.onnx_import.ops.recurrent import activations_of

Array = np.ndarray[Any, Any]
GATES = 4


@dataclass(frozen=True)
class Weights:
    """Codes [directions, inputs, gate units] less their zero points, and a scale for each unit [directions, units]."""

    codes: Array
    scales: Array


def dynamic_quantize_lstm(node: Node) -> list[Item]:
    direction = node.text("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        node.broken(f"has direction='{direction}'; forward, reverse and bidirectional are legal")
    d = 2 if direction == "bidirectional" else 1
    x = node.value(0)
    if x.type.dtype != "f32" or len(node.shape(x)) != 3:
        node.broken(f"has X {x.type}; legal are three axes of float32")
    hidden = node.integer("hidden_size", 0)
    if hidden < 1:
        node.broken(f"has hidden_size={hidden}; legal are positive numbers")
    w = _weights(node, 1, 8, "W", (d, node.shape(x)[2], GATES * hidden))
    r = _weights(node, 2, 10, "R", (d, hidden, GATES * hidden))
    lens = node.optional(4)
    operands: list[Value | None] = [
        _input_part(node, x if lens is None else _first_steps(node, x, lens), w), None, _state_weights(node, r),
        node.optional(3), lens, node.optional(5), node.optional(6), node.optional(7), node.constant(r.scales),
    ]  # fmt: skip
    return list(
        node.ops(
            "qlstm", *operands, direction=direction, activations=activations_of(node, "LSTM", d),
            clip=node.number("clip", 0.0), input_forget=node.flag("input_forget"), together=True,
        )
    )  # fmt: skip


def _weights(node: Node, i: int, scale: int, name: str, shape: tuple[int, ...]) -> Weights:
    """Operand i with its scale and, behind that, its zero point; all are constants."""
    codes, scales, zeros = node.const(i), node.const(scale), node.const(scale + 1)
    if codes.dtype not in (np.int8, np.uint8):
        node.broken(f"has {name} of {codes.dtype}; legal are int8 and uint8")
    if codes.shape != shape:
        node.broken(f"has {name} of the shape {list(codes.shape)}; legal is {list(shape)}")
    if scales.dtype != np.float32 or not np.all(np.isfinite(scales) & (scales > 0)):
        node.broken(f"has a {name}_scale that is not all positive finite numbers of float32; legal are such")
    if zeros.dtype != codes.dtype:
        node.broken(f"has a {name}_zero_point of {zeros.dtype} beside weights of {codes.dtype}; legal is the same type")
    units = shape[::2]
    for array, label in ((scales, "scale"), (zeros, "zero_point")):
        if array.shape not in (units[:1], units):
            node.broken(f"has a {name}_{label} of the shape {list(array.shape)}; legal are {[units[0]]}, a number a "
                        f"direction, and {list(units)}, one a gate unit")  # fmt: skip
    _check_zeros(node, name, zeros)
    each = [v.reshape(v.shape[0], 1, -1) for v in (scales, zeros)]
    return Weights(
        codes.astype(np.int32) - each[1].astype(np.int32),
        np.ascontiguousarray(np.broadcast_to(each[0][:, 0], units)),
    )


def _check_zeros(node: Node, name: str, zeros: Array) -> None:
    """onnxruntime knows one zero point a direction, and refuses others."""
    if zeros.ndim < 2:
        return
    if zeros.dtype == np.int8 and np.any(zeros):
        node.broken(f"has a {name}_zero_point other than 0 for gate units of int8; legal is 0")
    if zeros.size and np.any(zeros != zeros.flat[0]):
        node.broken(f"has a {name}_zero_point that differs from gate unit to gate unit; legal is one number for all")


def _first_steps(node: Node, x: Value, lens: Value) -> Value:
    """Zeros in steps that no entry has: they are not looked at for the range."""
    if lens.type.dtype != "i32" or node.shape(lens) != node.shape(x)[1:2]:
        node.broken(f"has sequence_lens {lens.type}; legal is i32{list(node.shape(x)[1:2])}")
    steps = node.constant(np.arange(node.shape(x)[0], dtype=np.int32).reshape(-1, 1, 1))
    longest = node.reshape(node.reduce("max", lens, [0]), ())
    return node.op("where", node.op("lt", steps, longest), x, node.like(0, x))


def _input_part(node: Node, x: Value, w: Weights) -> Value:
    """x W of both directions beside each other, in floats."""
    narrow, scale, zero = dynamic_quantize(inner(node, x))
    assert isinstance(narrow, Value)
    assert isinstance(scale, Value)
    assert isinstance(zero, Value)
    total = product(node, centred(node, narrow, zero, None), node.constant(np.concatenate(list(w.codes), axis=1)))
    step = node.op("mul", scale, node.constant(w.scales.reshape(-1)))
    return node.op("mul", node.cast(total, "f32"), step)


def _state_weights(node: Node, r: Weights) -> Value:
    """Bytes where bytes hold them with a sign."""
    codes = np.ascontiguousarray(r.codes.transpose(0, 2, 1))
    return node.constant(codes.astype(np.int8 if np.abs(codes).max(initial=0) <= 127 else np.int16))


DYNAMIC_LSTM: Table = {"com.microsoft.DynamicQuantizeLSTM": dynamic_quantize_lstm}
