"""Attention: one call over query rows."""

from __future__ import annotations

import math

import numpy as np

from edgec.ir.graph import Op
from edgec.plan.plan import Struct
from edgec.targets.c.lower.context import Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.strides import broadcast_strides

LONGEST = 128  # EDGEC_ATTENTION_LONGEST
FEWEST = 3  # queries that are worth a block


def _attention(op: Op, ctx: Lowering) -> None:
    q, k, v = (op.arg(i) for i in range(3))
    if q.type.dtype != "f32":
        raise NotLowered(f"attention of {q.type.dtype} has no kernel")
    mask = op.inputs[3] if len(op.inputs) > 3 else None
    b, heads, n, d = q.type.dims
    m, e = k.type.dims[2], v.type.dims[3]
    if not op.result.type.size:
        return
    if mask is not None and mask.type.dtype not in ("bool", "f32"):
        raise NotLowered(f"attention with a mask of {mask.type.dtype} has no kernel")
    block = n >= FEWEST and max(d, e) <= LONGEST
    strides = broadcast_strides(mask.type.dims, (b, heads, n, m)) if mask is not None else [0] * 4
    given = ctx.read(mask, "void") if mask is not None else None
    if block and mask is not None and mask.const is not None and mask.type.dims[-2:] == (n, m):
        # a block reads the mask of several queries at once
        given = ctx.pack(np.swapaxes(ctx.graph.array(mask), -1, -2), "void")
        strides[2:] = [1, n]
    fields = {"heads": heads, "kv_heads": k.type.dims[1], "n": n, "m": m, "d": d, "e": e, "mb": strides[0],
              "mh": strides[1], "mn": strides[2], "mm": strides[3], "causal": int(bool(op.attrs["causal"])),
              "boolean": int(mask is not None and mask.type.dtype == "bool"),
              "scale": float(op.attrs["scale"])}  # type: ignore[arg-type]  # fmt: skip
    queries = min(16, 2 * ctx.lanes) if block else 1  # EDGEC_ATTENTION_QUERIES
    ctx.call(
        "attention.h", "edgec_attention_block" if block else "edgec_attention", ctx.read(q), ctx.read(k), ctx.read(v),
        given, ctx.write(op.result),
        Struct("edgec_attention_shape", tuple(fields.items())), tasks=math.prod((b, heads, -(-n // queries))),
        macs=b * heads * n * m * (d + e),
    )  # fmt: skip


ATTENTION: dict[str, LowerOp] = {"attention": _attention}
