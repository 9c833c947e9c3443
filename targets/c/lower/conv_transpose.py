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
from edgec.targets.c.lower.window import any_conv


def lower_conv_transpose(op: Op, ctx: Lowering, x: Rows, y: Rows) -> None:
    """A call of edgec_conv a phase, for those of the block's rows that belong to it."""
    attrs: Any = op.attrs
    w = ctx.graph.array(op.arg(1))
    _, h, _, c = op.arg(0).type.dims
    _, oh, ow, o = op.result.type.dims
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    b = ctx.graph.array(bias) if bias is not None else None
    groups, (sh, sw) = attrs["groups"], attrs["strides"]
    w = _dilated(w, attrs["dilations"])
    # [kh][kw][c/g][o]: group g maps its c/g inputs to its og outputs
    kernel = w.reshape(groups, c // groups, *w.shape[1:]).transpose(3, 4, 1, 0, 2)
    kernel = kernel.reshape(*w.shape[2:], c // groups, o)
    for ky, y0, count_y, top in _phases(w.shape[2], sh, attrs["pads"][0], oh):
        for kx, x0, count_x, left in _phases(w.shape[3], sw, attrs["pads"][1], ow):
            taps = bool(ky and kx)
            part = kernel[ky][:, kx] if taps else np.zeros((1, 1, c // groups, o), w.dtype)
            at = replace(y.at, offset=y.at.offset + y.size * (y0 * y.row + x0 * o))
            to = Rows(at, y.image, sh * y.row, count_y if y.depth >= oh else y.depth // sh)
            sizes = {"sh": 1, "sw": 1, "dh": 1, "dw": 1, "top": top if taps else 0, "left": left if taps else 0}
            with ctx.phase(y0, sh):
                # without taps there are no input rows: what is left is the bias
                gemm_rows(ctx, x, (h if taps else 0, c), part, b, None, to, sw * o, groups, sizes, count_y, count_x,
                          attrs["act"])  # fmt: skip


def phase_columns(op: Op) -> tuple[int, int]:
    """Columns of zeros that the phases read beside the image: in front and behind."""
    attrs: Any = op.attrs
    reach = (op.arg(1).type.dims[3] - 1) * attrs["dilations"][1] + 1
    phases = _phases(reach, attrs["strides"][1], attrs["pads"][1], op.result.type.dims[2])
    behind = max(count - 1 - left + len(taps) - op.arg(0).type.dims[2] for taps, _, count, left in phases)
    return max(0, *(left for _, _, _, left in phases)), max(0, behind)


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


CONV_TRANSPOSE: dict[str, LowerOp] = {"conv_transpose": any_conv}  # where phases_by_rows says no
