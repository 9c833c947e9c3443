"""The receipt: what was built, what it is compared with, how far apart they are. Deterministic figures only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.types import NARROW_INTEGERS, dtype_name

Array = np.ndarray[Any, Any]
TENSOR_TOLERANCE = 1e-4  # max|a-b| against max|b|
ELEMENT_RELATIVE, ELEMENT_ABSOLUTE = 1e-3, 1e-5  # |a-b| <= 1e-3 |b| + 1e-5 max|b|


def compare(found: Array, expected: Array) -> dict[str, Any]:
    """Error of one output. Infinities and NaNs must stand in the same places; integers must be equal. What is stored in
    fewer bits than float32 may be rounded to either side."""
    if found.shape != expected.shape:
        return {"pass": False, "reason": f"shape {list(found.shape)} instead of {list(expected.shape)}"}
    if expected.dtype.kind in "iub" or dtype_name(expected.dtype) in NARROW_INTEGERS:
        wrong = int(np.count_nonzero(found != expected))
        return {"pass": wrong == 0, "different": wrong, "elements": int(expected.size)}
    a, b = found.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(finite, np.isfinite(a)) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return {"pass": False, "reason": "infinities or NaNs stand in different places"}
    a, b = a[finite], b[finite]
    if not b.size:
        return {"pass": True, "max_abs_error": 0.0, "relative_to_max": 0.0}
    error, top = np.abs(a - b), float(np.abs(b).max())
    worst = float(error.max())
    step = least = 0.0
    if expected.dtype.itemsize < 4:
        info = ml_dtypes.finfo(expected.dtype)
        step, least = float(info.eps), float(info.smallest_subnormal)
    elementwise = bool(np.all(error <= (ELEMENT_RELATIVE + step) * np.abs(b) + ELEMENT_ABSOLUTE * top + least))
    return {
        "pass": worst <= (TENSOR_TOLERANCE + step) * top + least and elementwise,
        "max_abs_error": worst,
        "relative_to_max": worst / top if top else 0.0,
    }


def worse(a: dict[str, Any] | None, b: dict[str, Any]) -> dict[str, Any]:
    """The worse of two comparisons of one output."""
    if a is None or (a["pass"] and not b["pass"]):
        return b
    if not a["pass"] and b["pass"]:
        return a
    return b if b.get("max_abs_error", 0.0) > a.get("max_abs_error", 0.0) else a


def wilson(right: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of a proportion (Wilson 1927)."""
    if not total:
        return 0.0, 1.0
    z, p = 1.959963984540054, right / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def named(number: int, names: Sequence[str]) -> dict[str, Any]:
    """A class with its label, when there is one."""
    known = 0 <= number < len(names)
    return {"class": number, "label": names[number]} if known else {"class": number}


def accuracy(found: Array, expected: Array, labels: Array, names: Sequence[str] = ()) -> dict[str, Any]:
    """Top-1 accuracy of the artifact and of the reference over scores [n, classes]; the class with the lowest accuracy;
    every item where the two answer differently. `names` are the classes' labels, when there are any."""
    mine, theirs = found.argmax(-1).ravel(), expected.argmax(-1).ravel()
    right = mine == labels
    low, high = wilson(int(right.sum()), len(labels))

    classes = [(float(right[labels == c].mean()), int(c)) for c in np.unique(labels)]
    worst = min(classes, default=(0.0, -1))
    return {
        "images": len(labels),
        "right": int(right.sum()),
        "accuracy": float(right.mean()),
        "confidence_95": [round(low, 4), round(high, 4)],
        "reference_accuracy": float((theirs == labels).mean()),
        "worst_class": {**named(worst[1], names), "accuracy": worst[0], "images": int((labels == worst[1]).sum())},
        "flipped": [
            {"item": int(i), "truth": named(int(labels[i]), names), "answer": named(int(mine[i]), names),
             "reference": named(int(theirs[i]), names)}
            for i in np.flatnonzero(mine != theirs)
        ],
    }  # fmt: skip
