"""Element-wise operators on bytes, sums and pools of them (kernels/qmap.h, qpool.h)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.types import DTYPES
from edgec.plan.plan import Struct
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, NotLowered, Rows
from edgec.targets.c.lower.conv import operand_strides
from edgec.targets.c.lower.elementwise import CHUNK
from edgec.targets.c.lower.strides import broadcast_strides, collapse

_PAIR = ("x_scale", "y_scale", "bias", "shift", "x_zero", "y_zero", "multiplier", "lo", "hi")


def _tasks(count: int) -> int:
    return -(-count // CHUNK)


def _range(dtype: str) -> str:
    info = np.iinfo(DTYPES[dtype])
    return f"{info.min}, {info.max}"


def _scales(op: Op, ctx: Lowering) -> tuple[float, int] | None:
    """One scale and zero point that are known; None: there are more, or they come at run time."""
    scale, zero = op.arg(1), op.arg(2)
    if scale.const is None or zero.const is None or scale.type.size != 1:
        return None
    return float(ctx.graph.array(scale).reshape(())), int(ctx.graph.array(zero).reshape(()))


def _by_scale(op: Op, ctx: Lowering, kind: str, byte: str, macro: str) -> None:
    """quantize or dequantize; `byte` is the dtype of what is not float."""
    x, y = op.arg(0), op.result
    if not y.type.size:
        return
    known = _scales(op, ctx)
    bounds = f", {_range(byte)}" if kind == "quantize" else ""
    if known is not None:
        ctx.call(
            "qmap.h", f"edgec_{kind}_{byte}", ctx.read(x), ctx.write(y), *known, y.type.size,
            tasks=_tasks(y.type.size), instances=(f"{macro}({byte}, {CTYPES[byte]}{bounds})",),
        )  # fmt: skip
        return
    axis: int = op.attrs["axis"]  # type: ignore[assignment]
    dims = x.type.dims
    outer, count, inner = (1, 1, y.type.size) if axis < 0 else (
        math.prod(dims[:axis]), dims[axis], math.prod(dims[axis + 1 :]))  # fmt: skip
    ctx.call(
        "qmap.h", f"edgec_{kind}_axis_{byte}", ctx.read(x), ctx.write(y), ctx.read(op.arg(1)), ctx.read(op.arg(2)),
        count, inner, tasks=outer, instances=(f"{macro}_AXIS({byte}, {CTYPES[byte]}{bounds})",),
    )  # fmt: skip


def _quantize(op: Op, ctx: Lowering) -> None:
    _by_scale(op, ctx, "quantize", op.result.type.dtype, "EDGEC_QUANTIZE")


def _dequantize(op: Op, ctx: Lowering) -> None:
    _by_scale(op, ctx, "dequantize", op.arg(0).type.dtype, "EDGEC_DEQUANTIZE")


def _pair(op: Op) -> Struct:
    numbers: Any = op.attrs
    return Struct("edgec_qpair", tuple((name, numbers.get(name, 0)) for name in _PAIR))


def _names(*values: Value) -> tuple[str, str]:
    """What distinguishes the functions of element types, and the types in C."""
    dtypes = [v.type.dtype for v in values]
    return "_".join(dtypes), ", ".join(CTYPES[d] for d in dtypes)


def _qadd(op: Op, ctx: Lowering) -> None:
    a, b, y = op.arg(0), op.arg(1), op.result
    if not y.type.size:
        return
    name, types = _names(a, b, y)
    ctx.call(
        "qmap.h", f"edgec_qadd_{name}", ctx.read(a), ctx.read(b), ctx.write(y), _pair(op), y.type.size,
        tasks=_tasks(y.type.size), inplace=True, instances=(f"EDGEC_QADD({name}, {types})",),
    )  # fmt: skip


def _qmul(op: Op, ctx: Lowering) -> None:
    a, b, y = op.arg(0), op.arg(1), op.result
    if not y.type.size:
        return
    dims, (sa, sb) = collapse(y.type.dims, [broadcast_strides(v.type.dims, y.type.dims) for v in (a, b)])
    name, types = _names(a, b, y)
    ctx.call(
        "qmap.h", f"edgec_qmul_{name}", ctx.read(a), ctx.read(b), ctx.write(y), _pair(op), ctx.sizes(dims),
        ctx.sizes(sa), ctx.sizes(sb), len(dims), tasks=math.prod(dims[:-1]),
        instances=(f"EDGEC_QMUL({name}, {types})",),
    )  # fmt: skip


def _qsum(op: Op, ctx: Lowering) -> None:
    x, y = op.arg(0), op.result
    axes: tuple[int, ...] = op.attrs["axes"]  # type: ignore[assignment]
    if not y.type.size:
        return
    if not axes or axes != tuple(range(axes[0], axes[-1] + 1)):
        raise NotLowered(f"qsum over the axes {axes}, which are not neighbours, has no kernel")
    dims = x.type.dims
    outer, count, inner = math.prod(dims[: axes[0]]), math.prod(dims[i] for i in axes), math.prod(dims[axes[-1] + 1 :])
    name, types = _names(x, y)
    ctx.call(
        "qmap.h", f"edgec_qsum_{name}", ctx.read(x), ctx.write(y), _pair(op), count, inner, tasks=outer,
        instances=(f"EDGEC_QSUM({name}, {types})",),
    )  # fmt: skip


def _table(op: Op, ctx: Lowering) -> None:
    x, entries, y = op.arg(0), op.arg(1), op.result
    if not y.type.size:
        return
    if y.type.numpy.itemsize == 1:
        # the first entry is for the lowest byte: of i8, with its first bit turned over
        ctx.call(
            "qmap.h", "edgec_table_bytes", ctx.read(x, "uint8_t"), ctx.read(entries, "uint8_t"),
            ctx.write(y, "uint8_t"), 128 if x.type.dtype == "i8" else 0, y.type.size, tasks=_tasks(y.type.size),
            inplace=True,
        )  # fmt: skip
        return
    name, types = _names(x, y)
    low = np.iinfo(x.type.numpy).min
    ctx.call(
        "qmap.h", f"edgec_table_{name}", ctx.read(x), ctx.read(entries), ctx.write(y), y.type.size,
        tasks=_tasks(y.type.size), instances=(f"EDGEC_TABLE({name}, {types}, {low})",),
    )  # fmt: skip


def lower_qpool(op: Op, ctx: Lowering, x: Rows, y: Rows) -> None:
    """max_pool of bytes and qsum_pool, by rows."""
    attrs: Any = op.attrs
    _, h, w, c = op.arg(0).type.dims
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel"], attrs["strides"], attrs["dilations"]
    fields = {"h": h, "w": w, "c": c, "ow": op.result.type.dims[2], "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh,
              "dw": dw, "top": attrs["pads"][0], "left": attrs["pads"][1], **operand_strides("x", x),
              **operand_strides("y", y),
              **{n: attrs.get(n, 0) for n in ("x_zero", "bias", "multiplier", "shift", "lo", "hi")}}  # fmt: skip
    dtype = op.arg(0).type.dtype
    if op.result.type.dtype != dtype:
        raise NotLowered(f"{op.kind} of {dtype} to {op.result.type.dtype} has no kernel")
    short, low = ("max", np.iinfo(DTYPES[dtype]).min) if op.kind == "max_pool" else ("sum", 0)
    bound = f", {low}" if short == "max" else ""
    ctx.call("qpool.h", f"edgec_qpool_{short}_{dtype}", x.read(), y.write(),
             Struct("edgec_qpool_shape", tuple(fields.items())),
             instances=(f"EDGEC_Q{short.upper()}_POOL({dtype}, {CTYPES[dtype]}{bound})",))  # fmt: skip


INTEGER: dict[str, LowerOp] = {
    "dequantize": _dequantize,
    "encode": lambda op, ctx: ctx.alias(op.result, op.arg(0)),
    "qadd": _qadd,
    "qmul": _qmul,
    "qsum": _qsum,
    "quantize": _quantize,
    "table": _table,
}
