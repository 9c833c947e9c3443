"""Multipliers of requantisation as kernels take them (kernels/q8.h, edgec_requant)."""

from __future__ import annotations

import numpy as np

from edgec.ir.ops.integer import SHIFTS
from edgec.targets.c.isa import Isa


def packed_multipliers(isa: Isa, m: np.ndarray, s: np.ndarray) -> np.ndarray:
    """m and s as one int32 each: x86 keeps the upper 32 bits of a product, the others the upper 33."""
    wide, shift = np.asarray(m, np.int64), np.asarray(s, np.int64)
    assert np.all((wide >= 1) & (wide < 1 << 16) & (shift >= SHIFTS[0]) & (shift <= SHIFTS[1]))
    packed: np.ndarray = (wide << ((32 if isa.byte == "u8" else 31) - shift)).astype(np.int32)
    return packed
