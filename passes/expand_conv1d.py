"""Writes 1-D convolution and pooling as 2-D with height 1, so that one set of kernels serves both.

%1 = conv %x[N,C,L], #w[O,C,K]  ->  reshape, conv over [N,C,1,L] with [O,C,1,K], reshape
"""

from __future__ import annotations

from typing import Any

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.sweep import sweep

KINDS = ("conv", "conv_transpose", "max_pool", "avg_pool")


def expand_conv1d(graph: Graph) -> bool:
    return sweep(graph, _expanded)


def _expanded(b: Builder, op: Op) -> Value | None:
    if op.kind not in KINDS or op.arg(0).type.rank != 3:
        return None
    at = 2 if op.attrs["layout"] == "nchw" else 1

    def widen(v: Value | None, at: int) -> Value | None:
        return None if v is None else b.op("reshape", v, shape=(*v.type.dims[:at], 1, *v.type.dims[at:]))

    inputs: list[Value | None] = [widen(op.arg(0), at)]
    if op.kind.startswith("conv"):
        inputs += [widen(op.arg(1), 2), *op.inputs[2:3]]
        inputs += [widen(v, at) for v in op.inputs[3:]]
    attrs: dict[str, Any] = dict(op.attrs)
    for name, unit in (("strides", 1), ("dilations", 1), ("kernel", 1), ("output_padding", 0)):
        if name in attrs:
            attrs[name] = (unit, *attrs[name])
    attrs["pads"] = (0, attrs["pads"][0], 0, attrs["pads"][1])
    if attrs.get("ceil_pads"):
        attrs["ceil_pads"] = (0, *attrs["ceil_pads"])
    return b.op("reshape", b.op(op.kind, *inputs, **attrs), shape=op.result.type.dims)
