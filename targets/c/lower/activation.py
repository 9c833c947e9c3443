"""Fused activations: what the GEMM clamps for free, and what runs over finished rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgec.ir.graph import Value
from edgec.plan.plan import Symbol
from edgec.targets.c.element import Element
from edgec.targets.c.lower.context import Lowering, NotLowered

ROW_ACTIVATIONS = ("hard_swish", "hard_sigmoid", "silu", "sigmoid", "gelu", "gelu_tanh", "tanh")

IN_HALVES = ("hard_swish", "hard_sigmoid")  # functions that edgec_h… computes (kernels/halves.h)


@dataclass(frozen=True)
class Fused:
    """Clamp bounds applied in registers, then a row function (float *y, ptrdiff_t n) or None."""

    lo: float = -math.inf
    hi: float = math.inf
    row: Symbol | None = None


def fused(act: str, numbers: Element | None = None) -> Fused:
    """The form of an activation name as it stands on conv, matmul and add, of those numbers (floats)."""
    if not act:
        return Fused()
    if act == "relu":
        return Fused(lo=0.0)
    if act == "relu6":
        return Fused(lo=0.0, hi=6.0)
    if act.startswith("clip:"):
        _, lo, hi = act.split(":")
        return Fused(lo=float(lo), hi=float(hi))
    if act not in ROW_ACTIVATIONS:
        raise NotLowered(f"the fused activation {act} has no kernel")
    return Fused(row=Symbol(f"edgec_{letter_of(act, numbers) if numbers else ''}act_{act}"))


def letter_of(function: str, numbers: Element) -> str:
    """What computes a function of those numbers: only what is exact enough in halves is done in them. Sums of
    bf16 and of 8-bit floats are floats."""
    if numbers.dtype in ("bf16", "u8"):
        if numbers.letter == "t":
            raise NotLowered(f"the fused activation {function} has no kernel on results of bf16")
        return ""
    return numbers.letter if function in IN_HALVES or numbers.letter != "h" else "s"


def row_activation(ctx: Lowering, value: Value, act: str) -> None:
    """Applies an activation to a finished value where it lies."""
    numbers = ctx.element(value.type.dtype, wide=act not in IN_HALVES)
    form = fused(act, numbers)
    n = value.type.size
    if not n:
        return
    if form.row is not None:
        ctx.call(numbers.header("act.h"), form.row.name, ctx.write(value), n, instances=(f"EDGEC_ACT({act})",))
    else:
        clamp = numbers.function("clamp_row")
        ctx.call(numbers.header("act.h"), clamp, ctx.write(value), n, form.lo, form.hi)
