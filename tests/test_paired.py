"""Signal to noise and paired intervals, by hand and by the example of the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgec.paired import drop_interval, items_to_show, noise_db, paired, score_interval, signal_to_noise


def test_signal_to_noise_by_hand() -> None:
    assert signal_to_noise(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == pytest.approx(10 * math.log10(25 / 0.25))
    assert signal_to_noise(np.ones(2), np.ones(2)) == math.inf
    assert signal_to_noise(np.ones(2), np.zeros(2)) == -math.inf
    masked = np.array([3.0, 4.0, -np.inf, np.nan])
    near = np.array([3.0, 4.5, -np.inf, np.nan])
    assert signal_to_noise(near, masked) == pytest.approx(10 * math.log10(25 / 0.25))
    assert signal_to_noise(-near, masked) == -math.inf
    assert signal_to_noise(near[[0, 1, 3, 3]], masked) == -math.inf
    assert signal_to_noise(np.array([3.0, np.inf]), np.array([3.0, 4.0])) == -math.inf


def test_a_receipt_tells_no_noise_from_nothing_but_noise() -> None:
    assert noise_db(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == 20.0
    assert noise_db(np.ones(2), np.ones(2)) is None
    assert noise_db(np.array([np.nan, 1.0]), np.ones(2)) == noise_db(np.ones(2), np.zeros(2)) == "-inf"
    assert float(str(noise_db(np.ones(2), np.zeros(2)))) == -math.inf


def pairs(both: int, lost: int, won: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    before = np.repeat([True, True, False, False], [both, lost, won, neither])
    after = np.repeat([True, False, True, False], [both, lost, won, neither])
    return before, after


def score(lost: int, won: int, n: int, difference: float) -> float:
    """The score test of a difference, its likelihood maximised by trying every share."""
    shares = np.linspace(max(0.0, -difference), (1 - difference) / 2, 200_001)[1:-1]
    with np.errstate(divide="ignore"):
        likelihood = lost * np.log(shares + difference) + won * np.log(shares)
        likelihood += (n - lost - won) * np.log(1 - 2 * shares - difference)
    share = shares[np.nanargmax(likelihood)]
    return float((lost - won - n * difference) / np.sqrt(n * (2 * share + difference * (1 - difference))))


@pytest.mark.parametrize(("lost", "won", "n"), [(12, 2, 50), (5, 3, 104), (3, 1, 2000), (0, 4, 200), (1, 1, 30)])
def test_ends_are_where_the_score_test_rejects(lost: int, won: int, n: int) -> None:
    low, high = score_interval(lost, won, n)
    assert low < (lost - won) / n < high
    assert score(lost, won, n, low) == pytest.approx(1.96, abs=0.01)
    assert score(lost, won, n, high) == pytest.approx(-1.96, abs=0.01)


def test_interval_of_unchanged_items() -> None:
    z2 = 1.959964**2
    assert score_interval(0, 0, 1000) == (pytest.approx(-z2 / (1000 + z2)), pytest.approx(z2 / (1000 + z2)))
    assert score_interval(0, 0, 0) == (-1.0, 1.0)
    assert drop_interval(*pairs(990, 3, 1, 6)) == score_interval(3, 1, 1000)


def test_items_to_show_a_bound() -> None:
    n = items_to_show(0.005)
    assert score_interval(0, 0, n)[1] <= 0.005 < score_interval(0, 0, n - 1)[1]


def test_more_items_narrow_the_interval() -> None:
    few, many = drop_interval(*pairs(90, 2, 1, 7)), drop_interval(*pairs(900, 20, 10, 70))
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])


def test_paired_counts_both_ways() -> None:
    truth = np.array([0, 1, 2, 1])
    reference, found = np.eye(3)[[0, 1, 1, 0]], np.eye(3)[[0, 0, 2, 1]]
    result = paired(found, reference, truth)
    assert (result["newly_wrong"], result["newly_right"], result["drop"]) == (1, 2, -0.25)
    assert (result["newly_wrong_items"], result["newly_right_items"]) == ([1], [2, 3])
    assert result["class_that_loses_most"] is None, "class 1 loses an item and wins one"


def test_class_that_loses_most() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 2])
    reference = np.eye(3)[[0, 0, 0, 0, 1, 1, 0]]
    found = np.eye(3)[[1, 0, 0, 0, 1, 0, 2]]
    result = paired(found, reference, truth, ("cat", "dog", "cow"))
    assert result["class_that_loses_most"] == {"class": 1, "label": "dog", "items": 2, "before": 1.0, "after": 0.5}
    many = paired(np.tile([0, 1], (99, 1)), np.tile([1, 0], (99, 1)), np.zeros(99, int))
    assert many["newly_wrong"] == 99
    assert many["newly_wrong_items"] == list(range(50))
