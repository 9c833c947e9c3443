"""Convolution and pooling in the forms that have no fast kernel: run-time weights, other dtypes, three dimensions."""

from __future__ import annotations

import math
from typing import Any

from edgec.ir.graph import Op
from edgec.ir.residual import residual_of
from edgec.plan.plan import Struct
from edgec.targets.c.lower.activation import row_activation
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.elementwise import broadcast2
from edgec.targets.c.lower.strides import dense

AXES = 3  # edgec_window


def window_fields(op: Op, kernel: tuple[int, ...]) -> dict[str, Any]:
    """The fields of edgec_window; arrays are spelled `in[0]` and so on by the caller."""
    attrs: Any = op.attrs
    x, y = op.arg(0).type.dims, op.result.type.dims
    first = attrs["layout"] == "nchw"
    rank = len(kernel)
    if rank > AXES:
        raise NotLowered(f"{op.kind} over {rank} dimensions has no kernel")
    spatial = slice(2, None) if first else slice(1, -1)
    xs, ys = dense(x), dense(y)
    channel = 1 if first else -1
    lead = AXES - rank

    def full(values: Any, unit: int) -> tuple[int, ...]:
        return (unit,) * lead + tuple(values)

    count: tuple[int, ...] = (0,) * AXES
    if attrs.get("count_include_pad"):
        extra = attrs["ceil_pads"] or (0,) * rank
        ends = [x[spatial][i] + attrs["pads"][rank + i] - extra[i] for i in range(rank)]
        count = full(ends, 1)
    return {
        "in": full(x[spatial], 1), "out": full(y[spatial], 1), "k": full(kernel, 1),
        "stride": full(attrs["strides"], 1), "dilation": full(attrs["dilations"], 1),
        "pad": full(attrs["pads"][:rank], 0), "xs": full(xs[spatial], 0), "ys": full(ys[spatial], 0),
        "count": count, "xn": xs[0], "xc": xs[channel], "yn": ys[0], "yc": ys[channel], "channels": x[channel],
        "outputs": y[channel], "groups": attrs.get("groups", 1), "transposed": int(op.kind == "conv_transpose"),
        "average": int(op.kind == "avg_pool"),
    }  # fmt: skip


def window_struct(fields: dict[str, Any]) -> Struct:
    flat: list[tuple[str, int]] = []
    for name, value in fields.items():
        if isinstance(value, tuple):
            flat += [(f"{name}[{i}]", v) for i, v in enumerate(value)]
        else:
            flat.append((name, value))
    return Struct("edgec_window", tuple(flat))


def any_conv(op: Op, ctx: Lowering) -> None:
    x, w, y = op.arg(0), op.arg(1), op.result
    dtype = x.type.dtype
    if dtype in ("f16", "bf16"):
        raise NotLowered(f"{op.kind} of {dtype} has no kernel")
    if not y.type.size:
        return
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    residual = residual_of(op)
    fields = window_fields(op, w.type.dims[2:])
    wide = CTYPES[dtype] if dtype[0] == "f" else "uint64_t" if dtype.endswith("64") else "uint32_t"
    images = y.type.dims[0]
    ctx.call(
        "any.h", f"edgec_conv_{dtype}", ctx.read(x), ctx.read(w), ctx.read(bias) if bias is not None else None,
        ctx.write(y), window_struct(fields), tasks=images * fields["outputs"],
        macs=y.type.size * math.prod(w.type.dims[1:]), instances=(f"EDGEC_CONV_ANY({dtype}, {CTYPES[dtype]}, {wide})",),
    )  # fmt: skip
    if residual is not None:
        broadcast2(
            ctx, ctx.read(y), y.type.dims, ctx.read(residual), y.type.dims, ctx.write(y), y.type.dims, "edgec_add_f32",
            "EDGEC_MAP2(add_f32, float, float, x + z)", True,
        )  # fmt: skip
    if op.attrs["act"]:
        row_activation(ctx, y, str(op.attrs["act"]))


def any_pool(op: Op, ctx: Lowering) -> None:
    x, y = op.arg(0), op.result
    dtype = x.type.dtype
    kernel: Any = op.attrs["kernel"]
    if dtype in ("f16", "bf16") or (op.kind == "avg_pool" and dtype[0] != "f"):
        raise NotLowered(f"{op.kind} of {dtype} has no kernel")
    if not y.type.size:
        return
    lowest = "-__builtin_inff()" if dtype[0] == "f" else "0" if dtype[0] == "u" else f"INT{dtype[1:]}_MIN"
    fields = window_fields(op, kernel)
    ctx.call(
        "any.h", f"edgec_pool_{dtype}", ctx.read(x), ctx.write(y), window_struct(fields),
        tasks=y.type.dims[0] * fields["channels"], instances=(f"EDGEC_POOL_ANY({dtype}, {CTYPES[dtype]}, {lowest})",),
    )  # fmt: skip


WINDOW: dict[str, LowerOp] = {"conv": any_conv, "max_pool": any_pool, "avg_pool": any_pool}
