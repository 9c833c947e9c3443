"""As few steps as the bound asks for, found by bisection."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from edgec.bounds import Loss
from edgec.ir.errors import VerifyError
from edgec.ir.graph import Op
from edgec.search import Step, least_steps

ORDER = [Step(Op("conv", []), "f32") for _ in range(20)]
FOUR_BITS = [Step(step.op, "i8") for step in ORDER[:5]]


class Needs:
    """A bound that holds from `count` steps on."""

    shown = "--max-error 1%"

    def __init__(self, count: int) -> None:
        self.about, self.most = {"items": 3}, 0.01
        self.count = count
        self.trials = 0

    def measure(self, taken: Sequence[Step]) -> Loss:
        self.trials += 1
        return Loss((self.count - len(taken)) / 100, len(taken) >= self.count, {"error": len(taken)})


@pytest.mark.parametrize("count", range(20))
def test_the_least(count: int) -> None:
    bound = Needs(count)
    found = least_steps(ORDER, bound.measure, bound)  # type: ignore[arg-type]
    assert list(found.taken) == ORDER[:count]
    assert bound.trials <= 6
    facts = found.facts(bound)  # type: ignore[arg-type]
    assert (facts["in_floats"], facts["items"]) == (count, 3)
    assert facts["measured"] == {"error": count}
    assert len(facts["tried"]) == bound.trials


def test_what_came_closest() -> None:
    bound = Needs(20)
    with pytest.raises(VerifyError, match=r"1% is not met .* closest was 1.000%, with 19 of 20 in floats"):
        least_steps(ORDER, bound.measure, bound)  # type: ignore[arg-type]


def test_nothing_on_bytes_is_within() -> None:
    bound = Needs(0)
    found = least_steps([], bound.measure, bound)  # type: ignore[arg-type]
    assert found.taken == ()
    assert found.facts(bound)["measured"] == {"error": 0}  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "weights_of_bytes", "in_floats"), [(0, 0, 0), (3, 3, 0), (5, 5, 0), (7, 5, 2)])
def test_weights_of_four_bits_become_bytes_first(count: int, weights_of_bytes: int, in_floats: int) -> None:
    bound = Needs(count)
    order = [*FOUR_BITS, *ORDER]
    found = least_steps(order, bound.measure, bound)  # type: ignore[arg-type]
    assert list(found.taken) == order[:count]
    facts = found.facts(bound)  # type: ignore[arg-type]
    assert (facts["weights_of_bytes"], facts["in_floats"]) == (weights_of_bytes, in_floats)
    with pytest.raises(VerifyError, match="with 19 of 20 in floats"):
        least_steps(order, Needs(25).measure, bound)  # type: ignore[arg-type]
