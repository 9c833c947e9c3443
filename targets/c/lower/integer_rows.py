"""Softmax, norms, PRelu and attention of bytes (kernels/qsoftmax.h, qnorm.h, qprelu.h, qattention.h)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.ops.integer import MIDDLE
from edgec.ir.ops.integer_rows import HIDDEN, norm_bits
from edgec.plan.plan import Struct
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.context import Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.elementwise import CHUNK
from edgec.targets.c.lower.qmatmul import owned
from edgec.targets.c.lower.strides import broadcast_strides
from edgec.targets.c.requant import check_bytes, packed_multipliers

ROWS = 4  # EDGEC_QATTENTION_ROWS


def _constant(op: Op, i: int, ctx: Lowering) -> np.ndarray:
    value = op.arg(i)
    if value.const is None:
        raise NotLowered(f"{op.kind} needs an operand {i} that is known at compile time")
    return ctx.graph.array(value)


def by_halves(values: np.ndarray, isa: Isa) -> np.ndarray:
    """16-bit numbers in the order of edgec_widen_lanes, with zeros up to whole registers of bytes."""
    block = 4 * isa.lanes
    whole = np.zeros(-(-values.size // block) * block, np.int16)
    whole[: values.size] = values.ravel()
    return np.ascontiguousarray(whole.reshape(-1, block // 16, 2, 8).swapaxes(1, 2).ravel())


def _qsoftmax(op: Op, ctx: Lowering) -> None:
    x, y = op.arg(0), op.result
    check_bytes(op, ctx.isa, (x, y))
    table = _constant(op, 1, ctx)
    dims, axis = x.type.dims, int(op.attrs["axis"])  # type: ignore[arg-type]
    size, inner = dims[axis], math.prod(dims[axis + 1 :])
    if not y.type.size:
        return
    parts = ctx.pack(np.stack([table & 255, table >> 8]).astype(np.uint8))
    scale = int(op.attrs["numerator"]), int(op.attrs["finer"])  # type: ignore[arg-type]
    if inner == 1:
        ctx.call("qsoftmax.h", "edgec_qsoftmax", ctx.read(x), parts, ctx.write(y), size, *scale,
                 tasks=x.type.size // size, inplace=True)  # fmt: skip
    else:
        ctx.call("qsoftmax.h", "edgec_qsoftmax_any", ctx.read(x), parts, ctx.write(y), size, inner, *scale,
                 tasks=x.type.size // size, inplace=True)  # fmt: skip


def _qnorm(op: Op, ctx: Lowering) -> None:
    x, y, attrs = op.arg(0), op.result, op.attrs
    check_bytes(op, ctx.isa, (x, y))
    if not y.type.size:
        return
    n = math.prod(x.type.dims[int(attrs["axis"]) :])  # type: ignore[arg-type]
    gain, offset = (ctx.pack(by_halves(_constant(op, i, ctx), ctx.isa)) for i in (1, 2))
    given: Any = attrs
    fields = {"centre": int(given["centre"]), "zero": given["x_zero"] - MIDDLE[ctx.isa.byte], "bits": norm_bits(n),
              "shift": given["shift"], "eps": given["eps"]}  # fmt: skip
    ctx.call(
        "qnorm.h", "edgec_qnorm", ctx.read(x), gain, offset, ctx.write(y), n,
        Struct("edgec_qnorm_shape", tuple(fields.items())), tasks=x.type.size // n, inplace=True,
    )  # fmt: skip


def _qprelu(op: Op, ctx: Lowering) -> None:
    x, y, attrs = op.arg(0), op.result, op.attrs
    check_bytes(op, ctx.isa, (x, y))
    n, block = y.type.size, 4 * ctx.isa.lanes
    if not n:
        return
    slopes = _constant(op, 1, ctx)
    registers = slopes.size // math.gcd(slopes.size, block)
    given: Any = attrs
    fields = {"x_zero": given["x_zero"], "zero": given["zero"] - MIDDLE[ctx.isa.byte], "positive": given["positive"],
              "shift": given["shift"]}  # fmt: skip
    ctx.call(
        "qprelu.h", "edgec_qprelu", ctx.read(x),
        ctx.pack(by_halves(np.tile(slopes, registers * block // slopes.size), ctx.isa)), ctx.write(y), n, registers,
        Struct("edgec_qprelu_shape", tuple(fields.items())), tasks=-(-n // CHUNK), inplace=True,
    )  # fmt: skip


def _mask(mask: Value | None, dims: tuple[int, ...], row: int, ctx: Lowering) -> tuple[np.ndarray | None, list[int]]:
    """Its numbers with the keys of a row side by side, and its strides over batch, head and query."""
    if mask is None:
        return None, [0, 0, 0]
    if mask.const is None:
        raise NotLowered("qattention needs a mask that is known at compile time")
    array = ctx.graph.array(mask)
    array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    lead = array.shape[:3]
    whole = np.full((*lead, row), HIDDEN, np.int32)
    whole[..., : dims[3]] = array
    return whole, [s * row for s in broadcast_strides(lead, dims[:3])]


def _qattention(op: Op, ctx: Lowering) -> None:
    q, k, v = (op.arg(i) for i in range(3))
    y, isa = op.result, ctx.isa
    given: Any = op.attrs
    check_bytes(op, isa, (q, k, v, y))
    table = _constant(op, 3, ctx)
    if not y.type.size:
        return
    b, heads, n, d = q.type.dims
    kv_heads, m, e = *k.type.dims[1:3], v.type.dims[3]
    middle = MIDDLE[isa.byte]
    by = int(packed_multipliers(isa, np.array(given["multiplier"]), np.array(given["shift"])))
    keys, values, block = -(-m // isa.lanes), -(-e // isa.lanes), 4 * isa.lanes
    row = -(-m // block) * block
    mask, (mb, mh, mn) = _mask(op.inputs[4] if len(op.inputs) > 4 else None, (b, heads, n, m), row, ctx)
    fields = {
        "heads": heads, "kv_heads": kv_heads, "n": n, "m": m, "d": d, "e": e, "keys": keys, "values": values,
        "row": row, "mb": mb, "mh": mh, "mn": mn, "q_zero": given["q_zero"], "v_zero": given["v_zero"] - middle,
        "zero": given["zero"], "by": by, "factor": given["factor"],
        "beyond": (row - m) * int(table[255]),
    }  # fmt: skip
    shape = Struct("edgec_qattention_shape", tuple(fields.items()))
    head = block * (keys * -(-d // 4) + values * -(-m // 4) + keys + values)
    packed = ctx.temp(b * kv_heads * head, "int8_t")
    scratch = ctx.temp(b * heads * ROWS * (row + row // 4) * 4, "int32_t")
    ctx.call("qattention.h", "edgec_qattention_pack", owned(ctx, k), owned(ctx, v), packed, shape, tasks=b * kv_heads)
    # weights are unsigned; where bytes are signed, 128 less
    entries = (table.astype(np.int64) - (128 - middle)).astype(np.int8).view(np.uint8)
    ctx.call(
        "qattention.h", "edgec_qattention", owned(ctx, q), replace(packed, write=False), ctx.pack(entries),
        ctx.pack(mask) if mask is not None else None, ctx.write(y), scratch, shape, tasks=b * heads,
        macs=b * heads * n * m * (d + e),
    )  # fmt: skip


INTEGER_ROWS: dict[str, LowerOp] = {
    "qsoftmax": _qsoftmax, "qnorm": _qnorm, "qprelu": _qprelu, "qattention": _qattention,
}  # fmt: skip
