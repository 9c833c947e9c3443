"""Fused activations: what the GEMM clamps for free, and what runs over finished rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgec.plan.plan import Symbol


@dataclass(frozen=True)
class Fused:
    """Clamp bounds applied in registers, then a row function or None. The row function takes (float *y, n)."""

    lo: float = -math.inf
    hi: float = math.inf
    row: Symbol | None = None


ROW_ACTIVATIONS = {"hard_swish", "hard_sigmoid", "silu", "sigmoid", "gelu", "gelu_tanh", "tanh"}


def fused(act: str) -> Fused:
    """The form of an activation name as it stands on conv, matmul and add."""
    if not act:
        return Fused()
    if act == "relu":
        return Fused(lo=0.0)
    if act == "relu6":
        return Fused(lo=0.0, hi=6.0)
    if act.startswith("clip:"):
        _, lo, hi = act.split(":")
        return Fused(lo=float(lo), hi=float(hi))
    if act.startswith("leaky:"):
        raise NotImplementedError(act)
    assert act in ROW_ACTIVATIONS, act
    return Fused(row=Symbol(f"edgec_act_{act}"))
