"""Activations that are fused into an operator, by their names: what they compute, and which there are."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.ops.functions import PARAMETRIC, UNARY, clip
from edgec.ir.ops.row import Attrs

Array = np.ndarray[Any, Any]


def activate(x: Array, act: str) -> Array:
    """A fused activation by its name on conv, matmul and add."""
    if not act:
        return x
    name, *numbers = act.split(":")
    if name == "relu6":
        return clip(x, {"lo": 0.0, "hi": 6.0})
    if name == "clip":
        return clip(x, {"lo": float(numbers[0]), "hi": float(numbers[1])})
    if name == "leaky":
        return PARAMETRIC["leaky_relu"][1](x, {"alpha": float(numbers[0])})
    if name == "hard_sigmoid":
        return PARAMETRIC["hard_sigmoid"][1](x, {"alpha": 1 / 6, "beta": 0.5})
    return UNARY[name][1](x)


ACTIVATIONS = frozenset(
    {"", "relu", "relu6", "hard_swish", "hard_sigmoid", "silu", "sigmoid", "gelu", "gelu_tanh", "tanh"}
)


def check_activation(kind: str, attrs: Attrs) -> None:
    act = str(attrs["act"])
    try:
        numbers = [float(n) for n in act.split(":")[1:]]
    except ValueError:
        numbers = []
    if (
        act in ACTIVATIONS
        or (act.startswith("clip:") and len(numbers) == 2)
        or (act[:6] == "leaky:" and len(numbers) == 1)
    ):
        return
    raise IRError(
        f"{kind} has no fused activation {act!r}; legal: {', '.join(sorted(ACTIVATIONS))}, clip:LO:HI, leaky:A"
    )
