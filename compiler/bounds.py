"""What a model may lose by narrower arithmetic: accuracy on labelled items (--max-drop), or nearness of its outputs to
those of the float model (--max-error)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgec.ir.errors import UsageError
from edgec.labelled import Labelled
from edgec.near_ties import LEAST_ITEMS, drop_near_ties
from edgec.paired import items_to_show, score_interval, squares

Array = np.ndarray[Any, Any]
Answer = Callable[[Mapping[str, Array]], Sequence[Array]]  # a sample -> the model's outputs in order
NO_BETTER = "the model is no better than the most frequent label: see that labels and inputs are those of this model"
MakeBound = Callable[[Answer], "Bound"]  # of what the float model answers


def share(option: str, given: str | float) -> float:
    """`0.5%` or `0.005`, as text or number; UsageError unless between 0 and 1."""
    text = str(given)
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise UsageError(f"{option} {text} is no share; legal: more than 0 and less than 1, such as 0.5% or 0.005")
    return value


def percent(share: float) -> str:
    """All digits that were given: `0.5%` of 0.005, `1e-28%` of 1e-30."""
    return f"{share * 100:.12g}%"


@dataclass(frozen=True)
class Loss:
    """`value` is what is held against the bound."""

    value: float
    within: bool
    facts: Mapping[str, Any]


class Bound(Protocol):
    most: float  # of what is lost

    @property
    def shown(self) -> str:
        """The option as given."""

    @property
    def about(self) -> Mapping[str, Any]:
        """For the receipt: what it is measured on."""

    def loss(self, answer: Answer) -> Loss:
        """Of a model that answers so."""


class MostError:
    """The root of the squared error over the root of the squared outputs, of the worst output; infinite where
    infinities or NaNs are not those of the float model."""

    def __init__(self, most: float, samples: Sequence[Mapping[str, Array]], wide: Answer) -> None:
        self.most, self._samples = most, samples
        self._expected = [wide(feeds) for feeds in samples]

    @property
    def shown(self) -> str:
        return f"--max-error {percent(self.most)}"

    @property
    def about(self) -> Mapping[str, Any]:
        return {}

    def loss(self, answer: Answer) -> Loss:
        count = len(self._expected[0])
        noise, signal = np.zeros(count), np.zeros(count)
        for feeds, expected in zip(self._samples, self._expected, strict=True):
            for i, (a, b) in enumerate(zip(answer(feeds), expected, strict=True)):
                here = squares(a, b)
                noise[i] += here[0]
                signal[i] += here[1]
        error = float(np.sqrt(noise / np.where(signal > 0, signal, 1.0)).max(initial=0.0))
        return Loss(error, error <= self.most, {"error": round(error, 6) if math.isfinite(error) else str(error)})


class MostDrop:
    """The upper end of the 95 % interval of the drop of accuracy, of the first output: by items near a tie, or where
    these say nothing, by counting items that changed."""

    def __init__(self, most: float, items: Labelled, wide: Answer) -> None:
        self.most, self._items = most, items
        self._wide = self._scores(wide)
        items.check_classes(self._wide.shape[1])
        counted = score_interval(0, 0, len(items))[1]
        if drop_near_ties(self._wide, self._wide, items.labels) is None and counted > most:
            raise UsageError(
                f"{self.shown}: {len(items)} labelled items that lose nothing show no drop below "
                f"{counted:.2%}; give {min(items_to_show(most), LEAST_ITEMS)} or more in --calib, or a larger bound"
            )

    @property
    def shown(self) -> str:
        return f"--max-drop {percent(self.most)}"

    @property
    def about(self) -> Mapping[str, Any]:
        """A model that knows nothing of the labels has nothing to lose."""
        accuracy = float(np.mean(self._wide.argmax(1) == self._items.labels))
        guessed = float(np.unique(self._items.labels, return_counts=True)[1].max()) / len(self._items)
        return {
            "items": len(self._items), "model_accuracy": round(accuracy, 4), "most_frequent_label": round(guessed, 4),
            "warning": NO_BETTER if accuracy <= guessed else "",
        }  # fmt: skip

    def loss(self, answer: Answer) -> Loss:
        narrow, labels = self._scores(answer), self._items.labels
        before, after = self._wide.argmax(1) == labels, narrow.argmax(1) == labels
        lost, won = int(np.sum(before & ~after)), int(np.sum(~before & after))
        low, high = score_interval(lost, won, len(labels))
        near = drop_near_ties(self._wide, narrow, labels)
        facts = {"newly_wrong": lost, "newly_right": won, "counted_drop_confidence_95": [round(low, 4), round(high, 4)],
                 "near_ties": near.facts() if near else None}  # fmt: skip
        # an estimate that the count rules out does not hold
        most = max(near.high, low) if near else high
        return Loss(most, most <= self.most, facts)

    def _scores(self, answer: Answer) -> Array:
        return np.stack([answer(feeds)[0].ravel() for feeds in self._items])
