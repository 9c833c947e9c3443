"""Matmul: the right operand packed at compile time where it is constant, at run time where it is not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.types import dtype_name
from edgec.plan.plan import Pointer
from edgec.targets.c.bf16tiles import READ_BEHIND, choose_bf16_tiles
from edgec.targets.c.coded import (
    FORMS,
    AnyTiles,
    Coded,
    Weights,
    choose_coded_tiles,
    header_of,
    pack_bias,
    pack_runs,
    weights_of,
)
from edgec.targets.c.float8tiles import choose_float8_tiles
from edgec.targets.c.lower.activation import fused, row_activation
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.elementwise import broadcast2
from edgec.targets.c.lower.strides import broadcast_strides
from edgec.targets.c.tiles import choose_tiles


def packed_matmul(
    ctx: Lowering, a: Pointer, weights: Weights, bias: np.ndarray | None, residual: Pointer | None, y: Pointer,
    rows: int, act: str,
) -> None:  # fmt: skip
    """y[rows][n] = act(a[rows][k] @ weights[k][n] + bias + residual)."""
    k, n = weights.shape
    if not rows or not n:
        return
    numbers = ctx.products(dtype_name(weights.dtype), a.ctype, y.ctype)
    form = fused(act, numbers)
    tiles: AnyTiles
    if isinstance(weights, Coded) and numbers.dtype == "u8":
        tiles = choose_float8_tiles(numbers, weights.form.format, rows, n, k)
    elif isinstance(weights, Coded):
        tiles = choose_coded_tiles(numbers.isa, weights.form, rows, n, k)
    elif numbers.dtype == "bf16":
        tiles = choose_bf16_tiles(numbers, rows, n, k)
    else:
        tiles = choose_tiles(numbers, rows, n, k)
    packed, column = pack_runs(tiles, weights.reshape(1, k, n))
    # whole tiles in every chunk but the last, which has the rows left over too
    chunk = max(1, rows // (task_count(rows, n * k) * tiles.mr)) * tiles.mr
    ctx.call(
        header_of(tiles, numbers.header("matmul.h")), numbers.function("matmul_packed"), a,
        ctx.pack(packed, numbers.ctype, tiles.kind), ctx.pack(pack_bias(tiles, weights, bias, n)), residual, y, rows, n,
        k, column, chunk, form.lo, form.hi, tiles.struct(), form.row, tasks=rows // chunk, macs=rows * n * k,
        instances=tiles.instances(),
    )  # fmt: skip


def owned(ctx: Lowering, value: Value) -> Pointer:
    """A left operand: bytes behind one of bf16 may be read, so that what the caller owns is copied first."""
    source = ctx.read(value)
    if value.type.dtype != "bf16" or source.buffer.space == "scratch":
        return source
    copy = ctx.temp(value.type.nbytes + READ_BEHIND, source.ctype)
    ctx.copy(replace(copy, ctype="void"), replace(source, ctype="void"), value.type.nbytes)
    return copy


def task_count(rows: int, work: int) -> int:
    """Tasks: at least 64 k multiply-adds and 48 rows each, at most 16."""
    return max(1, min(16, rows // 48, rows * work // 65536))


def multiplied(op: Op, weights: Weights) -> Weights:
    """Weights with the scale of the operand among theirs, where that is read as 8-bit floats."""
    if not op.attrs["format"]:
        return weights
    if not isinstance(weights, Coded) or weights.form != FORMS[str(op.attrs["format"])]:
        raise NotLowered(f"{op.kind} of 8-bit floats needs weights of the same format, with a scale a channel")
    scale: Any = op.attrs["scale"]
    return Coded(weights.form, weights.codes, weights.scales * np.float32(scale), weights.zeros)


def matrix(op: Op, ctx: Lowering) -> Weights:
    """The constant right operand as [k][n]."""
    b = op.arg(1)
    rank, turned = b.type.rank, bool(op.attrs["trans_b"])
    k, n = (rank - 1, rank - 2) if turned else (rank - 2, rank - 1)
    weights = multiplied(op, weights_of(ctx.graph, b, n, k)).reshape(*b.type.dims[-2:])
    return weights.transpose(1, 0) if turned else weights


def bias_vector(op: Op) -> Value | None:
    """A constant bias of one number a column, or one for all."""
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    n = op.result.type.dims[-1]
    if bias is None or bias.const is None or bias.type.size not in (1, n):
        return None
    return bias if bias.type.size == 1 or bias.type.dims[-1] == n else None


def bias_array(op: Op, ctx: Lowering) -> np.ndarray | None:
    """The same, as an array of one number a column."""
    bias = bias_vector(op)
    return np.broadcast_to(ctx.graph.array(bias).reshape(-1), (op.result.type.dims[-1],)) if bias is not None else None


def _matmul(op: Op, ctx: Lowering) -> None:
    a, b, y = op.arg(0), op.arg(1), op.result
    if y.type.size == 0:
        return
    if a.type.dtype not in ("f32", "f16") and not op.attrs["to"]:
        _any_type(op, ctx)
        return
    act = str(op.attrs["act"])
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    vector = bias_array(op, ctx)
    late = bias is not None and vector is None
    if b.const is not None and math.prod(b.type.dims[:-2]) == 1:
        weights = matrix(op, ctx)
        rows = y.type.size // y.type.dims[-1]
        residual = None
        if late and bias is not None and bias.type.dims == y.type.dims:
            residual, late = ctx.read(bias), False
        if op.attrs["to"] and late:
            raise NotLowered("matmul of bf16 or 8-bit floats has no kernel for a bias of this shape")
        packed_matmul(ctx, owned(ctx, a), weights, vector, residual, ctx.write(y), rows, "" if late else act)
    elif op.attrs["to"]:
        raise NotLowered("matmul of bf16 or 8-bit floats needs weights that are known at compile time")
    else:
        _batched(op, ctx, vector, "" if late else act)
    if late and bias is not None:
        dtype = y.type.dtype
        broadcast2(
            ctx, ctx.read(y), y.type.dims, ctx.read(bias), bias.type.dims, ctx.write(y), y.type.dims,
            f"edgec_add_{dtype}", f"EDGEC_MAP2(add_{dtype}, {CTYPES[dtype]}, {CTYPES[dtype]}, x + z)", True,
        )  # fmt: skip
        if act:
            row_activation(ctx, y, act)


def _batches(a: Value, b: Value, y: Value) -> tuple[list[int], list[int], list[int]]:
    """Batch lengths of the result, and the operands' strides over them in elements."""
    dims = list(y.type.dims[:-2])
    sa = broadcast_strides(a.type.dims[:-2], dims)
    sb = broadcast_strides(b.type.dims[:-2], dims)
    ma, mb = math.prod(a.type.dims[-2:]), math.prod(b.type.dims[-2:])
    return [*dims, 1], [*(s * ma for s in sa), 0], [*(s * mb for s in sb), 0]


def _batched(op: Op, ctx: Lowering, vector: np.ndarray | None, act: str) -> None:
    a, b, y = op.arg(0), op.arg(1), op.result
    m, n = y.type.dims[-2:]
    k = a.type.dims[-1]
    dims, sa, sb = _batches(a, b, y)
    numbers = ctx.element(y.type.dtype)
    form = fused(act, numbers)
    tiles = choose_tiles(numbers, m, n, k)
    panel = ctx.temp(y.type.numpy.itemsize * k * tiles.packed_columns(n), CTYPES[numbers.dtype])
    batches = math.prod(dims)
    ctx.call(
        numbers.header("matmul.h"), numbers.function("matmul_batched"), ctx.read(a), ctx.read(b),
        ctx.pack(tiles.pack_bias(vector, n)), ctx.write(y), panel, ctx.sizes(dims), ctx.sizes(sa), ctx.sizes(sb),
        len(dims), batches, m, n, k, int(bool(op.attrs["trans_b"])), form.lo, form.hi, tiles.struct(), form.row,
        macs=batches * m * n * k, instances=tiles.instances(),
    )  # fmt: skip


def run_time_matmul(ctx: Lowering, a: Pointer, b: Pointer, y: Pointer, m: int, n: int, k: int) -> None:
    """y[m][n] = a[m][k] @ b[n][k] transposed, with b known at run time only."""
    if not m or not n:
        return
    tiles = choose_tiles(ctx.element("f32"), m, n, k)
    panel = ctx.temp(4 * k * tiles.packed_columns(n), "float")
    form = fused("")
    ctx.call(
        "matmul.h", "edgec_matmul_batched", a, b, ctx.pack(tiles.pack_bias(None, n)), y, panel, ctx.sizes([1]),
        ctx.sizes([0]), ctx.sizes([0]), 1, 1, m, n, k, 1, form.lo, form.hi, tiles.struct(), None, macs=m * n * k,
        instances=tiles.instances(),
    )  # fmt: skip


def _any_type(op: Op, ctx: Lowering) -> None:
    """Any other dtype: three plain loops."""
    a, b, y = op.arg(0), op.arg(1), op.result
    dtype = y.type.dtype
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if dtype in ("f16", "bf16") or op.attrs["act"] or bias is not None:
        raise NotLowered(f"matmul of {dtype} has no kernel")
    dims, sa, sb = _batches(a, b, y)
    t = CTYPES[dtype]
    wide = t if dtype == "f64" else "uint64_t" if dtype in ("i64", "u64") else "uint32_t"
    m, n = y.type.dims[-2:]
    ctx.call(
        "any.h", f"edgec_matmul_{dtype}", ctx.read(a), ctx.read(b), ctx.write(y), ctx.sizes(dims), ctx.sizes(sa),
        ctx.sizes(sb), len(dims), m, n, a.type.dims[-1], int(bool(op.attrs["trans_b"])), tasks=math.prod(dims),
        macs=math.prod(dims) * m * n * a.type.dims[-1], instances=(f"EDGEC_MATMUL_ANY({dtype}, {t}, {wide})",),
    )  # fmt: skip


MATMUL: dict[str, LowerOp] = {"matmul": _matmul}
