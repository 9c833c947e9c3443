"""Integers for real scales: multiplier and shift, sums that hold a zero point, bounds of clamps, tables.

The formula is that of ir/ops/integer.py. A form raises NotInIntegers where the numbers do not fit it; the operator then
stays a float one between a decoding and an encoding, and the message is the reason in the receipt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.encodings import nearest_steps
from edgec.ir.ops.activation import activate
from edgec.ir.ops.integer import ACC, MIDDLE, SHIFTS
from edgec.ir.types import DTYPES

Array = np.ndarray[Any, Any]
MULTIPLIER_BITS = 16
NEAR = 0.25


class NotInIntegers(Exception):
    """Why an operator on encoded values is not done in integers: a code of REASONS."""


REASONS = {
    "ACC_BOUND": "a sum of its products may not fit 32 bits",
    "REQUANT_RANGE": "its result's steps are finer than half a step of its products",
    "CONSTANT_STEP": "what it adds or scales by moves its result by over a quarter of a step if it is in bytes",
    "NOT_FINITE": "a constant that it adds or scales by is infinite or NaN, which no scale holds",
    "NO_INTEGER_FORM": "there is no integer form of it",
    "OPERAND_IN_FLOATS": "an operand of it is in floats, without a scale or with scales in blocks",
    "RESULT_IN_FLOATS": "its result has no scale: it is read as floats",
    "WEIGHTS_ASYMMETRIC": "its weights have zero points, or the number that has no opposite",
    "ROW_TOO_LONG": "rows are so long that rounding, or a sum, would go beyond what is proven",
    "RESIDUAL_STEP": "a step of what is added to its sums is no whole number of theirs",
    "GROUP_SCALES": "scales of groups of its weights are no small multiples of one of their channel",
}


def is_clamp(act: str) -> bool:
    """A fused activation that only bounds the result, or none."""
    return act in ("", "relu", "relu6") or act.startswith("clip:")


@dataclass(frozen=True)
class Grid:
    """The numbers that a byte stands for: scale * (byte - zero), bytes of `dtype`."""

    dtype: str
    scale: float
    zero: int

    @property
    def least(self) -> int:
        return int(np.iinfo(DTYPES[self.dtype]).min)

    @property
    def most(self) -> int:
        return int(np.iinfo(DTYPES[self.dtype]).max)

    @property
    def most_steps(self) -> int:
        """From zero to the number that is furthest from it."""
        return max(self.most - self.zero, self.zero - self.least)

    def nearest(self, real: float) -> int:
        """The byte whose number is nearest."""
        steps = real / self.scale if math.isfinite(real) else math.copysign(1e9, real)
        return int(min(max(round(steps) + self.zero, self.least), self.most))

    def numbers(self) -> Array:
        """What the bytes from the least to the most stand for, as float32."""
        steps = np.arange(self.least, self.most + 1) - self.zero
        return (steps * np.float32(self.scale)).astype(np.float32)

    def encode(self, real: Array) -> Array:
        return nearest_steps(real, np.array(self.scale, np.float32), np.array(self.zero, DTYPES[self.dtype]))

    def bounds(self, act: str) -> tuple[int, int]:
        """Bytes between which a fused clamp keeps the result; NotInIntegers for other activations."""
        if not is_clamp(act):
            raise NotInIntegers("NO_INTEGER_FORM")
        ends = activate(np.array([-np.inf, np.inf], np.float32), act)
        return self.nearest(float(ends[0])), self.nearest(float(ends[1]))


@dataclass(frozen=True)
class Looked(Grid):
    """Bytes of which a function was taken, and nothing rounded yet: the numbers that it makes of them."""

    made: Array

    def numbers(self) -> Array:
        return self.made


def multiplier(factor: float) -> tuple[int, int]:
    """m and s of factor = m / 2^s as near as 16 bits come; fewer where s is at its most."""
    if not 0 < factor < 0.5:
        raise NotInIntegers("REQUANT_RANGE")
    s = min(SHIFTS[1], MULTIPLIER_BITS - math.frexp(factor)[1])
    m = round(math.ldexp(factor, s))
    if m == 1 << MULTIPLIER_BITS:
        m, s = m >> 1, s - 1
    if m < 1 or s < SHIFTS[0]:
        raise NotInIntegers("REQUANT_RANGE")
    return m, s


def zero_in_sum(grid: Grid, m: int, s: int) -> int:
    """What a sum is more by, so that its result has the grid's zero point: within half a multiplier of a step."""
    return round((grid.zero - MIDDLE[grid.dtype]) * math.ldexp(1.0, s) / m)


def steps_in_sum(step: Array, residual: Grid, result: Grid) -> Array:
    """How many steps of the sums, a channel, one of the residual's is: so near to a whole number that the result is off
    by less than NEAR of a step of its own."""
    ratio = residual.scale / step
    steps = np.rint(ratio)
    off = np.abs(ratio - steps) * step * (residual.most - residual.least) / result.scale
    if steps.min(initial=1) < 1 or steps.max(initial=1) >= 1 << 15 or off.max(initial=0.0) > NEAR:
        raise NotInIntegers("RESIDUAL_STEP")
    return steps


def check_sum(largest: Array | int) -> None:
    """NotInIntegers where the largest sum is beyond 32 bits."""
    if np.max(np.asarray(largest, np.float64), initial=0.0) >= ACC.max:
        raise NotInIntegers("ACC_BOUND")


def table(source: Grid, function: Callable[[Array], Array], result: Grid) -> Array:
    """Entries for the bytes of `source` from the least: what the function makes of their numbers."""
    with np.errstate(all="ignore"):
        return result.encode(function(source.numbers()))
