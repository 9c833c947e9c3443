"""What a convolution adds to its sums."""

from __future__ import annotations

from edgec.ir.graph import Op, Value

OPERAND = {"conv": 3, "qconv": 6}


def residual_of(op: Op) -> Value | None:
    """A tensor of the result's shape; None where nothing is added."""
    at = OPERAND.get(op.kind, len(op.inputs))
    return op.inputs[at] if len(op.inputs) > at else None
