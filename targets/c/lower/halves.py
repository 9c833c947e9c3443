"""Which operators the CPU targets have kernels of halves for (kernels/halves.h), asked of the operator on floats."""

from __future__ import annotations

from edgec.ir.graph import Op
from edgec.targets.c.lower.conv import conv_has_rows, is_fast
from edgec.targets.c.lower.conv_transpose import phases_by_rows
from edgec.targets.c.lower.elementwise import HALF_KINDS

_MOVES = ("broadcast_to", "concat", "gather", "gather_elements", "gather_nd", "pad", "reshape", "slice", "transpose")
_REDUCTIONS = (
    "layer_norm", "log_softmax", "reduce_max", "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum", "rms_norm",
    "softmax",
)  # fmt: skip


def has_half_form(op: Op) -> bool:
    if op.kind == "conv":
        return conv_has_rows(op)
    if op.kind == "conv_transpose":
        return phases_by_rows(op)
    if op.kind in ("max_pool", "avg_pool"):
        return is_fast(op)
    if op.kind == "resize":
        return op.attrs["mode"] == "nearest"
    return op.kind in ("matmul", "where", *HALF_KINDS, *_MOVES, *_REDUCTIONS)
