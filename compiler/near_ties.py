"""How much accuracy narrower arithmetic loses, from how near to a tie items are and how far it moves scores there.

Counting changed items says little where few change: of 256 items of which none does, a drop of 1.5 % cannot be ruled
out. But an item changes only when the error of its two best scores is larger than their difference, its margin, and
both are known of all items. With the density f of margins at zero and the error e of the difference there, the share of
items that change is ∫ P(e < -m) f dm = f E[max(-e, 0)], which is f E|e| / 2 as either of the two may be the better one.
Of those, what is right before and what is right after is taken from labels of the items nearest to a tie. Errors are
measured near ties only, so they may grow with margins; what changes far from a tie is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.paired import Z, score_interval

Array = np.ndarray[Any, Any]

NEAREST = 16  # items near a tie, or a sixteenth of all
LEAST_ITEMS = 8 * NEAREST  # with fewer, the nearest are not near


@dataclass(frozen=True)
class Drop:
    """Shares of items: `changed` are given another class, `low` to `high` is the 95 % interval of the accuracy lost."""

    changed: float
    low: float
    high: float

    def facts(self) -> dict[str, Any]:
        return {"changed": round(self.changed, 6), "drop_confidence_95": [round(self.low, 6), round(self.high, 6)]}


def drop_near_ties(wide: Array, narrow: Array, labels: Array) -> Drop | None:
    """Of scores [n, classes] of floats and of the narrower form. None where margins say nothing: fewer items than
    LEAST_ITEMS, one class, scores that are not finite, or as many exact ties as items that are looked at."""
    # bytes would wrap, and bools cannot be subtracted
    wide, narrow = wide.astype(np.float64), narrow.astype(np.float64)
    n, classes = wide.shape
    if n < LEAST_ITEMS or classes < 2 or not (np.isfinite(wide).all() and np.isfinite(narrow).all()):
        return None
    first, second = np.argsort(-wide, axis=1, kind="stable")[:, :2].T
    every = np.arange(n)
    margins = wide[every, first] - wide[every, second]
    errors = narrow[every, first] - narrow[every, second] - margins
    count = max(NEAREST, n // NEAREST)
    near = np.argsort(margins, kind="stable")[:count]
    reach = float(margins[near].max())
    if reach == 0:
        return None
    moved = np.abs(errors[near]) / 2
    changed = count / (n * reach) * float(moved.mean())
    gains = (first == labels)[near].astype(np.float64) - (second == labels)[near]
    drop = changed * float(gains.mean())
    # density and error are known to a factor: their relative errors are those of a count and of a mean
    spread = math.sqrt((1 + float(moved.var()) / (float(moved.mean()) ** 2 or 1.0)) / count)
    of_rate = abs(drop) * math.expm1(Z * spread)
    of_gains = changed * Z * float(gains.std()) / math.sqrt(count)
    around = math.hypot(of_rate, of_gains)
    low, high = drop - around, drop + around
    beyond = np.setdiff1d(every, near)
    before, after = wide.argmax(1)[beyond] == labels[beyond], narrow.argmax(1)[beyond] == labels[beyond]
    lost, won = int(np.sum(before & ~after)), int(np.sum(~before & after))
    if lost or won:
        far = score_interval(lost, won, n)
        low, high = low + far[0], high + far[1]
    return Drop(changed, low, high)
