"""What is held against --max-drop and --max-error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from edgec.bounds import MostDrop, MostError, share
from edgec.ir.errors import UsageError
from edgec.ir.types import Type
from edgec.labelled import Labelled
from edgec.paired import score_interval

Array = np.ndarray[Any, Any]
N = 1000


def test_shares() -> None:
    assert share("--max-drop", "0.5%") == share("--max-drop", "0.005") == 0.005
    for text in ("0", "-1%", "100%", "half", "1.0", "nan"):
        with pytest.raises(UsageError, match=r"--max-drop .* is no share; legal: more than 0"):
            share("--max-drop", text)


def items() -> Labelled:
    """The item is the class that the float model gives; every tenth label is another."""
    classes = np.arange(N) % 10
    labels = np.where(np.arange(N) % 10 == 3, (classes + 1) % 10, classes)
    return Labelled("data", {"x": classes.astype(np.float32)}, labels, [("x", Type("f32", (1,)))])


def wide(feeds: Mapping[str, Array]) -> Sequence[Array]:
    return [np.eye(10, dtype=np.float32)[int(feeds["x"][0])]]


def test_drop_counts_both_ways() -> None:
    bound = MostDrop(0.02, items(), wide)
    seen = iter(range(N))

    def narrow(feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Wrong where the model is right in 4 items, right in one where it is wrong."""
        changed = {0: 5, 10: 5, 20: 5, 30: 5, 3: 4}.get(next(seen))
        return wide(feeds) if changed is None else [np.eye(10)[changed]]

    loss = bound.loss(narrow)
    assert (loss.facts["newly_wrong"], loss.facts["newly_right"]) == (4, 1)
    assert loss.value == score_interval(4, 1, N)[1]
    assert loss.within == (loss.value <= 0.02)
    assert bound.loss(wide).value == pytest.approx(score_interval(0, 0, N)[1])


def test_too_few_items_to_show_a_bound() -> None:
    with pytest.raises(UsageError, match=r"show no drop below 0.38%; give 3838 or more in --calib, or a larger bound"):
        MostDrop(0.001, items(), wide)


def test_error_is_that_of_the_worst_output() -> None:
    samples = [{"x": np.array([3.0, 4.0])}, {"x": np.array([6.0, 8.0])}]

    def both(scale: float) -> Any:
        return lambda feeds: [feeds["x"], feeds["x"] * scale]

    bound = MostError(0.1, samples, both(1.0))
    loss = bound.loss(both(1.05))
    assert loss.value == pytest.approx(0.05)
    assert loss.within
    assert not bound.loss(both(1.2)).within
    assert bound.loss(both(1.0)).value == 0.0
