"""Multipliers of requantisation as kernels take them (kernels/q8.h, edgec_requant)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.ops.integer import SHIFTS
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.context import NotLowered

EXACT = 1 << 24  # integers up to it are floats
LARGEST = 1 << 21  # results that edgec_requant_short makes by way of floats are below it


def packed_multipliers(isa: Isa, m: np.ndarray, s: np.ndarray) -> np.ndarray:
    """m and s as one int32 each: x86 keeps the upper 32 bits of a product, the others the upper 33."""
    wide, shift = np.asarray(m, np.int64), np.asarray(s, np.int64)
    assert np.all((wide >= 1) & (wide < 1 << 16) & (shift >= SHIFTS[0]) & (shift <= SHIFTS[1]))
    packed: np.ndarray = (wide << ((32 if isa.byte == "u8" else 31) - shift)).astype(np.int32)
    return packed


def short_multipliers(isa: Isa, by: np.ndarray, sums: np.ndarray) -> np.ndarray | None:
    """Packed multipliers as edgec_requant_short takes them, for sums whose least and largest are [2][n]. On AVX-512 the
    bits of floats, None where floats do not hold sums or results; on other x86 twice as much, None where that is beyond
    32 bits."""
    if isa.byte != "u8":
        return by
    if isa.lanes == 16:
        largest = np.abs(sums).max(axis=0)
        exact = np.all(largest <= EXACT) and np.all(largest * by < LARGEST << 32)
        return np.ldexp(by, -32).astype(np.float32).view(np.int32) if exact else None
    return by * 2 if int(by.max(initial=0)) < 1 << 30 else None


def scale_fields(op: Op, isa: Isa, prefix: str = "") -> dict[str, int]:
    """The fields of edgec_qscale: an op's one multiplier (kernels/qlanes.h)."""
    attrs: Any = op.attrs
    m, s = attrs["multiplier"], attrs["shift"]
    by = int(packed_multipliers(isa, np.array(m), np.array(s)))
    fields = {"bias": attrs["bias"], "m": m, "s": s, "by": by, "lo": attrs["lo"], "hi": attrs["hi"]}
    return {prefix + name: value for name, value in fields.items()}


def check_bytes(op: Op, isa: Isa, values: Iterable[Value | None] | None = None) -> None:
    """NotLowered when kernels of this instruction set have other bytes than `values`: the op's operands and result."""
    for value in (*op.inputs, op.result) if values is None else values:
        if value is not None and value.type.dtype != isa.byte:
            raise NotLowered(f"{op.kind} has kernels for bytes of {isa.byte} here, not of {value.type.dtype}")
