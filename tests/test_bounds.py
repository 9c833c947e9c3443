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


@pytest.mark.parametrize("text", ["0.5%", "7%", "0.0001%", "1e-28%", "12.5%"])
def test_what_is_shown_is_what_was_given(text: str) -> None:
    assert MostError(share("--max-error", text), [{}], lambda feeds: []).shown == f"--max-error {text}"


def items(n: int = N) -> Labelled:
    """The item is the class that the float model gives; every tenth label is another."""
    classes = np.arange(n) % 10
    labels = np.where(np.arange(n) % 10 == 3, (classes + 1) % 10, classes)
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
    assert loss.facts["counted_drop_confidence_95"] == [round(end, 4) for end in score_interval(4, 1, N)]
    assert loss.value == pytest.approx(loss.facts["near_ties"]["drop_confidence_95"][1], abs=1e-6)
    assert loss.value > (4 - 1) / N
    assert loss.within == (loss.value <= 0.02)
    assert bound.loss(wide).value == 0.0


def test_few_items_are_counted() -> None:
    few = items(100)
    bound = MostDrop(0.05, few, wide)
    loss = bound.loss(wide)
    assert loss.facts["near_ties"] is None
    assert loss.value == score_interval(0, 0, 100)[1]
    with pytest.raises(UsageError, match=r"show no drop below 3.70%; give 128 or more in --calib, or a larger bound"):
        MostDrop(0.001, few, wide)
    with pytest.raises(UsageError, match=r"show no drop below 3.70%; give 125 or more in --calib, or a larger bound"):
        MostDrop(0.03, few, wide)


def test_an_estimate_that_the_count_rules_out() -> None:
    """Margins and errors of the items nearest to a tie are equal, but a third class wins."""
    wide_scores, narrow_scores = np.array([1.0, 0.9, 0.0]), np.array([1.0, 0.9, 2.0])
    data = Labelled("data", {"x": np.zeros(N, np.float32)}, np.zeros(N, int), [("x", Type("f32", (1,)))])
    loss = MostDrop(0.02, data, lambda feeds: [wide_scores]).loss(lambda feeds: [narrow_scores])
    assert loss.value >= score_interval(N, 0, N)[0]
    assert not loss.within


def test_what_the_model_is_worth_on_the_items() -> None:
    """Nine tenths are right; labels in another order are not known to the model."""
    about = MostDrop(0.02, items(), wide).about
    assert (about["items"], about["model_accuracy"], about["warning"]) == (N, 0.9, "")
    assert about["most_frequent_label"] == 0.2, "labels of two classes are 4"
    known = items()
    strange = Labelled("data", known.arrays, (known.labels + 5) % 10, known.ports)
    assert "no better than the most frequent label" in MostDrop(0.02, strange, wide).about["warning"]
    assert MostError(0.1, [], wide).about == {"samples": 0}


def test_masked_scores_are_no_error() -> None:
    """Infinities where the float model has them; elsewhere nothing is beyond them."""
    samples = [{"x": np.array([3.0, 4.0])}]
    masked = np.array([0.0, 0.0, -np.inf])

    def scores(scale: float, mask: Array) -> Any:
        return lambda feeds: [np.append(feeds["x"] * scale, 1.0) + mask]

    bound = MostError(0.1, samples, scores(1.0, masked))
    assert bound.loss(scores(1.05, masked)).value == pytest.approx(0.05)
    for wrong in (np.zeros(3), -masked, np.array([np.nan, 0.0, -np.inf])):
        loss = bound.loss(scores(1.0, wrong))
        assert not loss.within
        assert loss.facts == {"error": "inf"}


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
