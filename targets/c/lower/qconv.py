"""Convolution of bytes over channels-last images, by rows (kernels/qconv.h), and what is one: a matmul over tokens.

Kernels do not know zero points: the bias makes up for them, once for each number of kernel rows that are left out above
and below the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.residual import residual_of
from edgec.ir.rows import row_view
from edgec.plan.plan import Struct
from edgec.targets.c.lower.context import Lowering, NotLowered, Rows
from edgec.targets.c.lower.conv import is_depthwise, operand_strides
from edgec.targets.c.lower.qdepthwise import lower_qdepthwise
from edgec.targets.c.lower.qmatmul import ByteWeights, Finish, finish_of, laid_out, owned, packed_qmatmul, weights_of
from edgec.targets.c.qtiles import choose_qtiles


def lower_qconv(op: Op, ctx: Lowering, x: Rows, y: Rows) -> None:
    attrs: Any = op.attrs
    residual = residual_of(op)
    if is_depthwise(op):
        if len(op.inputs) > 5 and op.inputs[5] is not None:
            raise NotLowered("a depthwise qconv has no kernel for weights in groups")
        if residual is not None:
            raise NotLowered("a depthwise qconv has no kernel that adds other bytes")
        lower_qdepthwise(op, ctx, x, y)
        return
    kernel = weights_of(op, ctx).moved(lambda v: v.transpose(2, 3, 1, 0))  # [kh][kw][c/g][o]
    sizes = {"sh": attrs["strides"][0], "sw": attrs["strides"][1], "dh": attrs["dilations"][0],
             "dw": attrs["dilations"][1], "top": attrs["pads"][0], "left": attrs["pads"][1]}  # fmt: skip
    _, h, _, c = op.arg(0).type.dims
    _, oh, ow, _ = op.result.type.dims
    r = ctx.image_rows(residual) if residual is not None else None
    _qgemm_rows(ctx, x, (h, c), kernel, finish_of(op, ctx), y, attrs["groups"], sizes, oh, ow, ow, r)


def lower_qmatmul_rows(op: Op, ctx: Lowering, rows_of: Callable[[Value], Rows], y: Rows, line: int) -> None:
    """A pointwise convolution over tokens. `line`: the fewest rows a step, where a row is one pixel."""
    view = row_view(op.result.type.dims)
    weights = weights_of(op, ctx)
    sizes = {"sh": 1, "sw": 1, "dh": 1, "dw": 1, "top": 0, "left": 0}
    kernel = weights.moved(lambda v: v.T[np.newaxis, np.newaxis])
    _qgemm_rows(
        ctx, rows_of(op.arg(0)), (view.rows, weights.shape[1]), kernel, finish_of(op, ctx), y, 1, sizes, view.rows,
        view.columns, view.columns if view.columns > 1 else line,
    )  # fmt: skip


def pointwise_qmatmul(op: Op, ctx: Lowering) -> bool:
    """A 1x1 convolution between dense values is one matmul over all pixels: fewer, fuller tiles than row by row."""
    attrs: Any = op.attrs
    x, y, w, residual = op.arg(0), op.result, op.arg(1), residual_of(op)
    plain = w.type.dims[2:] == (1, 1) and attrs["strides"] == (1, 1) and not any(attrs["pads"])
    dense = all(ctx.is_dense(v) for v in (x, y, residual) if v is not None)
    if not plain or attrs["groups"] != 1 or not dense:
        return False
    n, oh, ow, o = y.type.dims
    weights = weights_of(op, ctx).moved(lambda v: v.reshape(o, -1))
    r = ctx.read(residual) if residual is not None else None
    packed_qmatmul(ctx, owned(ctx, x), weights, finish_of(op, ctx), ctx.write(y), n * oh * ow, r)
    return True


def _qgemm_rows(
    ctx: Lowering, x: Rows, image: tuple[int, int], given: ByteWeights, finish: Finish, y: Rows, groups: int,
    sizes: dict[str, int], oh: int, ow: int, line: int, r: Rows | None = None,
) -> None:  # fmt: skip
    """One call of edgec_qconv; `image` is rows and channels of x, kernel is [kh][kw][c/g][o], r is added. `line` is the
    fewest pixels that a step brings side by side."""
    h, c = image
    kernel = given.bytes
    kh, kw, gc, o = kernel.shape
    oc = o // groups
    one_run = sizes["dw"] == 1 and groups == 1 and given.joins(gc)  # a kernel row is one run of bytes
    runs = given.moved(lambda v: v.reshape(kh, kw * gc, o) if one_run else v.reshape(kh * kw, gc, o))
    segments, length, _ = runs.shape
    merged = kh * kw == 1 and x.row == ow * sizes["sw"] * c  # edgec_qgemm
    result, factors = finish.multipliers(ctx.isa, kernel.reshape(-1, o).T)
    four, onto = given.times is not None, r is not None
    tiles = choose_qtiles(ctx.isa, oh * ow if merged else ow, oc, length, line, segments, result, four, onto)
    of_groups = [runs.moved(lambda v, at=g * oc: v[..., at : at + oc]) for g in range(groups)]  # type: ignore[misc]
    parts = [tiles.pack(part.codes, part.times) for part in of_groups]
    columns = tiles.tiles.packed_columns(oc)
    above, below = _left_out(h, oh, kh, sizes)
    biases = [
        finish.folded(kernel[top : max(top, kh - bottom)].sum((0, 1, 2), dtype=np.int64)).reshape(groups, oc)
        for top in range(above + 1)
        for bottom in range(below + 1)
    ]
    by, r_steps = (
        ctx.pack(tiles.pack_columns(v.reshape(groups, oc))) if v is not None else None
        for v in (factors, finish.r_steps)
    )
    fields = {"h": h, "c": c, "ow": ow, "oc": oc, "kh": kh, "kw": kw, **sizes, "groups": groups, "gc": gc,
              **operand_strides("x", x), **operand_strides("y", y), "y_pixel": o,
              **operand_strides("r", r),
              "b_row": parts[0].size // (kh * columns), "taps": int(not one_run), "b_group": parts[0].size,
              "columns": columns, "below": below, "lo": finish.lo, "hi": finish.hi}  # fmt: skip
    ctx.call(
        tiles.header or "qconv.h", "edgec_qconv", x.read(), ctx.pack(np.concatenate(parts), kind=tiles.kind),
        ctx.pack(tiles.pack_columns(np.stack(biases))), by, r.read() if r is not None else None, r_steps, y.write(),
        Struct("edgec_qconv_shape", tuple(fields.items())), tiles.struct(), macs=oh * ow * o * kh * kw * gc,
        instances=(laid_out(ctx.isa), *tiles.instances()),
    )  # fmt: skip


def _left_out(h: int, oh: int, kh: int, sizes: dict[str, int]) -> tuple[int, int]:
    """Most kernel rows of a result row that lie above the image, and below it (edgec_kernel_rows)."""
    above = below = 0
    for oy in range(oh):
        rows = [oy * sizes["sh"] - sizes["top"] + ky * sizes["dh"] for ky in range(kh)]
        outside = sum(row < 0 for row in rows)
        above = max(above, outside)
        below = max(below, min(kh - outside, sum(row >= h for row in rows)))
    return above, below
