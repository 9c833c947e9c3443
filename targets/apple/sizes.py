"""The shapes that an input may have: some of them by name, or a range of each dimension."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Enumerated:
    """Each of these, and no other."""

    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Ranged:
    """From `low` to `high` in each dimension, both included: all of `shapes`."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]


Sizes = Enumerated | Ranged
