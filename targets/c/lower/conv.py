"""Convolution over channels-last images: pointwise as matmul, depthwise in registers, the rest by rows (conv.h)."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.plan.plan import Pointer, Struct, Symbol
from edgec.targets.c.lower.activation import fused
from edgec.targets.c.lower.context import Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.matmul import packed_matmul
from edgec.targets.c.lower.window import any_conv, any_pool
from edgec.targets.c.tiles import choose_tiles

SEGMENTS = 64  # EDGEC_SEGMENTS
# Kernel sizes and strides with a body of their own: pixels at a time by ISA, as many as registers allow.
_INNER = {(3, 3, 1), (3, 3, 2), (5, 5, 1), (5, 5, 2)}


def _fast(op: Op) -> bool:
    """Float32 images with channels last, and weights known now; anything else goes through window.py."""
    x = op.arg(0)
    late = op.kind.startswith("conv") and any(v is not None and v.const is None for v in op.inputs[1:3])
    return x.type.dtype == "f32" and x.type.rank == 4 and op.attrs["layout"] == "nhwc" and not late


def _conv(op: Op, ctx: Lowering) -> None:
    if not _fast(op):
        any_conv(op, ctx)
        return
    attrs: Any = op.attrs
    x, w, y = op.arg(0), ctx.graph.array(op.arg(1)), op.result
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    b = ctx.graph.array(bias) if bias is not None else None
    residual = op.inputs[3] if len(op.inputs) > 3 else None
    n, h, wd, c = x.type.dims
    _, oh, ow, o = y.type.dims
    kh, kw = w.shape[2:]
    groups = attrs["groups"]
    if y.type.size == 0:
        return
    if kh * kw > SEGMENTS and not groups == c == o:
        any_conv(op, ctx)
        return
    r = ctx.read(residual) if residual is not None else None
    plain = (kh, kw, *attrs["strides"]) == (1, 1, 1, 1) and not any(attrs["pads"])
    if plain and groups == 1:
        weights = w.reshape(o, c).T
        packed_matmul(ctx, ctx.read(x), weights, b, r, ctx.write(y), n * oh * ow, attrs["act"])
    elif groups == c == o:
        _depthwise(op, ctx, w, b, r)
    else:
        kernel = np.ascontiguousarray(w.transpose(2, 3, 1, 0))  # [kh][kw][c/g][o]
        sizes = {"sh": attrs["strides"][0], "sw": attrs["strides"][1], "dh": attrs["dilations"][0],
                 "dw": attrs["dilations"][1], "top": attrs["pads"][0], "left": attrs["pads"][1]}  # fmt: skip
        padded = any(attrs["pads"])
        place = {"oh": oh, "ow": ow, "y_image": oh * ow * o, "y_row": ow * o, "y_pixel": o}
        rows(ctx, ctx.read(x), (n, h, wd, c), kernel, b, r, ctx.write(y), groups, sizes, place, padded, attrs["act"])


def rows(
    ctx: Lowering, x: Pointer, image: tuple[int, int, int, int], kernel: np.ndarray, bias: np.ndarray | None,
    residual: Pointer | None, y: Pointer, groups: int, sizes: dict[str, int], place: dict[str, int], padded: bool,
    act: str,
) -> None:  # fmt: skip
    """One call of edgec_conv; kernel is [kh][kw][c/g][o]."""
    n, h, w, c = image
    kh, kw, gc, o = kernel.shape
    one_run = sizes["dw"] == 1 and groups == 1
    if (kh if one_run else kh * kw) > SEGMENTS:
        raise NotLowered(f"conv with a {kh}x{kw} kernel needs more than {SEGMENTS} runs")
    oc = o // groups
    tiles = choose_tiles(ctx.isa, place["ow"], oc)
    k = kh * kw * gc
    parts = [tiles.pack(kernel[..., g * oc : (g + 1) * oc].reshape(k, oc)) for g in range(groups)]
    biases = [tiles.pack_bias(None if bias is None else bias[g * oc : (g + 1) * oc], oc) for g in range(groups)]
    ring_w = (place["ow"] - 1) * sizes["sw"] + (kw - 1) * sizes["dw"] + 1
    depth = (kh - 1) * sizes["dh"] + 1
    ring_floats = depth * ring_w * c
    bands = max(1, min(8, place["oh"] // 4))
    ring = ctx.temp(4 * n * bands * ring_floats, "float") if padded else None
    form = fused(act)
    fields = {"h": h, "w": w, "c": c, "oh": place["oh"], "ow": place["ow"], "oc": oc, "kh": kh, "kw": kw, **sizes,
              "groups": groups, "gc": gc, "y_image": place["y_image"], "y_row": place["y_row"],
              "y_pixel": place["y_pixel"], "bands": bands, "lo": form.lo, "hi": form.hi}  # fmt: skip
    ctx.call(
        "conv.h", "edgec_conv", x, ctx.pack(np.concatenate(parts)), ctx.pack(np.concatenate(biases)), residual, y, ring,
        Struct("edgec_conv_shape", tuple(fields.items())), tiles.struct(), parts[0].size, biases[0].size, ring_floats,
        form.row, tasks=n * bands, macs=n * place["oh"] * place["ow"] * o * k, instances=tiles.instances(),
    )  # fmt: skip


def _depthwise(op: Op, ctx: Lowering, w: np.ndarray, bias: np.ndarray | None, residual: Pointer | None) -> None:
    attrs: Any = op.attrs
    n, h, wd, c = op.arg(0).type.dims
    _, oh, ow, _ = op.result.type.dims
    kh, kw = w.shape[2:]
    (sh, sw), (dh, dw) = attrs["strides"], attrs["dilations"]
    cp = -(-c // ctx.lanes) * ctx.lanes
    packed = np.zeros((kh * kw, cp), np.float32)
    packed[:, :c] = w.reshape(c, kh * kw).T
    full = np.zeros(cp, np.float32)
    if bias is not None:
        full[:c] = bias
    form = fused(attrs["act"])
    early = form if residual is None else fused("")
    fields = {"h": h, "w": wd, "c": c, "cp": cp, "oh": oh, "ow": ow, "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh,
              "dw": dw, "top": attrs["pads"][0], "left": attrs["pads"][1], "lo": early.lo, "hi": early.hi,
              "rlo": form.lo, "rhi": form.hi}  # fmt: skip
    # the 25 weights of 5x5 stay in registers only where there are 32
    special = (kh, kw, sw) in _INNER and dw == 1 and (kh == 3 or ctx.isa.registers >= 32)
    inner = Symbol(f"edgec_dw_{kh}x{kw}s{sw}") if special else None
    pixels = (4 if ctx.isa.registers >= 32 else 2) if kh == 3 else 1
    ctx.call(
        "depthwise.h", "edgec_depthwise", ctx.read(op.arg(0)), ctx.pack(packed), ctx.pack(full), residual,
        ctx.write(op.result), Struct("edgec_dw_shape", tuple(fields.items())), inner, form.row, tasks=n * oh,
        macs=n * oh * ow * c * kh * kw, instances=(f"EDGEC_DW_INNER({kh}, {kw}, {sw}, {pixels})",) if special else (),
    )  # fmt: skip


def _conv_transpose(op: Op, ctx: Lowering) -> None:
    """One convolution per phase of the stride, each writing every s-th pixel: output row oy = s*q + r - pad takes taps
    r, r + s, r + 2s … of the kernel from input rows q, q - 1, q - 2 …"""
    if not _fast(op):
        any_conv(op, ctx)
        return
    attrs: Any = op.attrs
    x, w, y = op.arg(0), ctx.graph.array(op.arg(1)), op.result
    n, h, wd, c = x.type.dims
    _, oh, ow, o = y.type.dims
    if y.type.size == 0:
        return
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    b = ctx.graph.array(bias) if bias is not None else None
    groups = attrs["groups"]
    w = _dilated(w, attrs["dilations"])
    og = w.shape[1]
    # [kh][kw][c/g][o]: group g maps its c/g inputs to its og outputs
    kernel = w.reshape(groups, c // groups, og, *w.shape[2:]).transpose(3, 4, 1, 0, 2)
    kernel = kernel.reshape(*w.shape[2:], c // groups, o)
    vertical = _phases(w.shape[2], attrs["strides"][0], attrs["pads"][0], oh)
    horizontal = _phases(w.shape[3], attrs["strides"][1], attrs["pads"][1], ow)
    target = ctx.write(y)
    for ky, y0, count_y, top in vertical:
        for kx, x0, count_x, left in horizontal:
            part = kernel[ky][:, kx] if ky and kx else np.zeros((1, 1, c // groups, o), np.float32)
            to = Pointer(target.buffer, target.ctype, target.offset + 4 * (y0 * ow + x0) * o, True)
            sizes = {
                "sh": 1,
                "sw": 1,
                "dh": 1,
                "dw": 1,
                "top": top if ky and kx else 0,
                "left": left if ky and kx else 0,
            }
            place = {"oh": count_y, "ow": count_x, "y_image": oh * ow * o, "y_row": attrs["strides"][0] * ow * o,
                     "y_pixel": attrs["strides"][1] * o}  # fmt: skip
            rows(ctx, ctx.read(x), (n, h, wd, c), part, b, None, to, groups, sizes, place, True, attrs["act"])


def _dilated(w: np.ndarray, dilations: tuple[int, int]) -> np.ndarray:
    """The kernel with its zeros written out."""
    dh, dw = dilations
    out = np.zeros((*w.shape[:2], (w.shape[2] - 1) * dh + 1, (w.shape[3] - 1) * dw + 1), w.dtype)
    out[:, :, ::dh, ::dw] = w
    return out


def _phases(k: int, s: int, pad: int, out: int) -> list[tuple[list[int], int, int, int]]:
    """For each phase: taps in the order of rising input rows, first output row, number of rows, padding in front."""
    phases = []
    for r in range(min(s, out + s)):
        first = (r - pad) % s
        if first >= out:
            continue
        taps = list(range(r, k, s))[::-1]
        q = (first + pad - r) // s
        phases.append((taps, first, -(-(out - first) // s), len(taps) - 1 - q))
    return phases


def _pool(op: Op, ctx: Lowering) -> None:
    if not _fast(op):
        any_pool(op, ctx)
        return
    attrs: Any = op.attrs
    n, h, w, c = op.arg(0).type.dims
    _, oh, ow, _ = op.result.type.dims
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel"], attrs["strides"], attrs["dilations"]
    count_h = count_w = 0
    average = op.kind == "avg_pool"
    if average and attrs["count_include_pad"]:
        extra = attrs["ceil_pads"] or (0, 0)
        count_h, count_w = h + attrs["pads"][2] - extra[0], w + attrs["pads"][3] - extra[1]
    fields = {"h": h, "w": w, "c": c, "oh": oh, "ow": ow, "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh, "dw": dw,
              "top": attrs["pads"][0], "left": attrs["pads"][1], "count_h": count_h, "count_w": count_w}  # fmt: skip
    ctx.call(
        "pool.h", "edgec_pool", ctx.read(op.arg(0)), ctx.write(op.result),
        Struct("edgec_pool_shape", tuple(fields.items())), int(average), tasks=n * oh,
    )  # fmt: skip


CONV: dict[str, LowerOp] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _pool,
    "avg_pool": _pool,
}
