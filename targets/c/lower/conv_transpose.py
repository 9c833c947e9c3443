"""Transposed convolution as one convolution per phase of the stride, each writing every s-th pixel.

Output row oy = s*q + r - pad takes taps r, r + s, r + 2s … of the kernel from input rows q, q - 1, q - 2 …
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.c.lower.context import Lowering, LowerOp, Rows
from edgec.targets.c.lower.conv import SEGMENTS, gemm_rows, is_fast
from edgec.targets.c.lower.rows import whole_rows, with_columns
from edgec.targets.c.lower.window import any_conv


def _conv_transpose(op: Op, ctx: Lowering) -> None:
    if not phases_by_rows(op):
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
    before = max(left for _, _, _, left in horizontal)
    behind = max(count - 1 - left + len(taps) - wd for taps, _, count, left in horizontal)
    source = with_columns(ctx, ctx.image_rows(x), x.type.dims, max(0, before), max(0, behind))
    target = ctx.image_rows(y, write=True)
    for ky, y0, count_y, top in vertical:
        for kx, x0, count_x, left in horizontal:
            taps = bool(ky and kx)
            part = kernel[ky][:, kx] if taps else np.zeros((1, 1, c // groups, o), np.float32)
            at = replace(target.at, offset=target.at.offset + 4 * (y0 * target.row + x0 * o))
            to = Rows(at, target.image, attrs["strides"][0] * target.row, count_y)
            sizes = {"sh": 1, "sw": 1, "dh": 1, "dw": 1, "top": top if taps else 0, "left": left if taps else 0}
            with ctx.collect() as calls:
                # without taps there are no input rows: what is left is the bias
                gemm_rows(ctx, source, (h if taps else 0, c), part, b, None, to, attrs["strides"][1] * o, groups, sizes,
                          count_y, count_x, attrs["act"])  # fmt: skip
            ctx.block(whole_rows(calls, count_y, n, ctx.source))


def phases_by_rows(op: Op) -> bool:
    """Whether the phases can run as convolutions by rows."""
    if not is_fast(op):
        return False
    attrs: Any = op.attrs
    (kh, kw), (sh, sw), (dh, dw) = op.arg(1).type.dims[2:], attrs["strides"], attrs["dilations"]
    runs = -(-((kw - 1) * dw + 1) // sw) if attrs["groups"] > 1 else 1
    return bool(-(-((kh - 1) * dh + 1) // sh) * runs <= SEGMENTS)


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


CONV_TRANSPOSE: dict[str, LowerOp] = {"conv_transpose": _conv_transpose}
