"""Between floats and small integers, and bytes element by element (kernels/qcast.h, qmap.h, qtable.h)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.ops.integer import BYTES
from edgec.plan.plan import Struct
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.elementwise import CHUNK, split_row
from edgec.targets.c.lower.qpool import lower_qsum, lower_qsum_pool
from edgec.targets.c.lower.strides import broadcast_strides, collapse
from edgec.targets.c.requant import check_bytes, scale_fields

SIGN = 0x80  # between a signed byte and the unsigned one 128 above


def _axis(op: Op) -> tuple[int, int, int]:
    """[outer][n][inner], with a scale for each of n."""
    dims, axis = op.arg(0).type.dims, int(op.attrs["axis"])  # type: ignore[arg-type]
    if axis >= 0:
        return math.prod(dims[:axis]), dims[axis], math.prod(dims[axis + 1 :])
    rows = [math.prod(dims)]
    split_row(rows, ())
    return math.prod(rows[:-1]), 1, rows[-1]


def _quantize(op: Op, ctx: Lowering) -> None:
    x, scale, zero = (op.arg(i) for i in range(3))
    dtype, n = op.result.type.dtype, op.result.type.size
    if not n:
        return
    number = scale.type.rank == 0 and scale.const is not None and zero.const is not None
    if number and dtype in ("i8", "u8"):
        turned = dtype != ctx.isa.byte
        base = int(ctx.graph.array(zero)) + (0 if not turned else 128 if dtype == "i8" else -128)
        numbers = ctx.element(x.type.dtype, wide=True)
        ctx.call(
            numbers.header("qcast.h"), numbers.function("quantize"), ctx.read(x), ctx.write(op.result, "uint8_t"), n,
            float(ctx.graph.array(scale)), base, SIGN if turned else 0, tasks=-(-n // CHUNK),
        )  # fmt: skip
        return
    if x.type.dtype != "f32":
        raise NotLowered(f"quantizing {x.type.dtype} has a kernel for bytes with one constant scale only")
    outer, steps, inner = _axis(op)
    info, name = np.iinfo(zero.type.numpy), f"quantize_{dtype}"
    ctx.call(
        "qmap.h", f"edgec_{name}", ctx.read(x), ctx.read(scale), ctx.read(zero), ctx.write(op.result), steps, inner,
        tasks=outer, instances=(f"EDGEC_QUANTIZE({name}, {CTYPES[dtype]}, {info.min}, {info.max})",),
    )  # fmt: skip


def _dequantize(op: Op, ctx: Lowering) -> None:
    x, scale, zero = (op.arg(i) for i in range(3))
    if not op.result.type.size:
        return
    name, numbers = f"dequantize_{x.type.dtype}", ctx.element(op.result.type.dtype, wide=True)
    header = numbers.header("qcast.h")
    if op.attrs["axis"] == -1 and x.type.dtype in BYTES and scale.const is not None and zero.const is not None:
        n, name = op.result.type.size, f"{name}_all"
        ctx.call(
            header, numbers.function(name), ctx.read(x), ctx.write(op.result), n, float(ctx.graph.array(scale)),
            int(ctx.graph.array(zero)), tasks=-(-n // CHUNK),
            instances=(f"EDGEC_DEQUANTIZE_BYTES({name}, {CTYPES[x.type.dtype]})",),
        )  # fmt: skip
        return
    outer, steps, inner = _axis(op)
    ctx.call(
        header, numbers.function(name), ctx.read(x), ctx.read(scale), ctx.read(zero), ctx.write(op.result), steps,
        inner, tasks=outer, instances=(f"EDGEC_DEQUANTIZE({name}, {CTYPES[x.type.dtype]})",),
    )  # fmt: skip


def _inplace(x: Value, z: Value, y: Value) -> bool:
    return x.type == y.type and x is not z


def _qadd(op: Op, ctx: Lowering) -> None:
    x, z, y = op.arg(0), op.arg(1), op.result
    check_bytes(op, ctx.isa)
    attrs: Any = op.attrs
    n, half = y.type.size, 1 << (attrs["shift"] - 1)
    fields = {"x_scale": attrs["x_scale"], "z_scale": attrs["y_scale"], "bias": attrs["bias"] + half,
              "shift": attrs["shift"], "lo": attrs["lo"], "hi": attrs["hi"]}  # fmt: skip
    if n:
        ctx.call(
            "qmap.h", "edgec_qadd", ctx.read(x), ctx.read(z), ctx.write(y), n,
            Struct("edgec_qadd_shape", tuple(fields.items())), tasks=-(-n // CHUNK), inplace=_inplace(x, z, y),
        )  # fmt: skip


def _qmul(op: Op, ctx: Lowering) -> None:
    x, z, y = op.arg(0), op.arg(1), op.result
    check_bytes(op, ctx.isa)
    if not y.type.size:
        return
    dims = y.type.dims
    out, (sx, sz) = collapse(dims, [broadcast_strides(v.type.dims, dims) for v in (x, z)])
    split_row(out, (sx, sz))
    fields = {"x_zero": op.attrs["x_zero"], "z_zero": op.attrs["y_zero"], **scale_fields(op, ctx.isa, "scale.")}
    ctx.call(
        "qmap.h", "edgec_qmul", ctx.read(x), ctx.read(z), ctx.write(y), ctx.sizes(out), ctx.sizes(sx), ctx.sizes(sz),
        len(out), Struct("edgec_qmul_shape", tuple(fields.items())),  # type: ignore[arg-type]
        tasks=math.prod(out[:-1]), inplace=_inplace(x, z, y),
    )  # fmt: skip


def _table(op: Op, ctx: Lowering) -> None:
    x, table, y = op.arg(0), op.arg(1), op.result
    n, size = y.type.size, y.type.numpy.itemsize
    if not n:
        return
    name, ctype = ("table_bytes", "uint8_t") if size == 1 else (f"table_{8 * size}", f"uint{8 * size}_t")
    ctx.call(
        "qtable.h", f"edgec_{name}", ctx.read(x, "uint8_t"), ctx.read(table, ctype), ctx.write(y, ctype), n,
        SIGN if x.type.dtype == "i8" else 0, tasks=-(-n // CHUNK), inplace=size == 1,
        instances=() if size == 1 else (f"EDGEC_TABLE({name}, {ctype})",),
    )  # fmt: skip


INTEGER: dict[str, LowerOp] = {
    "encode": lambda op, ctx: ctx.alias(op.result, op.arg(0)),
    "quantize": _quantize,
    "dequantize": _dequantize,
    "qadd": _qadd,
    "qmul": _qmul,
    "qsum": lower_qsum,
    "qsum_pool": lower_qsum_pool,
    "table": _table,
}
