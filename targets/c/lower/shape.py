"""Ops that move elements: aliases where the bytes stay, strided copies, copies through index tables, gather."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.plan.plan import Pointer
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp
from edgec.targets.c.lower.strides import broadcast_strides, collapse, dense

CHUNK = 512  # EDGEC_TRANSPOSE_CHUNK


def move(
    ctx: Lowering, x: Pointer, y: Pointer, bits: int, dims: Sequence[int], sx: Sequence[int], sy: Sequence[int],
    base_x: int = 0, base_y: int = 0,
) -> None:  # fmt: skip
    """y[base_y + i*sy] = x[base_x + i*sx] over `dims`, in elements of `bits`."""
    if 0 in dims:
        return
    out, (fx, fy) = collapse(dims, [sx, sy])
    ctype, size = f"uint{bits}_t", bits // 8
    source = replace(x, ctype=ctype, offset=x.offset + base_x * size, write=False)
    target = replace(y, ctype=ctype, offset=y.offset + base_y * size, write=True)
    if bits == 32 and (turned := _turned(out, fx, fy)) is not None:
        _transpose_tiles(ctx, source, target, turned)
        return
    ctx.call(
        "move.h", f"edgec_move_{bits}", source, target, ctx.sizes(out), ctx.sizes(fx), ctx.sizes(fy), len(out),
        tasks=math.prod(out[:-1]), instances=(f"EDGEC_MOVE({bits})",),
    )  # fmt: skip


@dataclass(frozen=True)
class Turned:
    """A move as transposes: `rows` lie side by side in the result, `columns` in the source; the other loops around."""

    rows: int
    columns: int
    sx: int
    sy: int
    dims: list[int]
    around_x: list[int]
    around_y: list[int]


def _turned(dims: Sequence[int], sx: Sequence[int], sy: Sequence[int]) -> Turned | None:
    """The transposes that a move consists of, where they fill register tiles."""
    last = len(dims) - 1
    at = next((i for i in range(last) if sx[i] == 1), None)
    if at is None or sy[last] != 1 or sx[last] == 1:
        return None
    rows, columns = dims[last], dims[at]
    three = (rows == 3 and sy[at] == 3) or (columns == 3 and sx[last] == 3)
    if not three and min(rows, columns) < 4:
        return None
    rest = [i for i in range(last) if i != at]
    around = [[s[i] for i in rest] for s in (dims, sx, sy)]
    return Turned(rows, columns, sx[last], sy[at], *around)


def _transpose_tiles(ctx: Lowering, x: Pointer, y: Pointer, t: Turned) -> None:
    chunks = -(-max(t.rows, t.columns) // CHUNK)
    ctx.call(
        "transpose.h", "edgec_transpose", x, y, ctx.sizes([*t.dims, 1]), ctx.sizes([*t.around_x, 0]),
        ctx.sizes([*t.around_y, 0]), len(t.dims) + 1, t.rows, t.columns, t.sx, t.sy, tasks=math.prod(t.dims) * chunks,
    )  # fmt: skip


def _bits(value: Value) -> int:
    return 8 * value.type.numpy.itemsize


def _reshape(op: Op, ctx: Lowering) -> None:
    ctx.alias(op.result, op.arg(0))


def _transpose(op: Op, ctx: Lowering) -> None:
    perm: Any = op.attrs["perm"]
    own = dense(op.arg(0).type.dims)
    dims = op.result.type.dims
    move(ctx, ctx.read(op.arg(0)), ctx.write(op.result), _bits(op.result), dims, [own[p] for p in perm], dense(dims))


def _broadcast(op: Op, ctx: Lowering) -> None:
    dims = op.result.type.dims
    strides = broadcast_strides(op.arg(0).type.dims, dims)
    move(ctx, ctx.read(op.arg(0)), ctx.write(op.result), _bits(op.result), dims, strides, dense(dims))


def _slice(op: Op, ctx: Lowering) -> None:
    a: Any = op.attrs
    x, dims = op.arg(0), op.result.type.dims
    own = dense(x.type.dims)
    base = sum(s * t for s, t in zip(a["starts"], own, strict=True))
    steps = [s * t for s, t in zip(a["steps"], own, strict=True)]
    move(ctx, ctx.read(x), ctx.write(op.result), _bits(x), dims, steps, dense(dims), base_x=base)


def _concat(op: Op, ctx: Lowering) -> None:
    axis: Any = op.attrs["axis"]
    whole = dense(op.result.type.dims)
    at = 0
    for i in range(len(op.inputs)):
        part = op.arg(i)
        move(
            ctx, ctx.read(part), ctx.write(op.result), _bits(part), part.type.dims, dense(part.type.dims), whole,
            base_y=at * whole[axis],
        )  # fmt: skip
        at += part.type.dims[axis]


def _sources(mode: str, size: int, before: int, after: int) -> list[int]:
    """Index of the source element for each element of a padded axis; -1 for a fill."""
    if mode == "constant":
        return [-1] * before + list(range(size)) + [-1] * after
    return np.pad(np.arange(size), (before, after), mode=mode).tolist()  # type: ignore[call-overload, no-any-return]


def _pad(op: Op, ctx: Lowering) -> None:
    a: Any = op.attrs
    x, y = op.arg(0), op.result
    if not y.type.size:
        return
    if y.type.rank == 0:
        ctx.alias(y, x)
        return
    own = dense(x.type.dims)
    tables: list[list[int]] = []
    for i, size in enumerate(x.type.dims):
        table = [j * own[i] if j >= 0 else -1 for j in _sources(a["mode"], size, a["before"][i], a["after"][i])]
        untouched = not a["before"][i] and not a["after"][i]
        if tables and untouched and _whole(tables[-1], own[i] * size):
            # an untouched axis below another merges into it
            tables[-1] = [t + u if t >= 0 else -1 for t in tables[-1] for u in table]
        else:
            tables.append(table)
    table_move(ctx, x, y, tables, a["value"])


def table_move(ctx: Lowering, x: Value, y: Value, tables: list[list[int]], fill: float) -> None:
    """y[i, j …] = x at tables[0][i] + tables[1][j] + … elements, or `fill` where an entry is negative."""
    dims = [len(t) for t in tables]
    value = ctx.pack(np.asarray(fill).astype(y.type.numpy))
    bits = _bits(y)
    ctx.call(
        "move.h", f"edgec_table_move_{bits}", ctx.read(x, f"uint{bits}_t"),
        Pointer(value.buffer, f"uint{bits}_t", value.offset), ctx.write(y, f"uint{bits}_t"), ctx.sizes(dims),
        ctx.sizes([t for table in tables for t in table]), len(dims), tasks=math.prod(dims[:-1]),
        instances=(f"EDGEC_TABLE_MOVE({bits})",),
    )  # fmt: skip


def _whole(table: list[int], step: int) -> bool:
    """Small enough to be multiplied out."""
    return len(table) * step < 4096


def _gather(op: Op, ctx: Lowering) -> None:
    x, index, axis = op.arg(0), op.arg(1), int(op.attrs["axis"])  # type: ignore[arg-type]
    dims = x.type.dims
    if not op.result.type.size:
        return
    inner = math.prod(dims[axis + 1 :]) * x.type.numpy.itemsize
    ctype = CTYPES[index.type.dtype]
    ctx.call(
        "move.h", f"edgec_gather_{ctype}", ctx.read(x, "uint8_t"), ctx.read(index), ctx.write(op.result, "uint8_t"),
        dims[axis], index.type.size, inner, tasks=math.prod(dims[:axis]) * index.type.size,
        instances=(f"EDGEC_GATHER({ctype})",),
    )  # fmt: skip


SHAPE: dict[str, LowerOp] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast,
    "slice": _slice,
    "concat": _concat,
    "pad": _pad,
    "gather": _gather,
}
