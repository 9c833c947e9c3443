"""What a narrower form costs: signal to noise of outputs, and the drop of accuracy with its paired 95 % interval."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.receipt import wilson

Array = np.ndarray[Any, Any]


def signal_to_noise(found: Array, expected: Array) -> float:
    """10 log10 of the expected signal's power over the error's, in dB; infinite where they are equal."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    noise, signal = float(np.sum((a - b) ** 2)), float(np.sum(b**2))
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def drop_interval(before: Array, after: Array) -> tuple[float, float]:
    """95 % interval of the accuracy lost from `before` to `after`, both of the same items: right or not.

    Newcombe, *Improved confidence intervals for the difference between binomial proportions based on paired data*,
    1998, method 10: Wilson's intervals of both, and the correlation between them."""
    n = len(before)
    if not n:
        return -1.0, 1.0
    both, lost = int(np.sum(before & after)), int(np.sum(before & ~after))
    won, neither = int(np.sum(~before & after)), int(np.sum(~before & ~after))
    p1, p2 = (both + lost) / n, (both + won) / n
    (l1, u1), (l2, u2) = wilson(both + lost, n), wilson(both + won, n)
    product = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    cross = float(both * neither - lost * won)
    if cross > 0:  # with the paper's continuity correction
        cross = max(cross - n / 2, 0.0)
    phi = cross / math.sqrt(product) if product else 0.0
    low = (p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2
    high = (u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2
    return p1 - p2 - math.sqrt(max(low, 0.0)), p1 - p2 + math.sqrt(max(high, 0.0))


def paired(found: Array, expected: Array, labels: Array) -> dict[str, Any]:
    """Of scores [n, classes]: items that only one of the two gets right, and the drop with its interval."""
    before, after = expected.argmax(-1).ravel() == labels, found.argmax(-1).ravel() == labels
    low, high = drop_interval(before, after)
    return {
        "newly_wrong": int(np.sum(before & ~after)),
        "newly_right": int(np.sum(~before & after)),
        "drop": float(before.mean() - after.mean()),
        "drop_confidence_95": [round(low, 4), round(high, 4)],
    }
