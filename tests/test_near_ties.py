"""What margins and their errors say of a drop, against drops that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgec.near_ties import LEAST_ITEMS, drop_near_ties
from edgec.paired import score_interval

Array = np.ndarray[Any, Any]


def scores(n: int, seed: int, noise: float) -> tuple[Array, Array, Array]:
    """Two classes, whose margins have density 1 at zero; the better one is right in 70 % of all items."""
    rng = np.random.default_rng(seed)
    margins, errors = rng.exponential(1.0, n), noise * rng.standard_normal(n)
    labels = (rng.random(n) > 0.7).astype(int)
    wide = np.stack([margins, np.zeros(n)], 1)
    return wide, wide + np.stack([errors, np.zeros(n)], 1), labels


@pytest.mark.parametrize(("n", "noise"), [(256, 0.02), (256, 0.1), (2000, 0.02)])
def test_intervals_hold_the_drop_of_many_items(n: int, noise: float) -> None:
    changed = float(np.mean(scores(4_000_000, 1, noise)[1][:, 0] < 0))
    drop = changed * (0.7 - 0.3)
    found = [d for d in (drop_near_ties(*scores(n, seed, noise)) for seed in range(400)) if d]
    assert len(found) == 400
    assert np.mean([d.changed for d in found]) == pytest.approx(changed, rel=0.15)
    assert np.mean([d.low <= drop for d in found]) > 0.94
    assert np.mean([d.high >= drop for d in found]) > 0.94
    assert np.median([d.high for d in found]) < 5 * drop


def test_narrower_than_counting() -> None:
    found = [d for d in (drop_near_ties(*scores(256, seed, 0.02)) for seed in range(100)) if d]
    counted = score_interval(1, 0, 256)
    assert np.median([d.high - d.low for d in found]) < 0.4 * (counted[1] - counted[0])


def test_nothing_changes() -> None:
    wide, _, labels = scores(256, 2, 0.0)
    found = drop_near_ties(wide, wide, labels)
    assert found is not None
    assert (found.changed, found.low, found.high) == (0.0, 0.0, 0.0)


def test_what_is_far_from_a_tie_is_counted() -> None:
    wide, narrow, labels = scores(256, 3, 0.02)
    far = np.argsort(wide[:, 0])[-40:]
    lost = [i for i in far if labels[i] == 0][:3]
    broken = narrow.copy()
    broken[lost, 0] = -1.0
    near, all_of_it = drop_near_ties(wide, narrow, labels), drop_near_ties(wide, broken, labels)
    assert near is not None
    assert all_of_it is not None
    assert (near.low, near.high) == pytest.approx(
        (all_of_it.low - score_interval(3, 0, 256)[0], all_of_it.high - score_interval(3, 0, 256)[1])
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_scores_of_bytes_are_numbers_like_others(dtype: type) -> None:
    """Differences of bytes go beyond a byte, and the negative of one is not its opposite."""
    rng = np.random.default_rng(5)
    info = np.iinfo(dtype)
    wide = rng.integers(info.min, info.max + 1, (512, 10)).astype(dtype)
    narrow = np.clip(wide.astype(int) + rng.integers(-1, 2, wide.shape), info.min, info.max).astype(dtype)
    labels = wide.argmax(1)
    found = drop_near_ties(wide, narrow, labels)
    assert found == drop_near_ties(wide.astype(np.float64), narrow.astype(np.float64), labels)
    assert found is not None
    assert 0 < found.high < 0.1


def test_scores_of_bools_say_nothing() -> None:
    wide = np.eye(10, dtype=bool)[np.arange(512) % 10]
    assert drop_near_ties(np.zeros_like(wide), wide, np.zeros(512, int)) is None, "all are ties"
    found = drop_near_ties(wide, wide, np.arange(512) % 10)
    assert found is not None
    assert found.high == 0.0


def test_where_margins_say_nothing() -> None:
    wide, narrow, labels = scores(256, 4, 0.02)
    few = slice(0, LEAST_ITEMS - 1)
    assert drop_near_ties(wide[few], narrow[few], labels[few]) is None
    assert drop_near_ties(wide[:, :1], narrow[:, :1], labels) is None
    assert drop_near_ties(wide, np.full_like(narrow, np.nan), labels) is None
    assert drop_near_ties(np.round(wide * 0.01), narrow, labels) is None, "sixteen and more exact ties"
