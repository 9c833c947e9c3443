"""What must be wider than asked for so that a bound on what the model loses holds, and as little of it as possible.

Steps are taken in the order of what operators disturb (edgec.sensitivity): first weights of four bits become bytes,
where there are any, then operators are in floats. How many steps it takes is found by bisection. Every trial is the
whole model, as it would be built, measured by the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgec.bounds import Bound, Loss
from edgec.ir.errors import VerifyError
from edgec.ir.graph import Op

CODE = "BEYOND_BOUND"
REASON = "narrower than float32, it would take the model beyond the bound"


def beyond_bound(ops: Iterable[Op], why: str = REASON) -> list[dict[str, Any]]:
    """What the receipt says of operators that a bound keeps in floats."""
    return [{"op": op.label, "code": CODE, "why": why} for op in ops]


def verdicts(disturbs: Mapping[Op, float], forms: Mapping[Op, str]) -> list[dict[str, Any]]:
    """What the receipt says of all operators of a search: what each changes the outputs by, and its form after all;
    without one it is in floats."""
    return [
        {"op": op.label, "form": forms.get(op, "f32"), "disturbs": float(f"{size:.4g}")}
        for op, size in disturbs.items()
    ]


@dataclass(frozen=True)
class Step:
    """An operator whose weights become bytes, or that is in floats."""

    op: Op
    to: Literal["i8", "f32"]


Measure = Callable[[Sequence[Step]], Loss]  # with these steps taken


@dataclass(frozen=True)
class Found:
    """`taken` are the steps that it needs; `tried` is how many were taken in each trial, and what was lost."""

    order: Sequence[Step]
    taken: Sequence[Step]
    tried: Sequence[tuple[int, Loss]]

    def facts(self, bound: Bound) -> dict[str, Any]:
        held = next(loss for count, loss in self.tried if count == len(self.taken))
        trials = [{**self._wider(count), "within": loss.within, **loss.facts} for count, loss in self.tried]
        taken = self._wider(len(self.taken))
        return {"bound": bound.shown, **bound.about, **taken, "measured": dict(held.facts), "tried": trials}

    def _wider(self, count: int) -> dict[str, int]:
        """How many operators are wider after so many steps."""
        bytes_, floats = (_count(self.order[:count], to) for to in ("i8", "f32"))
        return {**({"weights_of_bytes": bytes_} if _count(self.order, "i8") else {}), "in_floats": floats}


def least_steps(order: Sequence[Step], measure: Measure, bound: Bound) -> Found:
    """As few of the first steps as the bound needs. VerifyError, with what came closest, when the bound is not met
    before the last, which leaves nothing narrower than float32."""
    tried: list[tuple[int, Loss]] = []

    def within(count: int) -> bool:
        tried.append((count, measure(order[:count])))
        return tried[-1][1].within

    low, high = -1, len(order)  # `low` is beyond the bound; `high` is within, or all: nothing narrower
    if within(0) or not order:
        return Found(order, (), tried)
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
            f"{bound.shown} is not met with any narrower operator: the closest was {closest.value:.3%}, with "
            f"{_count(order[:count], 'f32')} of {_count(order, 'f32')} in floats; give a larger bound, or build with "
            f"--precision float32"
        )
    return Found(order, order[:high], tried)


def _count(steps: Sequence[Step], to: str) -> int:
    return sum(step.to == to for step in steps)
