"""Convolution and pooling over channels-last images, by rows: pointwise and k x k as GEMM, depthwise in registers."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.residual import residual_of
from edgec.ir.types import dtype_name
from edgec.plan.plan import Struct, Symbol
from edgec.targets.c.bf16tiles import choose_bf16_tiles
from edgec.targets.c.coded import (
    AnyTiles,
    Coded,
    Weights,
    choose_coded_tiles,
    header_of,
    pack_bias,
    pack_runs,
    weights_of,
)
from edgec.targets.c.element import Element
from edgec.targets.c.float8tiles import choose_float8_tiles
from edgec.targets.c.lower.activation import fused
from edgec.targets.c.lower.context import Lowering, NotLowered, Rows
from edgec.targets.c.lower.matmul import multiplied, owned, packed_matmul
from edgec.targets.c.lower.rows import Columns
from edgec.targets.c.tiles import choose_tiles

SEGMENTS = 64  # EDGEC_SEGMENTS, EDGEC_DW_ROWS
# Kernel sizes and strides with a body of their own.
_INNER = {(3, 3, 1), (3, 3, 2), (5, 5, 1), (5, 5, 2)}
# ISA -> vectors of channels that one instruction loads or stores.
_TOGETHER: dict[str, tuple[int, ...]] = {"neon": (2, 3, 4), "neon_halves": (2, 3, 4)}


def is_fast(op: Op) -> bool:
    """Images of floats, halves or bytes, channels last, and weights known now; anything else goes through window.py."""
    x = op.arg(0)
    byte = op.kind in ("qconv", "qsum_pool", "max_pool")
    constants = op.inputs[1:] if byte else op.inputs[1:3] if op.kind.startswith("conv") else []
    late = any(v is not None and v.const is None and v is not residual_of(op) for v in constants)
    known = x.type.dtype in ("f32", "f16") or (byte and x.type.dtype in ("i8", "u8"))
    known = known or (op.kind == "conv" and bool(op.attrs["to"]))
    return known and x.type.rank == 4 and op.attrs["layout"] == "nhwc" and not late


def is_depthwise(op: Op) -> bool:
    return bool(op.attrs["groups"] == op.arg(0).type.dims[3] == op.result.type.dims[3])


def conv_has_rows(op: Op) -> bool:
    """A convolution that edgec_conv or edgec_depthwise can do."""
    if not is_fast(op):
        return False
    attrs: Any = op.attrs
    kh, kw = op.arg(1).type.dims[2:]
    runs = 1 if is_depthwise(op) or (attrs["dilations"][1] == 1 and attrs["groups"] == 1) else kw
    return bool(kh * runs <= SEGMENTS)


def wanted_columns(op: Op, value: Value, winograd: Container[Op]) -> Columns:
    """Columns that a convolution reads beside `value`, its image."""
    if op.kind not in ("conv", "qconv") or op.arg(0) is not value or op in winograd:
        return Columns()
    attrs: Any = op.attrs
    left = attrs["pads"][1]
    reach = (op.result.type.dims[2] - 1) * attrs["strides"][1] + (op.arg(1).type.dims[3] - 1) * attrs["dilations"][1]
    return Columns(max(0, left), max(0, reach - left - (value.type.dims[2] - 1)), attrs.get("x_zero", 0))


# A sum over all channels at once, or over slices of them: the first, and those that go on from what stands in y.
Sums = Literal["whole", "first", "onto"]


def lower_conv(op: Op, ctx: Lowering, x: Rows, y: Rows, sums: Sums = "whole") -> None:
    attrs: Any = op.attrs
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    b = ctx.graph.array(bias) if bias is not None else None
    residual = residual_of(op)
    r = ctx.image_rows(residual) if residual is not None else None
    if is_depthwise(op):
        if attrs["to"]:
            raise NotLowered("a depthwise conv of bf16 has no kernel")
        _depthwise(op, ctx, ctx.graph.array(op.arg(1)), b, x, r, y)
        return
    kernel = multiplied(op, weights_of(ctx.graph, op.arg(1), 0, 1)).transpose(2, 3, 1, 0)  # [kh][kw][c/g][o]
    sizes = {"sh": attrs["strides"][0], "sw": attrs["strides"][1], "dh": attrs["dilations"][0],
             "dw": attrs["dilations"][1], "top": attrs["pads"][0], "left": attrs["pads"][1]}  # fmt: skip
    _, h, _, c = op.arg(0).type.dims
    _, oh, ow, o = op.result.type.dims
    gemm_rows(ctx, x, (h, c), kernel, b, r, y, o, attrs["groups"], sizes, oh, ow, attrs["act"],
              sums=sums)  # fmt: skip


def pointwise_matmul(op: Op, ctx: Lowering) -> bool:
    """A 1x1 convolution between dense values is one matmul over all pixels: fewer, fuller tiles than row by row."""
    attrs: Any = op.attrs
    x, y = op.arg(0), op.result
    residual = residual_of(op)
    plain = op.arg(1).type.dims[2:] == (1, 1) and attrs["strides"] == (1, 1) and not any(attrs["pads"])
    dense = all(ctx.is_dense(v) for v in (x, y, residual) if v is not None)
    if not plain or not dense or attrs["groups"] != 1:
        return False
    n, oh, ow, o = y.type.dims
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    packed_matmul(
        ctx, owned(ctx, x), multiplied(op, weights_of(ctx.graph, op.arg(1), 0, 1)).reshape(o, -1).transpose(1, 0),
        ctx.graph.array(bias) if bias is not None else None, ctx.read(residual) if residual is not None else None,
        ctx.write(y), n * oh * ow, str(attrs["act"]),
    )  # fmt: skip
    return True


def operand_strides(letter: str, rows: Rows | None) -> dict[str, int]:
    """The rows.h fields of an operand; of an absent one, what divides without harm."""
    found = (rows.image, rows.row, rows.depth) if rows is not None else (0, 0, 1)
    return dict(zip((f"{letter}_image", f"{letter}_row", f"{letter}_depth"), found, strict=True))


def gemm_rows(
    ctx: Lowering, x: Rows, image: tuple[int, int], kernel: Weights, bias: np.ndarray | None, residual: Rows | None,
    y: Rows, y_pixel: int, groups: int, sizes: dict[str, int], oh: int, ow: int, act: str, line: int = 0,
    sums: Sums = "whole",
) -> None:  # fmt: skip
    """One call of edgec_conv; `image` is rows and channels of x, kernel is [kh][kw][c/g][o]. `line` (default: ow) is
    the fewest pixels that a step brings side by side."""
    h, c = image
    kh, kw, gc, o = kernel.shape
    oc = o // groups
    k = kh * kw * gc
    merged = kh * kw == 1 and x.row == ow * sizes["sw"] * c  # edgec_gemm
    taps = sizes["dw"] != 1 or groups != 1 or (isinstance(kernel, Coded) and not kernel.joins(gc))
    segments = kh * kw if taps else kh
    rows = oh * ow if merged else ow
    numbers = ctx.products(dtype_name(kernel.dtype), x.at.ctype, y.at.ctype)
    assert sums == "whole" or not isinstance(kernel, Coded), "blocks are not sliced where weights are coded"
    tiles: AnyTiles
    if isinstance(kernel, Coded) and numbers.dtype == "u8":
        tiles = choose_float8_tiles(numbers, kernel.form.format, rows, oc, k // segments, line or ow, segments)
    elif isinstance(kernel, Coded):
        tiles = choose_coded_tiles(numbers.isa, kernel.form, rows, oc, k, line or ow, segments)
    elif numbers.dtype == "bf16":
        found = choose_bf16_tiles(numbers, rows, oc, k // segments, line or ow, segments, sums != "whole")
        tiles = replace(found, tiles=replace(found.tiles, onto=sums == "onto"))
    else:
        tiles = choose_tiles(numbers, rows, oc, k, line or ow, segments, sums != "whole")
        tiles = replace(tiles, onto=sums == "onto")
    parts = [kernel[..., g * oc : (g + 1) * oc] for g in range(groups)]
    packed = [pack_runs(tiles, part.reshape(segments, k // segments, oc)) for part in parts]
    weights = np.concatenate([part for part, _ in packed])
    biases = [
        pack_bias(tiles, part, None if bias is None else bias[g * oc : (g + 1) * oc], oc)
        for g, part in enumerate(parts)
    ]
    form = fused(act, numbers)
    fields = {"h": h, "c": c, "ow": ow, "oc": oc, "kh": kh, "kw": kw, **sizes, "groups": groups, "gc": gc,
              "b_row": packed[0][1] * segments // kh, "taps": int(taps),
              **operand_strides("x", x), **operand_strides("y", y), "y_pixel": y_pixel,
              **operand_strides("r", residual), "lo": form.lo, "hi": form.hi}  # fmt: skip
    ctx.call(
        header_of(tiles, numbers.header("conv.h")), numbers.function("conv"), x.read(),
        ctx.pack(weights, numbers.ctype, tiles.kind), ctx.pack(np.concatenate(biases)),
        residual.read() if residual is not None else None, y.write(),
        Struct(numbers.function("conv_shape"), tuple(fields.items())), tiles.struct(),
        packed[0][0].nbytes // numbers.itemsize, biases[0].size, form.row, macs=oh * ow * o * k,
        instances=tiles.instances(),
    )  # fmt: skip


def _depthwise(
    op: Op, ctx: Lowering, w: np.ndarray, bias: np.ndarray | None, x: Rows, r: Rows | None, y: Rows
) -> None:
    attrs: Any = op.attrs
    _, h, _, c = op.arg(0).type.dims
    _, oh, ow, _ = op.result.type.dims
    kh, kw = w.shape[2:]
    (sh, sw), (dh, dw) = attrs["strides"], attrs["dilations"]
    numbers = ctx.element(dtype_name(w.dtype))
    cp = -(-c // numbers.lanes) * numbers.lanes
    packed = np.zeros((kh * kw, cp), w.dtype)
    packed[:, :c] = w.reshape(c, kh * kw).T
    full = np.zeros(cp, w.dtype)
    if bias is not None:
        full[:c] = bias
    form = fused(attrs["act"], numbers)
    early = form if r is None else fused("")
    fields = {"h": h, "c": c, "cp": cp, "ow": ow, "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh, "dw": dw,
              "top": attrs["pads"][0], "left": attrs["pads"][1], **operand_strides("x", x), **operand_strides("y", y),
              **operand_strides("r", r), "lo": early.lo, "hi": early.hi, "rlo": form.lo, "rhi": form.hi}  # fmt: skip
    inner = (kh, kw, sw) in _INNER and dw == 1
    body = _depthwise_body(numbers, kh, kw, sw, ow, c // numbers.lanes) if inner else None
    ctx.call(
        numbers.header("depthwise.h"), numbers.function("depthwise"), x.read(), ctx.pack(packed), ctx.pack(full),
        r.read() if r is not None else None, y.write(), Struct(numbers.function("dw_shape"), tuple(fields.items())),
        Symbol(body.name) if body else None, form.row, macs=oh * ow * c * kh * kw,
        instances=(body.instance,) if body else (),
    )  # fmt: skip


@dataclass(frozen=True)
class _Body:
    """A function of depthwise.h: so many pixels, and vectors of channels, at a time."""

    name: str
    instance: str


def _depthwise_body(numbers: Element, kh: int, kw: int, sw: int, ow: int, blocks: int) -> _Body | None:
    """The body with the fewest instructions for `ow` pixels of `blocks` vectors of channels; None where none fits."""
    isa = numbers.isa
    found: list[tuple[float, int, _Body]] = []
    for pixels in range(1, min(8, ow) + 1):
        inputs = (pixels - 1) * sw + kw
        # weights and one input row are held besides the sums, the clamp bounds and the bias
        if pixels + inputs + (kh * kw if isa.registers >= 32 else kw) + 3 <= isa.registers:
            work = kh * (inputs + kw * pixels) + 4 * pixels + 8
            body = _Body(numbers.function(f"dw_{kh}x{kw}s{sw}_{pixels}"), f"EDGEC_DW_INNER({kh}, {kw}, {sw}, {pixels})")
            found.append((-(-ow // pixels) * work + 30, pixels, body))
    for nv in (n for n in _TOGETHER.get(isa.name, ()) if blocks % n == 0):
        # a kernel row of weights and one pixel
        for pixels in range(1, min(isa.registers // nv - kw - 1, ow) + 1):
            inputs = (pixels - 1) * sw + kw
            work = kh * (kw + inputs + 2 + kw * pixels * nv) + pixels * (2 * nv + 1 + -(-nv // 2)) + 13
            name = numbers.function(f"dw_{kh}x{kw}s{sw}_{pixels}x{nv}")
            body = _Body(name, f"EDGEC_DW_WIDE({kh}, {kw}, {sw}, {pixels}, {nv})")
            found.append(((-(-ow // pixels) * work + 12) / nv, pixels, body))
    return min(found, key=lambda f: f[:2])[2] if found else None


def lower_pool(op: Op, ctx: Lowering, x: Rows, y: Rows) -> None:
    attrs: Any = op.attrs
    _, h, w, c = op.arg(0).type.dims
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel"], attrs["strides"], attrs["dilations"]
    count_h = count_w = 0
    average = op.kind == "avg_pool"
    numbers = ctx.element(op.result.type.dtype, wide=average)
    if average and attrs["count_include_pad"]:
        extra = attrs["ceil_pads"] or (0, 0)
        count_h, count_w = h + attrs["pads"][2] - extra[0], w + attrs["pads"][3] - extra[1]
    fields = {"h": h, "w": w, "c": c, "ow": op.result.type.dims[2], "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh,
              "dw": dw, "top": attrs["pads"][0], "left": attrs["pads"][1], **operand_strides("x", x),
              **operand_strides("y", y), "count_h": count_h, "count_w": count_w}  # fmt: skip
    shape = Struct(numbers.function("pool_shape"), tuple(fields.items()))
    ctx.call(numbers.header("pool.h"), numbers.function("pool"), x.read(), y.write(), shape, int(average))  # fmt: skip
