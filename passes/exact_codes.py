"""The integers and the scale that a group of floats is, exactly: codes of few bits that somebody decoded before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
LEAST_SCALE = 2.0**-120  # a sixteenth of it, which kernels multiply by, still has all bits of a float
SAMPLE = 4  # numbers of a group that most candidates fail by
AT_ONCE = 1 << 18  # numbers of groups, which stay in a cache


@dataclass(frozen=True)
class Kind:
    """Codes of `bits`; `tops`: what the largest number of a group may be, the likeliest first. Without zero points, the
    first is the lowest number, which has no opposite, and those left out are a half or less of one of these."""

    bits: int
    tops: tuple[int, ...]
    zeros: bool = False

    @property
    def format(self) -> str:
        return f"i{self.bits}"


KINDS = (
    Kind(4, (8, 4, 7, 6, 5)),
    Kind(4, (*range(8, 16), *range(7, 0, -1)), zeros=True),
    Kind(8, (*range(128, 63, -8), *(n for n in range(127, 64, -1) if n % 8))),
    Kind(8, (*range(128, 256), *range(127, 63, -1)), zeros=True),
)


def codes_of(groups: Array, kind: Kind, positive: bool = False) -> tuple[Array, Array, Array] | None:
    """Codes, scales and zero points that are the very numbers of groups [n, products]; None where a group has none.
    Scales are of either sign, or `positive`."""
    steps, scales = np.zeros(groups.shape, np.int16), np.ones(len(groups), np.float32)
    count = max(1, AT_ONCE // max(1, groups.shape[1]))
    for start in range(0, len(groups), count):
        part = slice(start, start + count)
        if not _find(groups[part], kind, steps[part], scales[part], positive):
            return None
    # the lowest of a group's steps is the lowest code; 0 is among them, or may be
    low = steps.min(axis=1, initial=0) if kind.zeros else np.full(len(groups), -(1 << kind.bits - 1))
    zeros = -(1 << kind.bits - 1) - low
    return (steps + zeros[:, None]).astype(np.int8), scales, zeros.astype(np.int8)


def _find(groups: Array, kind: Kind, steps: Array, scales: Array, positive: bool) -> bool:
    """The numbers of a few groups in steps of their scales, into `steps` and `scales`."""
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], 1)[:, 0]
    left = np.flatnonzero(largest)
    for scale in _candidates(largest, kind, positive):
        if not len(left):
            break
        step = scale[left]
        with np.errstate(all="ignore"):
            likely = left[_exact(groups[left, :SAMPLE], step, kind)[1] & (np.abs(step) >= LEAST_SCALE)]
            found, exact = _exact(groups[likely], scale[likely], kind)
        hit = likely[exact]
        steps[hit], scales[hit] = found[exact], scale[hit]
        left = np.setdiff1d(left, hit, assume_unique=True)
    return not len(left)


def _candidates(largest: Array, kind: Kind, positive: bool) -> Iterator[Array]:
    """A scale for each group. With the number that has no opposite, it has the other sign. A product is rounded, so
    that the scale may be a step beside the quotient."""
    for top in kind.tops:
        lowest = top == kind.tops[0] and not kind.zeros and not positive
        scale = (largest / np.float32(-top) if lowest else np.abs(largest) / np.float32(top)).astype(np.float32)
        yield scale
        if top & (top - 1):
            yield np.nextafter(scale, np.float32(0))
            yield np.nextafter(scale, np.float32(np.inf))


def _exact(groups: Array, scale: Array, kind: Kind) -> tuple[Array, Array]:
    """Numbers in steps of a scale for each group, and which groups are these exactly."""
    steps = np.rint(groups / scale[:, None])
    count = 1 << kind.bits
    if kind.zeros:
        fits = steps.max(axis=1, initial=0) - steps.min(axis=1, initial=0) < count
    else:
        fits = np.all((steps >= -count // 2) & (steps < count // 2), axis=1)
    exact = fits & np.all(steps * scale[:, None] == groups, axis=1)
    return np.where(exact[:, None], steps, 0).astype(np.int16), exact
