"""The row axis: how a tensor is a sequence of rows, and which operand rows an op needs for rows of its result.

A tensor of rank 4 is [images][rows][…], so that the rows of a channels-last image are what one expects; of any other
rank, all axes but the last are rows of one image. A `RowRule` is a column of the operator table (ops/row_rules.py); the
scheduler cuts by it (plan/schedule.py), and tests/ir/test_row_rules.py holds every rule against the interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
    """Result row y needs operand rows ⌊(y*stride - before) / up⌋ … ⌊(y*stride - before + extent - 1) / up⌋, clipped to
    the operand; `up` > 1 where there are more result rows than operand rows."""

    stride: int = 1
    before: int = 0
    extent: int = 1
    up: int = 1

    def low(self, a: int) -> int:
        """The first row that result rows from a on need."""
        return max(0, (a * self.stride - self.before) // self.up)

    def high(self, b: int, rows: int) -> int:
        """Behind the last of `rows` rows that result rows below b need."""
        return max(0, min(rows, ((b - 1) * self.stride - self.before + self.extent - 1) // self.up + 1))


SAME = Window()


def covering(first: np.ndarray, last: np.ndarray, stride: int, up: int) -> Window:
    """The narrowest window of these steps in which result row y finds operand rows first[y] … last[y]."""
    place = np.arange(len(first)) * stride
    before = int((place - first * up - up + 1).max())
    return Window(stride, before, int((last * up - place + before + 1).max()), up)


@dataclass(frozen=True)
class RowRule:
    """One entry an operand: its window, or None where all of it is needed (or none of it is there).

    `sink`: the op reduces over rows. It takes rows of its operand, of which there are `rows`, and has a value when the
    last has gone by."""

    images: int
    rows: int
    reads: tuple[Window | None, ...]
    sink: bool = False
