"""Scales of groups as whole multiples of one of their channel (ir/ops/integer.py, weights of four bits)."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.ops.integer import MOST_TIMES
from edgec.passes.requant import NotInIntegers

Array = np.ndarray[Any, Any]
TOLERANCE = 1e-4  # of a multiple: scales are floats of 24 bits


def whole_multiples(scales: Array) -> tuple[Array, Array]:
    """The largest scale of each channel of which all of its [n, groups] are 1 to 17 times as much, and the numbers."""
    flat = scales.astype(np.float64)
    least = flat.min(axis=1)
    base = np.zeros(len(flat))
    for count in range(MOST_TIMES, 0, -1):
        ratio = flat * count / least[:, None]
        fits = (np.abs(ratio - np.rint(ratio)).max(axis=1) < TOLERANCE) & (ratio.max(axis=1) < MOST_TIMES + 0.5)
        base[fits] = least[fits] / count
    if not base.all():
        raise NotInIntegers("GROUP_SCALES")
    return base, np.rint(flat / base[:, None]).astype(np.int8)
