"""classify: probabilities to a label and a dictionary of all labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, Item, ListValue
from edgec.runtime.coreml.literals import array_of
from edgec.runtime.coreml.package import Package
from edgec.runtime.coreml.program import Function, Immediate, Value


def _classify(call: Call) -> tuple[Item, ...]:
    """The first of the best labels, as an array without axes, and {label: probability}."""
    probabilities = call.real("probabilities").reshape(-1)
    classes = call.operand("classes").item
    if not isinstance(classes, ListValue):
        raise ValueError("'classes' is no list")
    labels = [item.reshape(()).item() for item in classes.items if item is not None]
    if len(labels) != probabilities.size or len(set(labels)) != len(labels):
        raise ValueError(f"{len(set(labels))} different labels do not fit {probabilities.size} probabilities")
    best = labels[int(np.argmax(probabilities))]
    label = np.array(best, np.int64 if isinstance(best, int) else object)
    return label, dict(zip(labels, map(float, probabilities), strict=True))


def labels_of(function: Function, package: Package) -> tuple[str, ...]:
    """The labels of a function that ends in classify; none of another."""
    for operation in function.block.operations:
        if operation.type == "classify":
            values = [a for a in operation.inputs.get("classes", ()) if isinstance(a, Value)]
            content = values[0].content if values else None
            if isinstance(content, Immediate):
                items = [array_of(item, package, operation.name) for item in content.items]
                return tuple(str(item.reshape(()).item()) for item in items)
    return ()


MEANINGS: dict[str, Callable[[Call], tuple[Item, ...]]] = {"classify": _classify}
