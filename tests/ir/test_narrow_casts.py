"""Casts to element types of 8 bits and fewer against a search through all of their numbers, and ONNX's tables."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir.ops.cast import cast
from edgec.ir.types import DTYPES, bits_of

# type -> codes of the largest number, of what lies beyond it (saturated: the largest), of NaN; is there a -0?
FORMS = {
    "f8e4m3fn": (0x7E, 0x7F, 0x7F, True),
    "f8e4m3fnuz": (0x7F, 0x80, 0x80, False),
    "f8e5m2": (0x7B, 0x7C, 0x7E, True),
    "f8e5m2fnuz": (0x7F, 0x80, 0x80, False),
}


def codes(x: list[float], to: str, saturate: bool = True, round_mode: str = "up") -> list[int]:
    return cast(np.array(x), to, saturate, round_mode).view(np.uint8).tolist()  # type: ignore[no-any-return]


def numbers(dtype: str, most: int) -> np.ndarray:
    return np.arange(most + 1, dtype=np.uint8).view(DTYPES[dtype]).astype(np.float64)


def searched(x: float, dtype: str, most: int) -> int:
    """The code nearest to a positive number, half to even; most + 1 is the number that would follow the largest."""
    known = numbers(dtype, most)
    known = np.append(known, 2 * known[-1] - known[-2])
    distance = np.abs(known - x)
    nearest = np.flatnonzero(distance == distance.min())
    return int(nearest[0] if len(nearest) == 1 else nearest[nearest % 2 == 0][0])


def samples(known: np.ndarray) -> np.ndarray:
    """All numbers, all ties between them, what is a little off those, and what lies beyond."""
    ties = (known[1:] + known[:-1]) / 2
    last = known[-1] + (known[-1] - known[-2]) / 2
    exact = np.concatenate([known, ties, [last, 1.5 * last, known[1] / 2, known[1] / 1024]])
    return np.concatenate([exact, exact * (1 + 2.0**-40), exact * (1 - 2.0**-40), exact * (1 + 2.0**-23)])


@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("dtype", FORMS)
def test_eight_bit_floats(dtype: str, saturate: bool) -> None:
    most, beyond, nan, signed = FORMS[dtype]
    x = samples(numbers(dtype, most))
    expected = [searched(v, dtype, most) for v in x]
    expected = [c if c <= most else most if saturate else beyond for c in expected]
    assert codes(x.tolist(), dtype, saturate) == expected
    negative = [c if not signed and c in (0, nan) else c | 0x80 for c in expected]
    assert codes((-x).tolist(), dtype, saturate) == negative
    infinite = most if saturate else beyond
    assert codes([np.inf, -np.inf, np.nan, -0.0], dtype, saturate) == [
        infinite, infinite if infinite == 0x80 else infinite | 0x80, nan, 0x80 if signed else 0,
    ]  # fmt: skip


def test_four_bit_floats() -> None:
    x = samples(numbers("f4e2m1", 7))
    expected = [min(searched(v, "f4e2m1", 7), 7) for v in x]
    assert codes(x.tolist(), "f4e2m1") == expected == codes(x.tolist(), "f4e2m1", saturate=False)
    assert codes((-x).tolist(), "f4e2m1") == [c | 8 for c in expected]
    assert codes([np.inf, -np.inf, np.nan], "f4e2m1") == [7, 15, 0]


def test_powers_of_two() -> None:
    """The two columns of ONNX's table, and rounding between powers in all three modes."""
    least, most = 2.0**-127, 2.0**127
    special = [0.0, np.nan, np.inf, 1.5 * most, least / 2]
    assert codes(special, "f8e8m0") == [0, 255, 254, 254, 0]
    assert codes(special, "f8e8m0", saturate=False, round_mode="nearest") == [255] * 5
    x = [1.0, 1.25, 1.5, 1.75, 2.0, least, 1.25 * least, 1.5 * least, 1.75 * least, most]
    assert codes(x, "f8e8m0") == [127, 128, 128, 128, 128, 0, 1, 1, 1, 254]
    assert codes(x, "f8e8m0", round_mode="nearest") == [127, 127, 128, 128, 128, 0, 0, 1, 1, 254]
    assert codes(x, "f8e8m0", round_mode="down", saturate=False) == [127, 127, 127, 127, 128, 0, 0, 0, 0, 254]
    assert codes([-1.0], "f8e8m0") == [255]


@pytest.mark.parametrize("dtype", ["i4", "u4", "i2", "u2"])
def test_integers_keep_their_low_bits(dtype: str) -> None:
    x, bits = np.arange(-40, 40), bits_of(dtype)
    expected = x % (1 << bits)
    if dtype[0] == "i":
        expected = np.where(expected >= 1 << bits - 1, expected - (1 << bits), expected)
    for given in (x, x + 0.25 * np.sign(x), (x + 2**40).astype(np.uint64)):
        np.testing.assert_array_equal(cast(cast(given, dtype), "i32"), expected)


def test_between_narrow_types() -> None:
    """From one to another as from the number that it is."""
    every = np.arange(256, dtype=np.uint8).view(DTYPES["f8e5m2"])
    for to in ("f8e4m3fn", "f8e8m0", "f4e2m1", "i4"):
        found = cast(every, to, saturate=False).view(np.uint8)
        np.testing.assert_array_equal(found, cast(every.astype(np.float32), to, saturate=False).view(np.uint8))
    np.testing.assert_array_equal(cast(np.array([-3, 7], DTYPES["i4"]), "u2"), np.array([1, 3], DTYPES["u2"]))
