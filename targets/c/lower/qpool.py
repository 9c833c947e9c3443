"""Sums and maxima of bytes: pooling by rows (kernels/qpool.h), and what has no rows."""

from __future__ import annotations

import math
from typing import Any

from edgec.ir.graph import Op
from edgec.plan.plan import Arg, Struct
from edgec.targets.c.lower.context import Lowering, Rows
from edgec.targets.c.lower.conv import lower_pool, operand_strides
from edgec.targets.c.lower.reduce import axis_runs
from edgec.targets.c.lower.strides import collapse, dense
from edgec.targets.c.lower.window import window_fields, window_struct
from edgec.targets.c.requant import check_bytes, scale_fields

FEW = 8  # channels that are worth a register


def lower_qpool(op: Op, ctx: Lowering, x: Rows, y: Rows) -> None:
    """Rows of a maximum or a sum under a window."""
    attrs: Any = op.attrs
    _, h, w, c = op.arg(0).type.dims
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel"], attrs["strides"], attrs["dilations"]
    sums = op.kind == "qsum_pool"
    fields = {"h": h, "w": w, "c": c, "ow": op.result.type.dims[2], "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh,
              "dw": dw, "top": attrs["pads"][0], "left": attrs["pads"][1], **operand_strides("x", x),
              **operand_strides("y", y)}  # fmt: skip
    if sums:
        check_bytes(op, ctx.isa)
        fields |= {"x_zero": attrs["x_zero"], **scale_fields(op, ctx.isa, "scale.")}
    flip = () if sums else (0 if op.result.type.dtype == ctx.isa.byte else 0x80,)
    ctx.call(
        "qpool.h", "edgec_qsum_pool" if sums else "edgec_qmax_pool", x.read(), y.write(),
        Struct("edgec_qpool_shape", tuple(fields.items())), *flip,
    )  # fmt: skip


def lower_max_pool(op: Op, ctx: Lowering, x: Rows, y: Rows) -> None:
    (lower_pool if op.result.type.dtype in ("f32", "f16") else lower_qpool)(op, ctx, x, y)


def lower_qsum_pool(op: Op, ctx: Lowering) -> None:
    """Other layouts, and one or three dimensions."""
    kernel: Any = op.attrs["kernel"]
    check_bytes(op, ctx.isa)
    fields = window_fields(op, kernel)
    if op.result.type.size:
        ctx.call(
            "qpool.h", "edgec_qsum_pool_any", ctx.read(op.arg(0)), ctx.write(op.result), window_struct(fields),
            int(op.attrs["x_zero"]), _scale(op, ctx),  # type: ignore[arg-type]
            tasks=op.result.type.dims[0] * fields["channels"],
        )  # fmt: skip


def lower_qsum(op: Op, ctx: Lowering) -> None:
    attrs: Any = op.attrs
    x, axes = op.arg(0), attrs["axes"]
    sums = op.result.type.dtype == "i32"
    check_bytes(op, ctx.isa, (x,) if sums else None)
    if not op.result.type.size:
        return
    wide, finish = ("_wide", int(attrs["bias"])) if sums else ("", _scale(op, ctx))
    dims = x.type.dims
    runs = axis_runs(axes, dims) or [(0, 0)]
    first, last = runs[0]
    inner = math.prod(dims[last:])
    if len(runs) == 1 and inner >= FEW:
        blocks = -(-inner // (4 * ctx.isa.lanes))
        ctx.call(
            "qpool.h", f"edgec_qsum{wide}", ctx.read(x), ctx.write(op.result), math.prod(dims[first:last]), inner,
            finish, tasks=math.prod(dims[:first]) * blocks,
        )  # fmt: skip
        return
    strides = dense(dims)
    parts: list[Arg] = []
    for gone in (False, True):
        chosen = [i for i in range(len(dims)) if (i in axes) == gone]
        lengths, (steps,) = collapse([dims[i] for i in chosen], [[strides[i] for i in chosen]])
        parts += [ctx.sizes(lengths), ctx.sizes(steps), len(lengths)]
    count = math.prod(dims[i] for i in axes)
    ctx.call(
        "qpool.h", f"edgec_qsum_any{wide}", ctx.read(x), ctx.write(op.result), *parts, count, finish,
        tasks=op.result.type.size,
    )  # fmt: skip


def _scale(op: Op, ctx: Lowering) -> Struct:
    return Struct("edgec_qscale", tuple(scale_fields(op, ctx.isa).items()))
