"""Resize: nearest through index tables, the rest as one weighted sum an axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.ops.resize import axis_taps, resized_axes
from edgec.plan.plan import Pointer
from edgec.targets.c.lower.context import Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.shape import table_move
from edgec.targets.c.lower.strides import dense


def _resize(op: Op, ctx: Lowering) -> None:
    a: Any = op.attrs
    x, y = op.arg(0), op.result
    axes = resized_axes(a, x.type.dims)
    taps = {i: axis_taps(a, i, x.type.dims[i]) for i in axes}
    outside = any(t[2].any() for t in taps.values())
    if a["mode"] == "nearest":
        own = dense(x.type.dims)
        tables = []
        for i, size in enumerate(x.type.dims):
            found = np.where(taps[i][2], -1, taps[i][0][:, 0] * own[i]) if i in taps else np.arange(size) * own[i]
            tables.append([int(s) for s in found])
        table_move(ctx, x, y, tables, a["extrapolation"])
        return
    if x.type.dtype != "f32" or outside:
        raise NotLowered(
            f"resize by {a['mode']} of {x.type.dtype}{' beyond the image' if outside else ''} has no kernel"
        )
    dims = list(x.type.dims)
    source: Pointer = ctx.read(x)
    for axis in axes:
        index, weights, _ = taps[axis]
        size, out = dims[axis], y.type.dims[axis]
        outer, inner = math.prod(dims[:axis]), math.prod(dims[axis + 1 :])
        dims[axis] = out
        to = ctx.write(y) if axis == axes[-1] else ctx.temp(4 * math.prod(dims), "float")
        ctx.call(
            "resize.h", "edgec_resize", source, ctx.sizes(index.ravel()), ctx.pack(weights.astype(np.float32)), to,
            size, out, inner, index.shape[1], tasks=outer * out,
        )  # fmt: skip
        source = Pointer(to.buffer, to.ctype, to.offset)
    if not axes:
        ctx.alias(y, x)


RESIZE: dict[str, LowerOp] = {"resize": _resize}
