"""Seeded inputs for verification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.errors import IndexBeyond, ReferenceFails, UsageError
from edgec.ir.ops.cast import cast
from edgec.ir.types import INTEGERS, NARROW_INTEGERS, Type
from edgec.runtime.coreml.wire import PackageError

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


def is_byte(type: Type) -> bool:
    """Whether it is an integer of up to 8 bits, such as pixels are."""
    return type.dtype in INTEGERS | NARROW_INTEGERS and type.numpy.itemsize == 1


@contextmanager
def bytes_explained(inputs: Sequence[tuple[str, Type]], ranges: Mapping[str, tuple[float, float]]) -> Iterator[None]:
    """UsageError, which leads to --range, where a model fails on inputs that may be bytes that nobody asked for."""
    try:
        yield
    except (IndexBeyond, ReferenceFails, PackageError) as error:
        drawn = [(name, type) for name, type in inputs if is_byte(type) and name not in ranges]
        if not drawn:
            raise
        (name, type), *_ = drawn
        raise UsageError(
            f"{error}; random inputs '{name}' are any {type.dtype}: where they are indices, give --range {name}=LO:HI"
        ) from error


def compared_first(samples: Sequence[Mapping[str, Array]], count: int) -> list[Mapping[str, Array]]:
    """All of them, in front as many as verification looks at, evenly spread: files are often sorted by class."""
    taken = min(count, len(samples))
    places = [i * len(samples) // taken for i in range(taken)]
    return [samples[i] for i in (*places, *sorted({*range(len(samples))} - {*places}))]


def sample_inputs(
    inputs: Sequence[tuple[str, Type]], seed: int, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, Array]:
    """Uniform in the input's range; without one, floats are standard normal, integers of up to 8 bits any that there
    are, and wider ones, which may be indices, 0 or 1."""
    check_ranges(inputs, ranges)
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for name, type in inputs:
        whole = type.dtype[0] in "iu" or type.dtype == "bool"
        if name in ranges:
            lo, hi = ranges[name]
            drawn = rng.integers(int(lo), int(hi) + 1, type.dims) if whole else rng.uniform(lo, hi, type.dims)
        elif is_byte(type):
            info = ml_dtypes.iinfo(type.numpy)
            drawn = rng.integers(info.min, info.max + 1, type.dims)
        else:
            drawn = rng.integers(0, 2, type.dims) if whole else rng.standard_normal(type.dims)
        if type.dtype == "f8e8m0":
            drawn = np.abs(drawn)  # it has no sign
        feeds[name] = cast(np.asarray(drawn), type.dtype)
    return feeds
