"""A transposed convolution whose windows do not overlap is a pointwise one, whose channels are then laid out as pixels.

%1 = conv_transpose %x[N,H,W,C], #w[C,O,2,2] {strides=(2, 2)}
->  conv over [N,H,W,C] with [4 O,C,1,1], reshape [N,H,W,2,2,O], transpose [N,H,2,W,2,O], reshape [N,2 H,2 W,O]

For bytes: convolutions have integer forms, and what moves bytes is cheap. Weights that are bytes already stay the same
bytes, each channel's scale once for each tap.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import Encoding, Quant, Type
from edgec.passes.sweep import sweep

Array = np.ndarray[Any, Any]


def unfold_conv_transpose(graph: Graph) -> bool:
    return sweep(graph, _unfolded)


def _unfolded(b: Builder, op: Op) -> Value | None:
    if op.kind != "conv_transpose" or op.arg(0).type.rank != 4 or op.attrs["layout"] != "nhwc":
        return None
    weights, bias = op.arg(1), op.inputs[2] if len(op.inputs) > 2 else None
    if not _fits(weights, 1) or (bias is not None and not _fits(bias, 0)):
        return None
    attrs: Any = op.attrs
    i, o, kh, kw = weights.type.dims
    alone = attrs["strides"] == (kh, kw) and attrs["groups"] == 1 and attrs["dilations"] == (1, 1)
    if not alone or any(attrs["pads"]) or any(attrs["output_padding"]):
        return None
    n, h, w, _ = op.arg(0).type.dims
    graph = b.graph
    taps = graph.stored(weights).transpose(2, 3, 1, 0).reshape(kh * kw * o, i, 1, 1)
    operands = [op.arg(0), _as_stored(graph, weights, np.ascontiguousarray(taps), kh * kw)]
    if bias is not None:
        operands.append(_as_stored(graph, bias, np.tile(graph.stored(bias), kh * kw), kh * kw))
    y = b.op("conv", *operands, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), layout="nhwc", act=attrs["act"])
    pixels = b.op("transpose", b.op("reshape", y, shape=(n, h, w, kh, kw, o)), perm=(0, 1, 3, 2, 4, 5))
    return b.op("reshape", pixels, shape=op.result.type.dims)


def _fits(constant: Value, channels: int) -> bool:
    """A constant of floats, or of integers with one scale, or one for each entry of the axis `channels`."""
    encodings = constant.type.encodings
    one = len(encodings) == 1 and isinstance(encodings[0], Quant) and not encodings[0].group
    return constant.const is not None and (not encodings or (one and encodings[0].axis in (None, channels)))


def _as_stored(graph: Graph, like: Value, stored: Array, taps: int) -> Value:
    """A constant whose result channels come once a tap along its first axis, encoded as it was without that."""
    encodings: list[Encoding] = []
    for encoding in like.type.encodings:
        keys = encoding.constants
        if encoding.axis is not None:
            keys = tuple(graph.module.intern(np.tile(graph.module.constants[key], taps)) for key in keys)
        encodings.append(encoding.at(None if encoding.axis is None else 0, keys))
    return graph.encoded(stored, Type(like.type.dtype, stored.shape, tuple(encodings)), like.name)
