"""Attributes of the IR as MIL writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def ints(values: Any) -> list[int]:
    items: Sequence[int] = values
    return [int(v) for v in items]


def mil_pads(pads: Sequence[int]) -> list[int]:
    """ONNX's begins and then ends -> MIL's begin and end of each axis."""
    half = len(pads) // 2
    return [int(p) for pair in zip(pads[:half], pads[half:], strict=True) for p in pair]
