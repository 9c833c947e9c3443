"""Seeded inputs for verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.ops.cast import cast
from edgec.ir.types import INTEGERS, NARROW_INTEGERS, Type

Array = np.ndarray[Any, Any]


def check_ranges(inputs: Sequence[tuple[str, Type]], ranges: Mapping[str, tuple[float, float]]) -> None:
    """UsageError for a range of no input, or beyond the numbers that an integer input takes."""
    types = dict(inputs)
    for name, (low, high) in ranges.items():
        if name not in types:
            raise UsageError(f"--range {name}: the model has no such input; it has {', '.join(types) or 'none'}")
        if types[name].dtype in INTEGERS | NARROW_INTEGERS:
            info = ml_dtypes.iinfo(types[name].numpy)
            if low < info.min or high > info.max:
                raise UsageError(f"--range {name}={low:g}:{high:g}: {types[name].dtype} takes {info.min} to {info.max}")


def compared_first(samples: Sequence[Mapping[str, Array]], count: int) -> list[Mapping[str, Array]]:
    """All of them, in front as many as verification looks at, evenly spread: files are often sorted by class."""
    taken = min(count, len(samples))
    places = [i * len(samples) // taken for i in range(taken)]
    return [samples[i] for i in (*places, *sorted({*range(len(samples))} - {*places}))]


def sample_inputs(
    inputs: Sequence[tuple[str, Type]], seed: int, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, Array]:
    """Uniform in the input's range; without one, floats are standard normal and integers 0 or 1."""
    check_ranges(inputs, ranges)
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for name, type in inputs:
        whole = type.dtype[0] in "iu" or type.dtype == "bool"
        if name in ranges:
            lo, hi = ranges[name]
            drawn = rng.integers(int(lo), int(hi) + 1, type.dims) if whole else rng.uniform(lo, hi, type.dims)
        else:
            drawn = rng.integers(0, 2, type.dims) if whole else rng.standard_normal(type.dims)
        if type.dtype == "f8e8m0":
            drawn = np.abs(drawn)  # it has no sign
        feeds[name] = cast(np.asarray(drawn), type.dtype)
    return feeds
