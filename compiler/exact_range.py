"""Ranges that bytes store exactly: numbers that lie on a grid of at most 256 steps.

An image in float32 was bytes once: (k / 255 - mean) / deviation takes 256 values, one step apart. A range whose steps
are those stores each as it was, where another loses up to half a step everywhere. The zero of the bytes lies on a step,
that of the numbers need not; what is lost by that is the same for all of them, and a bias makes up for it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Range = tuple[float, float]

STEPS = 255
FEWEST = 16  # levels: fewer numbers lie on some grid by chance
GLANCE = 2048  # elements that tell most numbers that are on no grid
OFF = 0.01  # of a step, that numbers may be beside theirs
MOST_SHIFT = 0.4  # of a step, from the numbers' 0 to the bytes': at 0.5 it is open which way numbers are rounded


class Levels:
    """The numbers that were seen, while they are few."""

    def __init__(self) -> None:
        self._seen: Array | None = np.zeros(0, np.float32)

    @property
    def few(self) -> bool:
        """There may be a range; what is no more will not be again."""
        return self._seen is not None

    def update(self, array: Array) -> None:
        """Float32 of any shape."""
        flat = array.reshape(-1)
        for part in (flat[:GLANCE], flat):
            if self._seen is not None:
                found = np.union1d(self._seen, part)
                self._seen = found if len(found) <= STEPS + 1 and np.isfinite(found).all() else None

    def range(self) -> Range | None:
        """The ends of 255 steps that hold 0 and on which all numbers lie, but for one shift; None if there are none."""
        if self._seen is None or len(self._seen) < FEWEST:
            return None
        seen = self._seen.astype(np.float64)
        lo, hi = min(float(seen[0]), 0.0), max(float(seen[-1]), 0.0)
        steps = np.rint((seen - seen[0]) / np.diff(seen).min())
        step = float(seen[-1] - seen[0]) / float(steps[-1])
        if steps[-1] > STEPS or np.abs(seen - seen[0] - steps * step).max() > OFF * step:
            return None
        # as fine as all of it fits into 255 steps
        for parts in range(math.floor(STEPS * step / (hi - lo)), 0, -1):
            fine = step / parts
            zero, shift = round(-lo / fine), abs(float(seen[0]) / fine - round(float(seen[0]) / fine))
            if zero + round(hi / fine) <= STEPS and shift <= MOST_SHIFT:
                return -zero * fine, (STEPS - zero) * fine
        return None
