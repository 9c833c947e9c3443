"""Gives 2-D convolution and pooling their channels last, with transposes around them; sink_transposes removes those.

%1 = conv %x {layout="nchw"}  ->  transpose(0,2,3,1), conv {layout="nhwc"}, transpose(0,3,1,2)
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.sweep import sweep

KINDS = ("conv", "conv_transpose", "max_pool", "avg_pool")
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def to_channels_last(graph: Graph) -> bool:
    return sweep(graph, _turned)


def _turned(b: Builder, op: Op) -> Value | None:
    if op.kind not in KINDS or op.attrs["layout"] != "nchw" or op.arg(0).type.rank != 4:
        return None
    inputs = list(op.inputs)
    for i in (0, 3):
        if i < len(inputs) and inputs[i] is not None:
            inputs[i] = b.op("transpose", inputs[i], perm=TO_LAST)
    made = b.op(op.kind, *inputs, **{**op.attrs, "layout": "nhwc"})
    return b.op("transpose", made, perm=TO_FIRST)
