"""An image one pixel wide lies on its side: kernels make tiles of pixels along a row.

%1 = conv %x[1,512,1,256], #w[512,256,5,1]  ->  reshape(conv(reshape %x {shape=(1, 1, 512, 256)}, #w[512,256,1,5]))
"""

from __future__ import annotations

from typing import Any

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import rewrite

_KINDS = ("conv", "max_pool", "avg_pool")
_PAIRS = ("kernel", "strides", "dilations", "ceil_pads")


def lay_flat(graph: Graph) -> bool:
    return rewrite(graph, _flat)


def _flat(graph: Graph, op: Op) -> Value | None:
    if op.kind not in _KINDS or op.attrs["layout"] != "nhwc" or op.arg(0).type.rank != 4:
        return None
    y = op.result.type.dims
    if op.arg(0).type.dims[2] != 1 or y[2] != 1 or op.arg(0).type.dims[1] == 1:
        return None
    attrs: dict[str, Any] = dict(op.attrs)
    if op.kind == "conv" and (op.arg(1).type.dims[3] != 1 or op.arg(1).const is None):
        return None
    if op.kind != "conv" and attrs["kernel"][1] != 1:
        return None
    for name in _PAIRS:
        if attrs.get(name):
            attrs[name] = (attrs[name][1], attrs[name][0])
    top, left, bottom, right = attrs["pads"]
    if left or right:
        return None
    attrs["pads"] = (left, top, right, bottom)
    b = Builder(graph, before=op)
    inputs = list(op.inputs)
    for i in (0, 3):
        if i < len(inputs) and (value := inputs[i]) is not None:
            inputs[i] = b.op("reshape", value, shape=_turned(value.type.dims))
    if op.kind == "conv":
        inputs[1] = b.op("transpose", op.arg(1), perm=(0, 1, 3, 2))
    return b.op("reshape", b.op(op.kind, *inputs, **attrs), shape=y)


def _turned(dims: tuple[int, ...]) -> tuple[int, ...]:
    return (dims[0], dims[2], dims[1], dims[3])
