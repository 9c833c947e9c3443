"""Columns of weights in blocks: moments [k, k] of a wide dense layer would take gigabytes.

Weights then make up for one another's errors within a block alone, as if each block were a group of channels with rows
of its own: H is block-diagonal. Below the limit there is one block, which is everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
MATRIX_BYTES = 64 << 20  # of one matrix of moments; rounding holds up to eight of its size


@dataclass(frozen=True)
class Blocks:
    """`count` blocks of `width` columns; the last one may be filled up."""

    k: int
    count: int
    width: int

    def cut(self, x: Array, fill: float = 0.0) -> Array:
        """[groups, m, k] as [groups * count, m, width]; what is the same for all columns, [groups, m, 1], as often."""
        if self.count == 1:
            return x
        if x.shape[-1] == 1:
            return np.repeat(x, self.count, axis=0)
        beside = self.count * self.width - self.k
        padded = np.pad(x, ((0, 0), (0, 0), (0, beside)), constant_values=fill)
        parts = padded.reshape(*x.shape[:2], self.count, self.width).transpose(0, 2, 1, 3)
        return parts.reshape(-1, x.shape[1], self.width)

    def joined(self, x: Array) -> Array:
        """The way back."""
        if self.count == 1:
            return x
        parts = x.reshape(-1, self.count, *x.shape[1:]).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(parts.reshape(*parts.shape[:2], -1)[..., : self.k])


def blocks_of(groups: int, k: int) -> Blocks:
    """As few as keep a matrix of moments in float64 below the limit."""
    width = -(-k // max(1, -(-8 * groups * k * k // MATRIX_BYTES)))
    return Blocks(k, max(1, -(-k // max(1, width))), width)


def matrix_bytes(groups: int, k: int) -> int:
    """Of the moments of such rows: those that are held, and the products that are added to them."""
    blocks = blocks_of(groups, k)
    return 16 * groups * blocks.count * blocks.width**2


def blocks_facts(of: Iterable[tuple[str, Blocks]]) -> list[dict[str, Any]]:
    """For the receipt, of operators by label: those of more than one block."""
    return [{"op": label, "products": blocks.k, "blocks": blocks.count} for label, blocks in of if blocks.count > 1]
