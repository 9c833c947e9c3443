"""What the weights of a convolution or matmul meet: its rows, and what sums over them lack, since operators before it
round.

Weights can make up for what goes with the rows (`weight_rounding.compensated`), but a few samples show much that is
chance. So samples are halved: what one half asks for is judged by the other, and damping is what serves both best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.column_blocks import Blocks
from edgec.operand_rows import Moments, row_sums
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

    @property
    def blocks(self) -> Blocks:
        return self._moments.blocks

    def add(self, rows: Array, lacking: Array | None) -> None:
        """`lacking` is float32; None where nobody asks."""
        self._moments.add(rows)
        if lacking is not None:
            self._products += lacking.transpose(0, 2, 1) @ rows.astype(np.float32, copy=False)
            self._sums += row_sums(lacking)

    def together(self, other: MetRows) -> MetRows:
        """Both as one."""
        made = MetRows(*self._products.shape)
        made._moments = self._moments.together(other._moments)
        made._products, made._sums = self._products + other._products, self._sums + other._sums
        return made

    @property
    def hessian(self) -> Array:
        """[g, k, k], or a matrix a block, around the means, since a bias makes up for these. Where rows are all alike,
        the difference is rounding, which may be below 0: then every column counts a little, and alike."""
        raw, mean = self._moments.hessian, self.blocks.cut(self._moments.mean[:, None])[:, 0]
        found = raw - mean[:, :, None] * mean[:, None, :]
        columns = np.arange(found.shape[-1])
        least = CERTAIN * raw[:, columns, columns].mean(axis=1)
        found[:, columns, columns] += np.maximum(least - found[:, columns, columns].mean(axis=1), 0.0)[:, None]
        return np.asarray(found)

    @property
    def drift(self) -> Array:
        """[g, n, k]: how what is lacking goes with the rows, around the means."""
        mean = self._moments.mean
        return np.asarray((self._products - self._sums[:, :, None] * mean[:, None, :]) / max(self.rows, 1))


def made_up_for(w: Array, halves: Sequence[MetRows], both: MetRows) -> Array:
    """Weights [g, n, k] with which sums lack less: those of a group are as they were where each half of the samples
    would have moved them so that the other lacks more. `both` are the two halves together."""
    parts = [(half.hessian, half.drift) for half in halves]
    best, least = np.zeros(len(w)), np.zeros(len(w))  # damping 0 for groups that stay
    for damping in DAMPINGS:
        change = np.zeros(len(w))
        for (hessian, drift), (other, asked) in zip(parts, parts[::-1], strict=True):
            moved = compensated(np.zeros_like(w), hessian, drift, damping)
            # of the mean square of what the other half lacks
            change += np.sum((moved @ other) * moved - 2.0 * moved * asked, axis=(1, 2))
        best, least = np.where(change < least, damping, best), np.minimum(change, least)
    to_move = best > 0.0
    if not to_move.any():
        return w
    made = w.copy()
    made[to_move] = compensated(w[to_move], both.hessian[to_move], both.drift[to_move], best[to_move])
    return made
