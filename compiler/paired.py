"""What a narrower form costs: signal to noise of outputs, and the drop of accuracy with its paired 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgec.receipt import named

Array = np.ndarray[Any, Any]

Z = 1.959964  # of 95 %
ALL_NOISE = "-inf"
MOST_ITEMS = 50  # that are listed


def squares(found: Array, expected: Array) -> tuple[float, float]:
    """Sums of the squares of the error, and of what is expected. Infinities and NaNs are no noise where they are
    expected, and all is noise where they are not."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(b)
    signal = float(np.sum(b[finite] ** 2))
    if not np.array_equal(finite, np.isfinite(a)) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return math.inf, signal
    return float(np.sum((a[finite] - b[finite]) ** 2)), signal


def signal_to_noise(found: Array, expected: Array) -> float:
    """10 log10 of the expected signal's power over the error's, in dB; infinite where they are equal."""
    return power_db(*squares(found, expected))


def power_db(noise: float, signal: float) -> float:
    """The same of sums of squares."""
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal and math.isfinite(noise) else -math.inf


def noise_db(found: Array, expected: Array) -> float | str | None:
    """The same for a receipt: to a hundredth, None where there is no noise and ALL_NOISE where there is nothing else,
    since JSON has no infinities."""
    return level_db(signal_to_noise(found, expected))


def level_db(level: float) -> float | str | None:
    """As `noise_db` has it."""
    return round(level, 2) if math.isfinite(level) else None if level > 0 else ALL_NOISE


def drop_interval(before: Array, after: Array) -> tuple[float, float]:
    """95 % interval of the accuracy lost from `before` to `after`, both of the same items: right or not."""
    return score_interval(int(np.sum(before & ~after)), int(np.sum(~before & after)), len(before))


def score_interval(lost: int, won: int, n: int) -> tuple[float, float]:
    """95 % interval of a difference of paired proportions: of n items, `lost` are right before only, `won` after only.

    T. Tango, *Equivalence test and confidence interval for the difference in proportions for the paired-sample design*,
    1998: the differences that a score test does not reject. Without a changed item it is z²/(n + z²) either way."""
    if not n:
        return -1.0, 1.0

    def score(difference: float) -> float:
        """How far the counts are from a difference, in standard errors under it; falls with the difference."""
        a, c = 2 * n, -won * difference * (1 - difference)
        b = (2 * n - lost + won) * difference - lost - won
        likeliest = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # share of `won`
        variance = n * (2 * likeliest + difference * (1 - difference))
        away = lost - won - n * difference
        return away / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, away)

    middle = (lost - won) / n
    return _root(score, -1.0, middle, Z), _root(score, middle, 1.0, -Z)


def _root(falling: Callable[[float], float], low: float, high: float, value: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > value else (low, middle)
    return (low + high) / 2


def items_to_show(drop: float) -> int:
    """How many items, none of them changed, show that the accuracy falls by no more than this, with 95 % confidence."""
    return math.ceil(Z * Z * (1 - drop) / drop)


def paired(found: Array, expected: Array, labels: Array, names: Sequence[str] = ()) -> dict[str, Any]:
    """Of scores [n, classes]: items that only one of the two gets right, the drop with its interval, and the class that
    loses most of its items (None where none loses any)."""
    before, after = expected.argmax(-1).ravel() == labels, found.argmax(-1).ravel() == labels
    low, high = drop_interval(before, after)
    wrong, right = np.flatnonzero(before & ~after), np.flatnonzero(~before & after)
    return {
        "newly_wrong": len(wrong),
        "newly_right": len(right),
        "newly_wrong_items": wrong[:MOST_ITEMS].tolist(),
        "newly_right_items": right[:MOST_ITEMS].tolist(),
        "drop": float(before.mean() - after.mean()),
        "drop_confidence_95": [round(low, 4), round(high, 4)],
        "class_that_loses_most": _loses_most(before, after, labels, names),
    }


def _loses_most(before: Array, after: Array, labels: Array, names: Sequence[str]) -> dict[str, Any] | None:
    losses = [(float(before[labels == c].mean() - after[labels == c].mean()), int(c)) for c in np.unique(labels)]
    loss, worst = max(losses, key=lambda pair: pair[0], default=(0.0, -1))
    if loss <= 0:
        return None
    own = labels == worst
    return {**named(worst, names), "items": int(own.sum()), "before": float(before[own].mean()),
            "after": float(after[own].mean())}  # fmt: skip
