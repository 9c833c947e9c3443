"""A transposed convolution whose windows do not overlap is a pointwise one, whose channels are then laid out as pixels.

%1 = conv_transpose %x[N,H,W,C], #w[C,O,2,2] {strides=(2, 2)}
->  conv over [N,H,W,C] with [4 O,C,1,1], reshape [N,H,W,2,2,O], transpose [N,H,2,W,2,O], reshape [N,2 H,2 W,O]

For bytes: convolutions have integer forms, and what moves bytes is cheap.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.sweep import sweep


def unfold_conv_transpose(graph: Graph) -> bool:
    return sweep(graph, _unfolded)


def _unfolded(b: Builder, op: Op) -> Value | None:
    if op.kind != "conv_transpose" or op.arg(0).type.rank != 4 or op.attrs["layout"] != "nhwc":
        return None
    weights, bias = op.arg(1), op.inputs[2] if len(op.inputs) > 2 else None
    if weights.const is None or weights.type.encodings or (bias is not None and bias.const is None):
        return None
    attrs: Any = op.attrs
    i, o, kh, kw = weights.type.dims
    alone = attrs["strides"] == (kh, kw) and attrs["groups"] == 1 and attrs["dilations"] == (1, 1)
    if not alone or any(attrs["pads"]) or any(attrs["output_padding"]):
        return None
    n, h, w, _ = op.arg(0).type.dims
    graph = b.graph
    taps = graph.array(weights).transpose(2, 3, 1, 0).reshape(kh * kw * o, i, 1, 1)
    operands = [op.arg(0), b.const(np.ascontiguousarray(taps))]
    if bias is not None:
        operands.append(b.const(np.tile(graph.array(bias), kh * kw)))
    y = b.op("conv", *operands, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), layout="nhwc", act=attrs["act"])
    pixels = b.op("transpose", b.op("reshape", y, shape=(n, h, w, kh, kw, o)), perm=(0, 1, 3, 2, 4, 5))
    return b.op("reshape", pixels, shape=op.result.type.dims)
