"""Depthwise convolution of bytes over channels-last images, by rows (kernels/qdepthwise.h)."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.plan.plan import Struct, Symbol
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.context import Lowering, Rows
from edgec.targets.c.lower.conv import operand_strides
from edgec.targets.c.lower.qmatmul import finish_of

# Kernel sizes and strides with a body of their own.
_INNER = {(3, 3, 1), (3, 3, 2), (5, 5, 1), (5, 5, 2)}
_LIMITS = {"i8": (-128, 127), "u8": (0, 255)}


def lower_qdepthwise(op: Op, ctx: Lowering, x: Rows, y: Rows) -> None:
    attrs: Any = op.attrs
    isa = ctx.isa
    finish = finish_of(op, ctx)
    _, h, _, c = op.arg(0).type.dims
    _, oh, ow, _ = op.result.type.dims
    kh, kw = op.arg(1).type.dims[2:]
    weights = ctx.graph.array(op.arg(1)).reshape(c, kh, kw)
    (sh, sw), (dh, dw) = attrs["strides"], attrs["dilations"]
    fast = (kh, kw, sw) in _INNER and dw == 1 and finish.by is not None
    together = _together(isa, c, ow) if fast and sw == 1 else 1
    channels = _blocks(isa, c, together)
    packed, bias = (_pack(isa, a[channels]) for a in (_groups(isa, weights), finish.folded(weights.sum((1, 2)))))
    by = ctx.pack(_pack(isa, finish.by[channels])) if finish.by is not None else None
    zeros = np.full(4 * isa.lanes, finish.x_zero, np.uint8 if isa.byte == "u8" else np.int8)
    fields = {"h": h, "c": c, "ow": ow, "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh, "dw": dw,
              "top": attrs["pads"][0], "left": attrs["pads"][1], **operand_strides("x", x), **operand_strides("y", y),
              "together": together, "lo": finish.lo, "hi": finish.hi}  # fmt: skip
    form = kh, kw, sw * together, int((finish.lo, finish.hi) != _LIMITS[isa.byte])
    ctx.call(
        "qdepthwise.h", "edgec_qdepthwise", x.read(), ctx.pack(packed), ctx.pack(bias), by, ctx.pack(zeros), y.write(),
        Struct("edgec_qdw_shape", tuple(fields.items())),
        Symbol("edgec_qdw_{}x{}s{}_{}".format(*form)) if fast else None, macs=oh * ow * c * kh * kw,
        instances=("EDGEC_QDW_INNER({}, {}, {}, {})".format(*form),) if fast else (),
    )  # fmt: skip


def _together(isa: Isa, c: int, ow: int) -> int:
    """Neighbouring pixels whose channels fill a register: side by side, they are one pixel of more channels."""
    pixels, rest = divmod(4 * isa.lanes, c)
    return pixels if rest == 0 and pixels <= ow else 1


def _blocks(isa: Isa, c: int, together: int) -> np.ndarray:
    """[block][byte]: the channel of each byte of a register. The last block goes over channels already done."""
    width = 4 * isa.lanes
    if c < width:
        found = np.arange(width) % c if together > 1 else np.minimum(np.arange(width), c - 1)
        return found[np.newaxis]
    starts = np.minimum(np.arange(0, c, width), c - width)
    return np.asarray(starts[:, np.newaxis] + np.arange(width))


def _groups(isa: Isa, weights: np.ndarray) -> np.ndarray:
    """[c][kh][kw] as [c][kw][group of rows][row]."""
    c, kh, kw = weights.shape
    of = 4 if isa.dot or isa.name != "neon" else 2  # EDGEC_QDW_ROWS
    full = np.zeros((c, kw, -(-kh // of) * of), np.int8)
    full[:, :, :kh] = weights.transpose(0, 2, 1)
    return full.reshape(c, kw, -1, of)


def _pack(isa: Isa, per_channel: np.ndarray) -> np.ndarray:
    """[block][byte]… in the order of registers: that of sums, or of weights [block][byte][kw][group][row]."""
    blocks, width = per_channel.shape[:2]
    if per_channel.ndim > 2 and per_channel.shape[-1] == 2:
        return np.ascontiguousarray(per_channel.transpose(0, 2, 3, 4, 1))  # row by row
    # register j has four channels of each 128-bit lane
    order = per_channel.reshape(blocks, width // 16, 4, 4, *per_channel.shape[2:]).swapaxes(1, 2)
    order = order.reshape(blocks, 4, width // 4, *per_channel.shape[2:])  # [block][register][lane]…
    if per_channel.ndim == 2:
        return np.ascontiguousarray(order)
    return np.ascontiguousarray(order.transpose(0, 3, 4, 1, 2, 5))  # [block][kw][group][register][lane][row]
