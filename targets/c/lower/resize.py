"""Resize: float32 images by rows; else nearest through index tables, the rest as one weighted sum an axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.ops.resize import axis_taps, resized_axes, whole_taps
from edgec.plan.plan import Pointer
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, NotLowered, Rows
from edgec.targets.c.lower.rows import rows_struct
from edgec.targets.c.lower.shape import table_move
from edgec.targets.c.lower.strides import broadcast_strides, collapse, dense
from edgec.targets.c.requant import check_bytes

ROW_TAPS = 16  # EDGEC_RESIZE_TAPS


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
    dtype = x.type.dtype
    if dtype not in ("f32", "f64"):
        raise NotLowered(f"resize by {a['mode']} has kernels for f32 and f64, not for {dtype}")
    if not axes:
        ctx.alias(y, x)
        return
    dims, ctype = list(x.type.dims), CTYPES[dtype]
    source: Pointer = ctx.read(x)
    for axis in axes:
        index, weights, _ = taps[axis]
        size, out = dims[axis], y.type.dims[axis]
        outer, inner = math.prod(dims[:axis]), math.prod(dims[axis + 1 :])
        dims[axis] = out
        last = axis == axes[-1] and not outside
        to = ctx.write(y) if last else ctx.temp(x.type.numpy.itemsize * math.prod(dims), ctype)
        ctx.call(
            "resize.h", f"edgec_resize_{dtype}", source, ctx.sizes(index.ravel()),
            ctx.pack(weights.astype(x.type.numpy)), to, size, out, inner, index.shape[1], tasks=outer * out,
            instances=(f"EDGEC_RESIZE({dtype}, {ctype})",),
        )  # fmt: skip
        source = Pointer(to.buffer, to.ctype, to.offset)
    if outside:
        _fill_outside(ctx, y, source, {i: taps[i][2] for i in axes}, float(a["extrapolation"]))


def resize_has_rows(op: Op) -> bool:
    """Images of float32 or bytes whose rows or columns are resized, by few enough taps."""
    dims = op.arg(0).type.dims
    axes = resized_axes(op.attrs, dims)
    few = all(axis_taps(op.attrs, axis, dims[axis])[0].shape[1] <= ROW_TAPS for axis in axes)
    if op.kind == "qresize":
        return few
    return op.arg(0).type.dtype == "f32" and bool(axes) and set(axes) <= {1, 2} and few


def lower_resize_rows(op: Op, ctx: Lowering, x: Rows, y: Rows) -> None:
    """By rows and columns at once."""
    _, h, w, _ = op.arg(0).type.dims
    axes = resized_axes(op.attrs, op.arg(0).type.dims)
    args: list[Pointer] = []
    taps = []
    for axis, size in ((1, h), (2, w)):
        index, weights = np.arange(size)[:, None], np.ones((size, 1))
        if axis in axes:
            index, weights, _ = axis_taps(op.attrs, axis, size)
            # a tap without weight must read what is there: the row rule asks for no other rows
            index = np.where(weights != 0, index, index[np.arange(len(index)), np.argmax(weights != 0, 1)][:, None])
        args += [ctx.sizes(index.ravel()), ctx.pack(weights.astype(np.float32))]
        taps.append(index.shape[1])
    dims = op.result.type.dims
    ctx.call("resize.h", "edgec_resize_rows", x.read(), *args, y.write(), rows_struct(dims, x, y), *taps)


def lower_qresize(op: Op, ctx: Lowering, x: Rows, y: Rows) -> None:
    """Bytes, by rows and columns at once (kernels/qresize.h)."""
    check_bytes(op, ctx.isa)
    found = [whole_taps(op.attrs, axis, op.arg(0).type.dims[axis]) for axis in (1, 2)]
    few = all(not np.any(whole % 8) for _, whole in found)
    args: list[Pointer] = []
    for index, whole in found:
        args += [ctx.sizes(index.ravel()), ctx.pack((whole // 8 if few else whole).astype(np.int16))]
    shape = rows_struct(op.result.type.dims, x, y)
    ctx.call(
        "qresize.h", "edgec_qresize_sixteenths" if few else "edgec_qresize_rows", x.read(), *args, y.write(), shape,
        *(index.shape[1] for index, _ in found),
    )  # fmt: skip


def _fill_outside(ctx: Lowering, y: Value, inside: Pointer, beyond: dict[int, np.ndarray], number: float) -> None:
    """y = inside, but `number` where one of the axes lies beyond the image."""
    rank = y.type.rank
    mask = np.zeros((1,) * rank, np.bool_)
    for axis, found in beyond.items():
        mask = mask | found.reshape([-1 if i == axis else 1 for i in range(rank)])
    dims = y.type.dims
    fill = np.asarray(number, y.type.numpy).reshape((1,) * rank)
    out, strides = collapse(dims, [broadcast_strides(d, dims) for d in (mask.shape, fill.shape, dims)])
    bits = 8 * y.type.numpy.itemsize
    ctype = f"uint{bits}_t"
    ctx.call(
        "map.h", f"edgec_where_{bits}", ctx.pack(mask, "uint8_t"), ctx.pack(fill, ctype),
        Pointer(inside.buffer, ctype, inside.offset), ctx.write(y, ctype), ctx.sizes(out),
        *(ctx.sizes(s) for s in strides), len(out), tasks=math.prod(out[:-1]), instances=(f"EDGEC_WHERE({bits})",),
    )  # fmt: skip


RESIZE: dict[str, LowerOp] = {"resize": _resize}
