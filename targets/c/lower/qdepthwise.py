"""Depthwise convolution of bytes over channels-last images, by rows (kernels/qdepthwise.h)."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.plan.plan import Struct, Symbol
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.context import Lowering, Rows
from edgec.targets.c.lower.conv import operand_strides
from edgec.targets.c.lower.qmatmul import finish_of, laid_out
from edgec.targets.c.requant import short_multipliers

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
    short = None
    if finish.by is not None:
        short = short_multipliers(isa, finish.by, finish.ends(isa, weights.reshape(c, -1)))
    fast = (kh, kw, sw) in _INNER and dw == 1 and finish.by is not None
    together = _together(isa, c, ow) if fast and sw == 1 else 1
    channels = _blocks(isa, c, together)
    groups, bias = _groups(isa, weights), finish.folded(weights.sum((1, 2)))
    factors = short if short is not None else finish.by
    zeros = np.full(4 * isa.lanes, finish.x_zero, np.uint8 if isa.byte == "u8" else np.int8)
    fields = {"h": h, "c": c, "ow": ow, "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh, "dw": dw,
              "top": attrs["pads"][0], "left": attrs["pads"][1], **operand_strides("x", x), **operand_strides("y", y),
              "together": together, "exact": int(short is None), "lo": finish.lo, "hi": finish.hi}  # fmt: skip
    form = kh, kw, sw * together, int((finish.lo, finish.hi) != _LIMITS[isa.byte]), int(short is None)
    ctx.call(
        "qdepthwise.h", "edgec_qdepthwise", x.read(), ctx.pack(_pack(isa, groups[channels]), "int8_t"),
        ctx.pack(_by_lanes(bias[channels])),
        ctx.pack(_by_lanes(factors[channels])) if factors is not None else None, ctx.pack(zeros), y.write(),
        Struct("edgec_qdw_shape", tuple(fields.items())),
        Symbol("edgec_qdw_{}x{}s{}_{}{}".format(*form)) if fast else None,
        macs=oh * ow * c * kh * kw, instances=(
            laid_out(isa), *(("EDGEC_QDW_INNER({}, {}, {}, {}, {})".format(*form),) if fast else ()),
        ),
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
    """[c][kh][kw] as [c][group][place in it] (EDGEC_QDW_ROWS): of rows, column by column, then of the columns of a last
    row that is left over alone."""
    c, kh, kw = weights.shape
    of = 4 if isa.dot or isa.name == "scalar" else 2
    alone = kh % of == 1
    rows = kh - 1 if alone else kh
    full = np.zeros((c, kw, -(-rows // of) * of), np.int8)
    full[:, :, :rows] = weights[:, :rows].transpose(0, 2, 1)
    found = [full.reshape(c, -1, of)]
    if alone:
        last = np.zeros((c, -(-kw // of), of), np.int8)
        for i, start in enumerate(range(0, kw, of)):
            taps = weights[:, kh - 1, start : start + of]
            last[:, i, of - taps.shape[1] :] = taps
        found.append(last)
    return np.concatenate(found, axis=1)


def _pack(isa: Isa, groups: np.ndarray) -> np.ndarray:
    """[block][byte][group][place] as the registers of edgec_qdw_add, [block][group]…"""
    if isa.dot or isa.name == "scalar":
        packed = _by_lanes(groups)
    elif isa.name == "neon":
        return np.ascontiguousarray(groups.transpose(0, 2, 3, 1))  # place by place
    else:
        packed = _by_lanes(groups).astype(np.int16)
    return np.ascontiguousarray(packed.transpose(0, 3, 1, 2, 4))


def _by_lanes(a: np.ndarray) -> np.ndarray:
    """[block][byte]… as [block][register][lane]…: register j has four channels of each 128-bit lane."""
    blocks, width, *rest = a.shape
    order = a.reshape(blocks, width // 16, 4, 4, *rest).swapaxes(1, 2)
    return np.ascontiguousarray(order.reshape(blocks, 4, width // 4, *rest))
