"""Signal to noise and paired intervals, by hand and by the example of the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgec.paired import drop_interval, paired, signal_to_noise


def test_signal_to_noise_by_hand() -> None:
    assert signal_to_noise(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == pytest.approx(10 * math.log10(25 / 0.25))
    assert signal_to_noise(np.ones(2), np.ones(2)) == math.inf
    assert signal_to_noise(np.ones(2), np.zeros(2)) == -math.inf


def pairs(both: int, lost: int, won: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    before = np.repeat([True, True, False, False], [both, lost, won, neither])
    after = np.repeat([True, False, True, False], [both, lost, won, neither])
    return before, after


# Newcombe 1998, table II, method 10
@pytest.mark.parametrize(
    ("table", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((53, 5, 3, 43), None, None), ((54, 0, 0, 0), -0.0664, 0.0664)],
)
def test_interval_of_the_paper(table: tuple[int, int, int, int], low: float | None, high: float | None) -> None:
    found = drop_interval(*pairs(*table))
    n = sum(table)
    assert found[0] < (table[1] - table[2]) / n < found[1] or table[1:] == (0, 0, 0)
    if low is not None:
        assert found == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_more_items_narrow_the_interval() -> None:
    few, many = drop_interval(*pairs(90, 2, 1, 7)), drop_interval(*pairs(900, 20, 10, 70))
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])


def test_paired_counts_both_ways() -> None:
    truth = np.array([0, 1, 2, 1])
    reference, found = np.eye(3)[[0, 1, 1, 0]], np.eye(3)[[0, 0, 2, 1]]
    result = paired(found, reference, truth)
    assert (result["newly_wrong"], result["newly_right"], result["drop"]) == (1, 2, -0.25)
