"""Weights that are no finite numbers: no narrower format than floats and halves has a form for them."""

from __future__ import annotations

import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph
from edgec.ir.macs import macs_of
from edgec.ir.types import FLOATS

HOLDING = ("float32", "fp16", "bf16")


def check_finite(graph: Graph, precision: str) -> None:
    """UsageError for the first product whose weights hold infinities or NaN, where the precision cannot."""
    if precision in HOLDING:
        return
    for op in graph.ops:
        value = op.inputs[1] if len(op.inputs) > 1 and op.kind != "attention" and macs_of(op) else None
        if value is None or value.const is None or value.type.dtype not in FLOATS:
            continue
        if not np.isfinite(graph.array(value)).all():
            raise UsageError(
                f"--precision {precision}: weights of {op.label} hold infinities or NaN, for which it has no form; "
                f"legal are finite weights, or --precision {', '.join(HOLDING)}"
            )
