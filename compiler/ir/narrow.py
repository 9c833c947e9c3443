"""Casts to and from element types of 8 bits and fewer, as ONNX's Cast defines them. Nothing else is computed in these.

A number is rounded once, half to even, whatever it is rounded from. Where ONNX leaves a case open: floats become
integers by truncation, and these keep their low bits, as wider ones do; a NaN is a zero of its sign in float4, which
has none; and float8e8m0, which has no sign, makes a NaN of a negative number.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.types import DTYPES, NARROW_FLOATS, bits_of

Array = np.ndarray[Any, Any]
ROUND_MODES = ("up", "down", "nearest")  # of float8e8m0


def widened(x: Array, dtype: str) -> Array:
    """The numbers of a narrow array in a type that numpy computes in: float32, int8 or uint8. Bits above an element's
    own mean nothing."""
    x = (x.view(np.uint8) & np.uint8((1 << bits_of(dtype)) - 1)).view(x.dtype)
    if dtype in NARROW_FLOATS:
        return x.astype(np.float32)
    return x.astype(np.int8 if dtype[0] == "i" else np.uint8)


def narrowed(x: Array, to: str, saturate: bool, round_mode: str) -> Array:
    """Numbers of a wide type as elements of a narrow one."""
    if to not in NARROW_FLOATS:
        return _low_bits(x, to)
    # float64 holds every element of the others but for integers beyond 2^53
    x = x.astype(np.float64)
    if to == "f8e8m0":
        return _power_of_two(x, saturate, round_mode)
    return _nearest(x, to, saturate or to == "f4e2m1")


def _low_bits(x: Array, to: str) -> Array:
    whole = x.astype(np.uint64 if x.dtype == np.uint64 else np.int64)
    low = (whole & whole.dtype.type((1 << bits_of(to)) - 1)).astype(np.uint8)
    return low.view(DTYPES[to])


def _nearest(x: Array, to: str, saturate: bool) -> Array:
    dtype = DTYPES[to]
    info = ml_dtypes.finfo(dtype)
    if saturate:
        x = np.clip(x, float(info.min), float(info.max))
    if to == "f4e2m1":
        x = np.where(np.isnan(x), np.copysign(0.0, x), x)
    # odd in float32 first (Boldo and Melquiond 2008): ml_dtypes goes from float64 by way of it, and would round twice
    return to_odd(x).astype(dtype)


def to_odd(x: Array) -> Array:
    """float64 as float32, towards zero, with the last bit set where something was cut off."""
    near = x.astype(np.float32)
    back = near.astype(np.float64)
    inexact = (back != x) & np.isfinite(x) & np.isfinite(near)
    bits = near.view(np.uint32) - (inexact & (np.abs(back) > np.abs(x))).astype(np.uint32)
    return np.asarray(bits | inexact, np.uint32).view(np.float32)


def _power_of_two(x: Array, saturate: bool, round_mode: str) -> Array:
    """Code c stands for 2^(c - 127), 255 for NaN."""
    fraction, exponent = np.frexp(np.where(np.isfinite(x) & (x > 0), x, 1.0))  # x = fraction * 2^exponent, from 1/2
    step = {"up": fraction > 0.5, "down": False, "nearest": fraction >= 0.75}[round_mode]
    code = np.clip(exponent + 126 + step, 0, 254)
    code = np.where(x == 0, 0, np.where(x == np.inf, 254, code))
    outside = (x < 2.0**-127) | (x > 2.0**127)
    code = np.where(np.isnan(x) | (x < 0) | (outside & (not saturate)), 255, code)
    return np.asarray(code).astype(np.uint8).view(DTYPES["f8e8m0"])

