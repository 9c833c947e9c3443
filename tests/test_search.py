"""As few operators in floats as the bound asks for, found by bisection."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from edgec.bounds import Loss
from edgec.ir.errors import VerifyError
from edgec.ir.graph import Op
from edgec.search import least_in_floats

ORDER = [Op("conv", []) for _ in range(20)]


class Needs:
    """A bound that holds from `count` operators in floats on."""

    shown = "--max-error 1%"

    def __init__(self, count: int) -> None:
        self.count = count
        self.trials = 0

    def measure(self, kept: Collection[Op]) -> Loss:
        self.trials += 1
        assert list(kept) == ORDER[: len(kept)]
        return Loss((self.count - len(kept)) / 100, len(kept) >= self.count, {"error": len(kept)})


@pytest.mark.parametrize("count", range(20))
def test_the_least(count: int) -> None:
    bound = Needs(count)
    found = least_in_floats(ORDER, bound.measure, bound)  # type: ignore[arg-type]
    assert list(found.kept) == ORDER[:count]
    assert bound.trials <= 6
    facts = found.facts(bound)  # type: ignore[arg-type]
    assert facts["in_floats"] == count
    assert facts["measured"] == {"error": count}
    assert len(facts["tried"]) == bound.trials


def test_what_came_closest() -> None:
    bound = Needs(20)
    with pytest.raises(VerifyError, match=r"1% is not met .* closest was 1.000%, with 19 of 20 in floats"):
        least_in_floats(ORDER, bound.measure, bound)  # type: ignore[arg-type]


def test_nothing_on_bytes_is_within() -> None:
    bound = Needs(0)
    assert least_in_floats([], bound.measure, bound).kept == ()  # type: ignore[arg-type]
