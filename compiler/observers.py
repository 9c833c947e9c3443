"""Ranges of values over many samples, for asymmetric bytes: the interval that the 256 steps should cover.

    minmax      all that was seen
    percentile  all but a share of the elements, half of it at each end
    entropy     least Kullback-Leibler divergence between the histogram and its quantised form (S. Migacz, "8-bit
                Inference with TensorRT", 2017), with an end of its own on each side of 0, among ranges whose squared
                error is at most twice that of all that was seen
    mse         least squared error of rounding and clamping together

Values are streamed twice: first for their extremes, then into histograms of 2,048 bins between them. Exact zeros are
counted apart: a grid always holds 0, so that they cost nothing wherever the ends are. A range always holds 0. Where
all elements lie on 256 steps, these are the range whatever the observer (`exact_range.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from edgec.exact_range import Levels
from edgec.ir.errors import UsageError

Array = np.ndarray[Any, Any]
Range = tuple[float, float]
K = TypeVar("K")
Stream = Callable[[], Iterable[Mapping[K, Array]]]  # called once a pass

OBSERVERS = ("minmax", "percentile", "entropy", "mse")
AUTO = "auto"  # each of them is tried
PERCENTILE = 99.99
BINS = 2048
STEPS = 255  # between the ends
MOST_ELEMENTS = 1 << 16  # of an array that go into a histogram
BLOCK = 1 << 15  # elements at a time, which stay in the cache
SPOILT = 2.0  # times the squared error that `entropy` may have
ROUNDS = 3  # of searching one end after the other
CANDIDATES = 64  # for an end in a round


class Extremes:
    """Least and largest finite element so far, and 0; and the grid that they are on, if they are."""

    def __init__(self) -> None:
        self.lo = self.hi = 0.0
        self.levels = Levels()

    def update(self, array: Array) -> None:
        if not array.size:
            return
        lo, hi = float(array.min()), float(array.max())
        if self.levels.few:
            self.levels.update(np.append(array.reshape(-1)[:: _stride(array.size)], np.array([lo, hi], array.dtype)))
        if not (math.isfinite(lo) and math.isfinite(hi)):
            finite = array[np.isfinite(array)]
            lo, hi = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        self.lo, self.hi = min(self.lo, lo), max(self.hi, hi)


class Histogram:
    """`counts` of bins between `edges`; `zeros` are the elements that are exactly 0, which are in no bin. `exact`: the
    range that stores all elements as they are, where there is one."""

    def __init__(self, lo: float, hi: float, bins: int = BINS, exact: Range | None = None) -> None:
        assert lo <= 0.0 <= hi, f"[{lo}, {hi}] does not hold 0"
        self.lo, self.hi, self.exact = lo, hi, exact
        self.edges = np.linspace(lo, hi, bins + 1)
        self.counts = np.zeros(bins, np.int64)
        self.zeros = 0

    def update(self, array: Array) -> None:
        """Of a large array an even selection, which holds as much of each channel."""
        width = self.edges[1] - self.edges[0]
        flat = array.reshape(-1)[:: _stride(array.size)]
        if not width > 0.0:
            self.zeros += int(np.count_nonzero(flat == 0))
            return
        bins = len(self.counts)
        for i in range(0, flat.size, BLOCK):
            block = flat[i : i + BLOCK].astype(np.float32)
            block = block[(block != 0.0) & np.isfinite(block)]
            self.zeros += int(min(BLOCK, flat.size - i) - block.size)
            at = ((block.astype(np.float64) - self.lo) / width).astype(np.intp)
            self.counts += np.bincount(np.minimum(np.maximum(at, 0), bins - 1), minlength=bins)


def _stride(size: int) -> int:
    """So that at most MOST_ELEMENTS are taken; without a common divisor with the size, no channel is left out."""
    step = -(-size // MOST_ELEMENTS)
    while step > 1 and math.gcd(step, size) != 1:
        step += 1
    return max(1, step)


def observe(stream: Stream[K], histograms: bool = True) -> dict[K, Histogram]:
    """A histogram for each key of the stream; with its extremes alone, in one pass, when its bins are not asked for."""
    extremes: dict[K, Extremes] = {}
    for found in stream():
        for key, array in found.items():
            extremes.setdefault(key, Extremes()).update(array)
    made = {key: Histogram(e.lo, e.hi, exact=e.levels.range()) for key, e in extremes.items()}
    if histograms:
        for found in stream():
            for key, array in found.items():
                made[key].update(array)
    return made


def measure_ranges(stream: Stream[K], observer: str) -> dict[K, Range]:
    """The range of each key by one observer; percentile where `auto` leaves the choice and nothing is tried."""
    chosen = "percentile" if observer == AUTO else observer
    return {key: range_of(h, chosen) for key, h in observe(stream, histograms=chosen != "minmax").items()}


def channel_maxima(stream: Stream[K]) -> dict[K, Array]:
    """The largest magnitude of each channel (the last axis)."""
    found: dict[K, Array] = {}
    for arrays in stream():
        for key, array in arrays.items():
            seen = np.abs(array).reshape(-1, array.shape[-1]).max(axis=0, initial=0.0)
            found[key] = np.maximum(found[key], seen) if key in found else seen
    return found


def check_observer(observer: str, percentile: float) -> None:
    """UsageError for what is no observer or percentile."""
    if observer not in (AUTO, *OBSERVERS):
        raise UsageError(f"--observer {observer} is not legal; legal: {', '.join((AUTO, *OBSERVERS))}")
    if not 50.0 < percentile <= 100.0:
        raise UsageError(f"--percentile {percentile:g} is not legal; give a number above 50, up to 100")


def tried_by(observer: str) -> tuple[str, ...]:
    """The observers that a choice stands for."""
    return OBSERVERS if observer == AUTO else (observer,)


def range_of(histogram: Histogram, observer: str, percentile: float = PERCENTILE) -> Range:
    """The range that an observer finds in a histogram, or the exact one if there is one."""
    if histogram.exact is not None:
        return histogram.exact
    if observer == "minmax" or not histogram.counts.any():
        return histogram.lo, histogram.hi
    if observer == "percentile":
        return percentile_range(histogram, percentile)
    return {"entropy": entropy_range, "mse": mse_range}[observer](histogram)


def percentile_range(histogram: Histogram, percentile: float) -> Range:
    """Both ends leave the same share of elements outside; zeros count, too."""
    edges, counts = histogram.edges, histogram.counts.astype(np.float64)
    centre = int(np.clip(np.searchsorted(edges, 0.0, side="right") - 1, 0, len(counts) - 1))
    counts[centre] += histogram.zeros
    below = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    rest = (1.0 - percentile / 100.0) / 2.0
    # from either side: in a row of equal shares the interval ends where the first and last elements are
    lo = edges[np.searchsorted(below, rest, side="right") - 1]
    hi = edges[np.searchsorted(below, 1.0 - rest, side="left")]
    return min(0.0, float(lo)), max(0.0, float(hi))


def mse_range(histogram: Histogram) -> Range:
    """Least error, by searching one end after the other among shrunk ones, each round in smaller steps."""
    return _searched(histogram, lambda lo, hi: squared_error(histogram, lo, hi))


def entropy_range(histogram: Histogram) -> Range:
    """Least divergence, searched as the error is; ends stand on the edges of bins. A spike, such as the background of
    images, diverges so much from a step that spans several bins that clamping half of the rest would look better: hence
    the bound on the error."""
    width = histogram.edges[1] - histogram.edges[0]
    most = SPOILT * squared_error(histogram, histogram.lo, histogram.hi)

    def measure(lo: float, hi: float) -> float:
        if squared_error(histogram, lo, hi) > most:
            return math.inf
        return divergence(histogram, round((lo - histogram.lo) / width), round((hi - histogram.lo) / width))

    return _searched(histogram, measure)


def _searched(histogram: Histogram, measure: Callable[[float, float], float]) -> Range:
    """Ends are shrunk to `factors` of what was seen; narrower around the best in later rounds."""
    ends = [histogram.lo, histogram.hi]
    best = measure(*ends)
    factors, spread = np.linspace(1.0, 0.0, CANDIDATES, endpoint=False), 1.0
    for _ in range(ROUNDS):
        for side, full in ((1, histogram.hi), (0, histogram.lo)):
            if full == 0.0:
                continue
            middle = ends[side] / full
            for factor in factors if spread == 1.0 else middle + spread * np.linspace(-1.0, 1.0, CANDIDATES // 4):
                tried = list(ends)
                tried[side] = float(np.clip(factor, 1.0 / CANDIDATES, 1.0)) * full
                found = measure(*tried)
                if found < best * (1.0 - 1e-9):
                    best, ends = found, tried
        spread /= CANDIDATES / 4 if spread == 1.0 else 4
    return ends[0], ends[1]


def squared_error(histogram: Histogram, lo: float, hi: float) -> float:
    """Mean squared error of the elements on the grid of STEPS steps from `lo` to `hi` that holds 0, each bin's being
    spread evenly over it: the integral of the sawtooth between the ends, and that of the distance beyond them."""
    step = (hi - lo) / STEPS
    if not step > 0.0:
        return math.inf
    low = round(lo / step)  # the grid is moved so that 0 is on it
    x = histogram.edges / step
    inside = np.clip(x, low - 0.5, low + STEPS + 0.5)
    nearest = np.rint(inside)
    off = inside - nearest
    saw = nearest / 12.0 + off * off * off / 3.0  # integral of (x - rint(x))^2
    above, below = np.maximum(x - (low + STEPS), 0.5), np.maximum(low - x, 0.5)
    beyond = (above * above * above - below * below * below) / 3.0  # numpy's ** 3 is a call of pow for each
    total = np.diff(saw + beyond) @ histogram.counts
    elements = int(histogram.counts.sum()) + histogram.zeros
    return float(total) / float(x[1] - x[0]) * step**2 / elements


def divergence(histogram: Histogram, first: int, last: int) -> float:
    """Kullback-Leibler divergence of bins first … last-1, with all that is outside put into the outermost ones, from
    what STEPS + 1 levels make of them."""
    inside = histogram.counts[first:last].astype(np.float64)
    if last - first <= STEPS or not inside.any():
        return math.inf
    reference = inside.copy()
    reference[0] += histogram.counts[:first].sum()
    reference[-1] += histogram.counts[last:].sum()
    level = np.arange(last - first) * (STEPS + 1) // (last - first)
    taken = inside > 0.0
    mean = np.bincount(level, inside) / np.maximum(np.bincount(level, taken), 1.0)
    quantised = np.where(taken, mean[level], 0.0)
    p, q = reference / reference.sum(), quantised / quantised.sum()
    present = p > 0.0
    # an outermost bin that holds nothing but what is outside has no counterpart: as if it had a millionth
    return float(np.sum(p[present] * np.log(p[present] / np.maximum(q[present], 1e-6))))
