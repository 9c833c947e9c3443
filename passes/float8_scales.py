"""The scales with which floats are 8-bit floats, or E2M1, exactly: what somebody decoded before.

A scale times two is the same numbers with other exponents, so that the largest number of a row may be taken to be one
of the topmost of the format: one for each mantissa. The product was rounded, so that the scale may be a step beside
the quotient.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.encodings import SMALL, nearest_float8

Array = np.ndarray[Any, Any]
SAMPLE = 64  # numbers of a row that most scales fail by, and rows by which most weights do
LEAST = 2.0**-100  # smaller scales lose bits of their own


def exact_scales(rows: Array, format: str) -> Array | None:
    """A positive scale for each row [n, numbers], of which all its numbers are 8-bit floats times it, rounded to
    float32; 1 for rows of zeros. None where a row has none."""
    if len(rows) > SAMPLE and exact_scales(rows[:SAMPLE], format) is None:
        return None
    largest = np.abs(rows).max(axis=1, initial=0)
    scales = np.ones(len(rows), np.float32)
    left = np.flatnonzero(largest)
    for top in _tops(format):
        quotient = (largest / top).astype(np.float32)
        for scale in (quotient, np.nextafter(quotient, np.float32(0)), np.nextafter(quotient, np.float32(np.inf))):
            likely = left[_fit(rows[left, :SAMPLE], scale[left], format)]
            hit = likely[_fit(rows[likely], scale[likely], format)] if len(likely) else likely
            scales[hit] = scale[hit]
            left = np.setdiff1d(left, hit, assume_unique=True)
            if not len(left):
                return scales
    return None if len(left) else scales


def _tops(format: str) -> list[np.float32]:
    """The largest number of the format with each mantissa, that of the powers of two first."""
    dtype = SMALL[format]
    largest, bits = float(ml_dtypes.finfo(dtype).max), int(ml_dtypes.finfo(dtype).nmant)
    binade = 2.0 ** np.floor(np.log2(largest))
    tops = [binade * (1 + m / 2**bits) for m in range(2**bits)]
    return [np.float32(t if t <= largest else t / 2) for t in tops]


def _fit(rows: Array, scale: Array, format: str) -> Array:
    with np.errstate(all="ignore"):
        numbers = nearest_float8(rows, scale[:, None], format).view(SMALL[format]).astype(np.float32)
        return np.asarray(np.all(numbers * scale[:, None] == rows, axis=1) & (scale > LEAST))
