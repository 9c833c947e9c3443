"""Which operators stay in floats so that a bound on what the model loses holds, and as few as possible.

Operators leave the bytes in the order of what they disturb (edgec.sensitivity); how many must is found by bisection.
Every trial is the whole model, as it would be built, measured by the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from edgec.bounds import Bound, Loss
from edgec.ir.errors import VerifyError
from edgec.ir.graph import Op

Measure = Callable[[Collection[Op]], Loss]  # with these operators in floats
REASON = "on bytes, it would take the model beyond the bound"


@dataclass(frozen=True)
class Found:
    """`kept` stay in floats; `tried` is how many were in each trial, and what was lost."""

    kept: Sequence[Op]
    tried: Sequence[tuple[int, Loss]]

    def facts(self, bound: Bound) -> dict[str, Any]:
        held = next(loss for count, loss in self.tried if count == len(self.kept))
        trials = [{"in_floats": count, "within": loss.within, **loss.facts} for count, loss in self.tried]
        return {"bound": bound.shown, "in_floats": len(self.kept), "measured": dict(held.facts), "tried": trials}


def least_in_floats(order: Sequence[Op], measure: Measure, bound: Bound) -> Found:
    """The first operators of `order` that must stay in floats. VerifyError, with what came closest, when the bound is
    not met by any choice that leaves one on bytes."""
    tried: list[tuple[int, Loss]] = []

    def within(count: int) -> bool:
        tried.append((count, measure(order[:count])))
        return tried[-1][1].within

    low, high = -1, len(order)  # `low` is beyond the bound; `high` is within, or all: nothing on bytes
    if not order or within(0):
        return Found((), tried)
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if within(middle):
            high = middle
        else:
            low = middle
    if high == len(order):
        count, closest = min(tried, key=lambda trial: trial[1].value)
        raise VerifyError(
            f"{bound.shown} is not met with any operator on bytes: the closest was {closest.value:.3%}, with {count} "
            f"of {len(order)} in floats; give a larger bound, or build with --precision float32"
        )
    return Found(order[:high], tried)
