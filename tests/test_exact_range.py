"""Numbers that were bytes once are bytes again, without a rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgec.exact_range import Levels
from edgec.grids import grid_of
from edgec.observers import OBSERVERS, observe, range_of

Array = np.ndarray[Any, Any]
EVERY = np.arange(256, dtype=np.float32)


def found(*arrays: Array) -> tuple[float, float] | None:
    levels = Levels()
    for array in arrays:
        levels.update(array)
    return levels.range()


def codes(array: Array, byte: str, range: tuple[float, float]) -> Array:
    scale, zero = grid_of(*range, byte)
    low = 0 if byte == "u8" else -128
    return np.asarray(np.clip(np.rint(array / scale) + zero, low, low + 255))


@pytest.mark.parametrize("byte", ["u8", "i8"])
@pytest.mark.parametrize(("mean", "deviation"), [(0.286, 0.353), (0.0, 1.0), (0.4914, 0.2023)])
def test_images_are_the_bytes_that_they_were(byte: str, mean: float, deviation: float) -> None:
    image = ((EVERY / 255 - mean) / deviation).astype(np.float32)
    range = found(image[::2], image[1::2])
    assert range is not None
    stored = codes(image, byte, range)
    assert np.array_equal(np.diff(stored), np.ones(255)), "one byte a level"
    shift = stored - image / grid_of(*range, byte)[0]
    assert np.ptp(shift) < 0.01, "what is lost is the same for all"


def test_few_levels_take_all_of_the_range() -> None:
    levels = np.arange(0.0, 40.0, 2.0, np.float32)
    range = found(levels)
    assert range is not None
    assert range[1] == pytest.approx(38.0, rel=0.05)
    assert np.array_equal(np.diff(codes(levels, "u8", range)), np.full(19, 13.0))


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).standard_normal(5000), np.arange(257.0), np.full(9, 3.0), np.zeros(0),
        EVERY[:40] ** 1.5, np.array([*EVERY, np.inf]), 1000.0 + EVERY, (EVERY / 255 - 0.5) / 0.5, EVERY[:9],
    ],
)  # fmt: skip
def test_what_is_on_no_grid(array: Array) -> None:
    assert found(array.astype(np.float32)) is None


def test_every_observer_takes_it() -> None:
    """Few bright pixels are not clamped for the sake of the many dark ones."""
    rng = np.random.default_rng(0)
    image = ((np.minimum(rng.geometric(0.1, 20_000), 255) / 255 - 0.25) / 0.2).astype(np.float32)
    (histogram,) = observe(lambda: [{"x": image}]).values()
    assert histogram.exact is not None
    for observer in OBSERVERS:
        range = range_of(histogram, observer)
        assert range == histogram.exact
        assert range[0] <= image.min() + 0.01
        assert range[1] >= image.max() - 0.01
