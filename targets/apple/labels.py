"""A classifier: the first output as a label and a dictionary from labels to probabilities, as Xcode shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgec.ir.errors import UsageError

LABEL = "classLabel"
PROBABILITIES = "classLabel_probs"


@dataclass(frozen=True)
class Classifier:
    """`output` is the model's output of probabilities; the others are names of features."""

    labels: tuple[str, ...]
    output: str
    label: str = LABEL
    probabilities: str = PROBABILITIES


def classifier_of(
    labels: tuple[str, ...], output: str, shape: tuple[int, ...], dtype: str, taken: set[str]
) -> Classifier:
    """UsageError where the output is not one number for each label, or a label stands there twice."""
    if dtype not in ("f32", "f16") or math.prod(shape) != len(labels):
        raise UsageError(
            f"--labels: the output '{output}' is {dtype}{list(shape)}, and a classifier's first output has one float "
            f"for each of its {len(labels)} labels"
        )
    seen: dict[str, int] = {}
    for line, label in enumerate(labels, start=1):
        if label in seen:
            raise UsageError(
                f"--labels: '{label}' stands in lines {seen[label]} and {line}; Core ML keeps probabilities by label, "
                "so that each must be another"
            )
        seen[label] = line
    for name in (LABEL, PROBABILITIES):
        if name in taken:
            raise UsageError(f"--labels: the model has a '{name}' of its own, which is what a classifier's output is")
        taken.add(name)
    return Classifier(labels, output)
