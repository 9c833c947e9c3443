"""A gather of one constant index, or of constant indices that follow each other, is a slice.

%1 = gather %x[2,1,128], #0 {axis=0}  ->  reshape(slice %x {starts=(0, 0, 0), stops=(1, 1, 128)})
"""

from __future__ import annotations

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import rewrite


def gather_to_slice(graph: Graph) -> bool:
    return rewrite(graph, _slice)


def _slice(graph: Graph, op: Op) -> Value | None:
    if op.kind != "gather" or op.arg(1).const is None or not op.arg(1).type.size or op.arg(0).const is not None:
        return None
    x, axis = op.arg(0), int(op.attrs["axis"])  # type: ignore[arg-type]
    size = x.type.dims[axis]
    index = graph.array(op.arg(1)).reshape(-1).astype(np.int64)
    if index.min() < -size or index.max() >= size:
        return None
    index = np.where(index < 0, index + size, index)
    if np.any(np.diff(index) != 1):
        return None
    starts = [int(index[0]) if i == axis else 0 for i in range(x.type.rank)]
    stops = [int(index[-1]) + 1 if i == axis else d for i, d in enumerate(x.type.dims)]
    b = Builder(graph, before=op)
    part = b.op("slice", x, starts=tuple(starts), stops=tuple(stops), steps=(1,) * x.type.rank)
    return b.op("reshape", part, shape=op.result.type.dims)
