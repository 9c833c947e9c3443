"""The row axis: how a tensor is a sequence of rows, and which operand rows an op needs for rows of its result.

A tensor of rank 4 is [images][rows][…], so that the rows of a channels-last image are what one expects; of any other
rank, all axes but the last are rows of one image. A `RowRule` is a column of the operator table (ops/row_rules.py); the
scheduler cuts by it (plan/schedule.py), and tests/ir/test_row_rules.py holds every rule against the interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RowView:
    """`images` of `rows` rows of `columns` pixels of `channels` elements."""

    images: int
    rows: int
    columns: int
    channels: int

    @property
    def dims(self) -> tuple[int, int, int, int]:
        return self.images, self.rows, self.columns, self.channels


def row_view(dims: Sequence[int]) -> RowView:
    """How a tensor of rank >= 1 is seen as rows."""
    if len(dims) == 4:
        return RowView(*dims)
    return RowView(1, math.prod(dims[:-1]), 1, dims[-1])


def row_axes(rank: int) -> int:
    """How many leading axes choose the row."""
    return 2 if rank == 4 else rank - 1


@dataclass(frozen=True)
class Window:
    """Result rows [a, b) need operand rows [a*stride - before, (b-1)*stride - before + extent), clipped to it."""

    stride: int = 1
    before: int = 0
    extent: int = 1

    def low(self, a: int) -> int:
        return max(0, a * self.stride - self.before)

    def high(self, b: int, rows: int) -> int:
        return min(rows, (b - 1) * self.stride - self.before + self.extent)


SAME = Window()


@dataclass(frozen=True)
class RowRule:
    """One entry an operand: its window, or None where all of it is needed (or none of it is there).

    `sink`: the op reduces over rows. It takes rows of its operand, of which there are `rows`, and has a value when the
    last has gone by."""

    images: int
    rows: int
    reads: tuple[Window | None, ...]
    sink: bool = False
