"""What the weights of a convolution or matmul meet: its rows, and what sums over them lack, since operators before it
round.

Weights can make up for what goes with the rows (`weight_rounding.compensated`), but a few samples show much that is
chance. So samples are halved: what one half asks for is judged by the other, and damping is what serves both best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.operand_rows import Moments
from edgec.weight_rounding import compensated

Array = np.ndarray[Any, Any]

CERTAIN = 1e-4  # of a mean square in float32: less is what rounding leaves of it
DAMPINGS = (0.02, 0.06, 0.2, 0.6, 2.0, 6.0, 20.0)  # of the mean diagonal


class MetRows:
    """Moments of rows [groups, m, k], and of what sums [groups, m, n] lack there."""

    def __init__(self, groups: int, n: int, k: int) -> None:
        self._moments = Moments(groups, k)
        self._products, self._sums = np.zeros((groups, n, k)), np.zeros((groups, n))

    @property
    def rows(self) -> int:
        return self._moments.rows

    def add(self, rows: Array, lacking: Array | None) -> None:
        """`lacking` is float32; None where nobody asks."""
        self._moments.add(rows)
        if lacking is not None:
            self._products += lacking.transpose(0, 2, 1) @ rows.astype(np.float32, copy=False)
            self._sums += lacking.sum(axis=1, dtype=np.float64)

    def together(self, other: MetRows) -> MetRows:
        """Both as one."""
        made = MetRows(*self._products.shape)
        made._moments = self._moments.together(other._moments)
        made._products, made._sums = self._products + other._products, self._sums + other._sums
        return made

    def hessian(self, group: int) -> Array:
        """[k, k] around the means, since a bias makes up for these. Where rows are all alike, the difference is
        rounding, which may be below 0: then every column counts a little, and alike."""
        raw, mean = self._moments.of_group(group)
        found = raw - np.outer(mean, mean)
        least = CERTAIN * float(np.diagonal(raw).mean())
        found[np.diag_indices_from(found)] += max(least - float(np.diagonal(found).mean()), 0.0)
        return np.asarray(found)

    def drift(self, group: int) -> Array:
        """[n, k]: how what is lacking goes with the rows, around the means."""
        _, mean = self._moments.of_group(group)
        return np.asarray((self._products[group] - np.outer(self._sums[group], mean)) / max(self.rows, 1))


def made_up_for(w: Array, halves: Sequence[MetRows], both: MetRows, group: int) -> Array:
    """Weights [n, k] of a group with which its sums lack less: as they are where each half of the samples would have
    moved them so that the other lacks more. `both` are the two halves together."""
    parts = [(half.hessian(group), half.drift(group)) for half in halves]
    best, least = None, 0.0
    for damping in DAMPINGS:
        change = 0.0
        for (hessian, drift), (other, asked) in zip(parts, parts[::-1], strict=True):
            moved = compensated(np.zeros_like(w), hessian, drift, damping)
            # of the mean square of what the other half lacks
            change += float(np.sum((moved @ other) * moved) - 2.0 * np.sum(moved * asked))
        if change < least:
            best, least = damping, change
    return w if best is None else compensated(w, both.hessian(group), both.drift(group), best)
