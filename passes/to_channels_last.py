"""Gives 2-D convolution and pooling their channels last, with transposes around them; sink_transposes removes those.

%1 = conv %x {layout="nchw"}  ->  transpose(0,2,3,1), conv {layout="nhwc"}, transpose(0,3,1,2)
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Value

KINDS = ("conv", "conv_transpose", "max_pool", "avg_pool")
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def to_channels_last(graph: Graph) -> bool:
    changed = False
    old, graph.ops = graph.ops, []
    renamed: dict[Value, Value] = {}
    for op in old:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        if op.kind not in KINDS or op.attrs["layout"] != "nchw" or op.arg(0).type.rank != 4:
            graph.ops.append(op)
            continue
        b = Builder(graph, source=op.source)
        inputs = list(op.inputs)
        for i in (0, 3):
            if i < len(inputs) and inputs[i] is not None:
                inputs[i] = b.op("transpose", inputs[i], perm=TO_LAST)
        made = b.op(op.kind, *inputs, **{**op.attrs, "layout": "nhwc"})
        renamed[op.result] = b.op("transpose", made, perm=TO_FIRST)
        changed = True
    graph.replace_leaving(renamed)
    return changed
