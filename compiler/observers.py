"""Which range of a value bytes should cover, from what it is over samples.

`minmax` covers all; `percentile` leaves out the outermost elements; `entropy` takes the range whose quantised histogram
says most of the whole one (Migacz, *8-bit Inference with TensorRT*, 2017); `mse` the one with the least squared error.
Each value is seen twice: for its extremes, then for its histogram between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Range = tuple[float, float]
BINS = 2048
LEVELS = 256
OUTSIDE = 1e-4  # share of elements that `percentile` leaves out, both ends together
SHRINK = np.linspace(1.0, 0.3, 36)  # parts of an end that are tried


class Observer:
    """The extremes of a value, then its histogram."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0
        self.counts = np.zeros(BINS, np.int64)

    def extremes(self, array: Array) -> None:
        if array.size:
            self.low, self.high = min(self.low, float(array.min())), max(self.high, float(array.max()))

    def histogram(self, array: Array) -> None:
        if self.high > self.low:
            self.counts += np.histogram(array, BINS, (self.low, self.high))[0]

    def range(self, name: str) -> Range:
        """Always holds 0."""
        if not self.counts.sum() or name == "minmax":
            return self.low, self.high
        edges = np.linspace(self.low, self.high, BINS + 1)
        low, high = OBSERVERS[name](self.counts, edges)
        return min(low, 0.0), max(high, 0.0)


def _percentile(counts: Array, edges: Array) -> Range:
    below = np.cumsum(counts) / counts.sum()
    first = int(np.searchsorted(below, OUTSIDE / 2))
    last = int(np.searchsorted(below, 1 - OUTSIDE / 2))
    return float(edges[first]), float(edges[min(last + 1, BINS)])


def _ends(edges: Array) -> list[Range]:
    """Ranges inside the extremes, of which one end or both have moved."""
    low, high = float(edges[0]), float(edges[-1])
    lows = low * SHRINK if low < 0 else np.zeros(1)
    highs = high * SHRINK if high > 0 else np.zeros(1)
    if len(lows) == 1 or len(highs) == 1:
        return [(float(a), float(b)) for a in lows for b in highs]
    both = [(float(a), float(b)) for a, b in zip(lows, highs, strict=True)]
    return both + [(float(a), high) for a in lows] + [(low, float(b)) for b in highs]


def _mse(counts: Array, edges: Array) -> Range:
    """A bin's error is that of its centre: within the range the step's own variance, outside the distance."""
    centres = (edges[:-1] + edges[1:]) / 2

    def error(ends: Range) -> float:
        low, high = ends
        step = (high - low) / (LEVELS - 1)
        clipped = np.maximum(0, np.maximum(low - centres, centres - high))
        return float((counts * np.where(clipped > 0, clipped**2, step**2 / 12)).sum())

    return min(_ends(edges), key=error)


def _entropy(counts: Array, edges: Array) -> Range:
    centres = (edges[:-1] + edges[1:]) / 2
    p = counts / counts.sum()

    def divergence(ends: Range) -> float:
        low, high = ends
        at = np.clip(np.rint((centres - low) / ((high - low) / (LEVELS - 1))), 0, LEVELS - 1).astype(int)
        inside = (centres >= low) & (centres <= high)
        clipped = p * inside
        for end, outside in ((0, centres < low), (-1, centres > high)):
            where = np.flatnonzero(inside)
            if len(where):
                clipped[where[end]] += p[outside].sum()
        used = clipped > 0
        sums, number = np.zeros(LEVELS), np.zeros(LEVELS)
        np.add.at(sums, at[inside], p[inside])
        np.add.at(number, at[used], 1)
        q = np.where(used, sums[at] / np.maximum(number[at], 1), 0.0)
        return float((clipped[used] * np.log(clipped[used] / np.maximum(q[used], 1e-12))).sum())

    return min(_ends(edges), key=divergence)


OBSERVERS: dict[str, Callable[[Array, Array], Range]] = {
    "minmax": lambda counts, edges: (float(edges[0]), float(edges[-1])),
    "percentile": _percentile,
    "entropy": _entropy,
    "mse": _mse,
}
