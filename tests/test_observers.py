"""Observers on distributions whose best ranges are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edgec.ir.errors import UsageError
from edgec.observers import (
    MOST_ELEMENTS,
    OBSERVERS,
    Histogram,
    channel_maxima,
    divergence,
    measure_ranges,
    observe,
    range_of,
    squared_error,
)

Array = np.ndarray[Any, Any]
COUNT = 60_000


def drawn(name: str) -> Array:
    rng = np.random.default_rng(0)
    made = {
        "normal": lambda: rng.standard_normal(COUNT),
        "relu": lambda: np.maximum(rng.standard_normal(COUNT), 0.0),
        "laplace": lambda: rng.laplace(size=COUNT),
        "uniform": lambda: rng.uniform(-1.0, 3.0, COUNT),
        "student": lambda: rng.standard_t(3, COUNT),
        "negative": lambda: -rng.gamma(1.0, 1.0, COUNT),
        "outlier": lambda: np.append(rng.standard_normal(COUNT - 1), 30.0),
    }[name]()
    return made.astype(np.float32)


DISTRIBUTIONS = ("normal", "relu", "laplace", "uniform", "student", "negative", "outlier")


def histogram(array: Array, parts: int = 3) -> Histogram:
    return observe(lambda: [{"v": part} for part in np.array_split(array, parts)])["v"]


def error(array: Array, lo: float, hi: float) -> float:
    """Of rounding to bytes, as the integer operators do it."""
    step = (hi - lo) / 255
    zero = round(-lo / step)
    stored = np.clip(np.rint(array.astype(np.float64) / step) + zero, 0, 255)
    return float(np.mean(((stored - zero) * step - array) ** 2))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_error_is_the_error(name: str) -> None:
    array = drawn(name)
    found = histogram(array)
    for share in (1.0, 0.7, 0.3):
        lo, hi = found.lo * share, found.hi * share**0.5
        assert squared_error(found, lo, hi) == pytest.approx(error(array, lo, hi), rel=0.02)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_mse_finds_the_least_error(name: str) -> None:
    """Against all pairs of 100 ends a side, with the true error of each."""
    array = drawn(name)
    found = histogram(array)
    lo, hi = range_of(found, "mse")
    assert found.lo <= lo <= 0.0 <= hi <= found.hi
    shares = np.linspace(0.01, 1.0, 100)
    ends = [shares * end if end else [0.0] for end in (found.lo, found.hi)]
    pairs = [(a, b) for a in ends[0] for b in ends[1]]
    best = min(error(array, *p) for p in sorted(pairs, key=lambda p: squared_error(found, *p))[:50])
    assert error(array, lo, hi) <= best * 1.01
    assert error(array, lo, hi) <= error(array, found.lo, found.hi)


def test_minmax_holds_zero_and_needs_one_pass() -> None:
    passes = []

    def stream() -> list[dict[str, Array]]:
        passes.append(1)
        return [{"a": np.array([3.0, 5.0]), "b": np.array([-2, -7])}, {"a": np.array([4.0, 9.0]), "b": np.array([-1])}]

    assert measure_ranges(stream, "minmax") == {"a": (0.0, 9.0), "b": (-7.0, 0.0)}
    assert len(passes) == 1
    measure_ranges(stream, "mse")
    assert len(passes) == 3


def test_percentile_leaves_half_of_the_rest_on_each_side() -> None:
    found = histogram(np.linspace(-1.0, 1.0, 50_001, dtype=np.float32))
    bin = 2.0 / 2048
    assert range_of(found, "percentile", 90.0) == pytest.approx((-0.9, 0.9), abs=1.5 * bin)
    assert range_of(found, "percentile", 100.0) == (-1.0, 1.0)
    # of nine zeros to one other, the highest 5 % are half of the others
    mixed = np.concatenate([np.zeros(9 * 2000), np.linspace(0.001, 1.0, 2000)]).astype(np.float32)
    lo, hi = range_of(histogram(mixed), "percentile", 90.0)
    assert (lo, hi) == (0.0, pytest.approx(0.5, abs=0.002))


def test_entropy_shrinks_tails_and_keeps_a_uniform() -> None:
    student = histogram(drawn("student"))
    lo, hi = range_of(student, "entropy")
    assert student.lo < lo < -5.0
    assert 5.0 < hi < 0.9 * student.hi
    first, last = (int(np.searchsorted(student.edges, end - 1e-9)) for end in (lo, hi))
    assert divergence(student, first, last) < 0.9 * divergence(student, 0, 2048)
    assert range_of(histogram(drawn("uniform")), "entropy") == pytest.approx((-1.0, 3.0), abs=0.01)


def test_entropy_does_not_clamp_half_for_a_spike() -> None:
    """The background of images is one number, and not 0."""
    rng = np.random.default_rng(0)
    array = np.concatenate([np.full(COUNT, -0.81), rng.uniform(-0.81, 2.02, COUNT)]).astype(np.float32)
    lo, hi = range_of(histogram(array), "entropy")
    assert error(array, lo, hi) <= 2.1 * error(array, -0.81, 2.02)


def test_divergence_by_hand() -> None:
    """512 bins in pairs: a pair of counts (a, b) becomes its mean twice, but a bin without elements stays so."""
    found = Histogram(0.0, 512.0, 512)
    found.counts[:] = 10
    found.counts[4:6] = 4, 12
    found.counts[8:10] = 0, 6
    p = found.counts / found.counts.sum()
    q = p.copy()
    q[4:6] = p[4:6].mean()
    present = p > 0
    assert divergence(found, 0, 512) == pytest.approx(np.sum(p[present] * np.log(p[present] / q[present])))
    assert divergence(found, 0, 512) > 0.0
    assert divergence(found, 100, 355) == math.inf, "there must be a bin for each level"


def test_zeros_cost_nothing() -> None:
    """A sum that is mostly zeros after an activation must not be rounded coarser for their sake."""
    half = drawn("relu")
    more = np.concatenate([half, np.zeros(10 * COUNT, np.float32)])
    assert range_of(histogram(more, 20), "mse") == pytest.approx(range_of(histogram(half), "mse"), rel=1e-6)


@pytest.mark.parametrize("observer", OBSERVERS)
@pytest.mark.parametrize(
    "array",
    [np.zeros(10), np.full(10, 2.5), np.full(10, -1e-30), np.array([]), np.array([np.nan, np.inf, -1.0, 2.0]),
     np.array([-3.4e38, 3.4e38], np.float32), np.array([0, 7, 255], np.uint8), np.array([True, False])],
)  # fmt: skip
def test_odd_arrays(observer: str, array: Array) -> None:
    ((lo, hi),) = measure_ranges(lambda: [{"v": array}], observer).values()
    known = array[np.isfinite(array)].astype(np.float64) if array.size else np.zeros(1)
    assert min(0.0, known.min()) <= lo <= 0.0 <= hi <= max(0.0, known.max())
    if known.any():
        assert lo < hi


def test_of_a_large_array_each_channel_is_seen() -> None:
    channels = 64
    array = np.repeat(np.arange(1, channels + 1, dtype=np.float32)[None], 4 * MOST_ELEMENTS // channels, axis=0)
    found = histogram(array)
    seen = np.flatnonzero(found.counts)
    assert len(seen) == channels
    assert found.counts.sum() <= 3 * MOST_ELEMENTS
    assert found.counts[seen].max() <= found.counts[seen].min() + 3


def test_maxima_of_channels() -> None:
    arrays = [np.array([[1.0, -7.0], [2.0, 3.0]]), np.array([[[-4.0, 5.0]]])]
    np.testing.assert_array_equal(channel_maxima(lambda: [{"v": a} for a in arrays])["v"], [4.0, 7.0])


def test_options() -> None:
    with pytest.raises(UsageError, match="--observer best is not legal; legal: auto, minmax, percentile, entropy, mse"):
        measure_ranges(lambda: [], "best")
    for percentile in (0.9999, 101.0, math.nan):
        with pytest.raises(UsageError, match=r"--percentile .* is not legal; give a number above 50, up to 100"):
            measure_ranges(lambda: [], "percentile", percentile)
