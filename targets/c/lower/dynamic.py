"""Bytes whose scales are found at run time (kernels/dynamic.h)."""

from __future__ import annotations

import math

from edgec.ir.graph import Op
from edgec.targets.c.lower.context import Lowering, LowerOp
from edgec.targets.c.requant import check_bytes


def _quantize_rows(op: Op, ctx: Lowering) -> None:
    x, (y, scale, zero) = op.arg(0), op.results
    check_bytes(op, ctx.isa, [y])
    rows, k = math.prod(x.type.dims[:-1]), x.type.dims[-1]
    if rows:
        ctx.call(
            "dynamic.h", "edgec_quantize_rows", ctx.read(x), ctx.write(y), ctx.write(scale), ctx.write(zero), k,
            tasks=rows,
        )  # fmt: skip


def _dequantize_rows(op: Op, ctx: Lowering) -> None:
    y = op.result
    bias = op.inputs[5] if len(op.inputs) > 5 else None
    if y.type.size:
        ctx.call(
            "dynamic.h", "edgec_dequantize_rows", *(ctx.read(op.arg(i)) for i in range(5)),
            ctx.read(bias) if bias is not None else None, ctx.write(y), y.type.dims[-1],
            tasks=math.prod(y.type.dims[:-1]),
        )  # fmt: skip


DYNAMIC: dict[str, LowerOp] = {"quantize_rows": _quantize_rows, "dequantize_rows": _dequantize_rows}
