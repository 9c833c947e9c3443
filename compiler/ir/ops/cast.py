"""Between element types: a cast of numbers, and the same bits read as other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.narrow import ROUND_MODES, narrowed, widened
from edgec.ir.ops.functions import HALVES
from edgec.ir.ops.operands import operand
from edgec.ir.ops.row import Attrs
from edgec.ir.types import DTYPES, NARROW, Type, bits_of, dtype_name

Array = np.ndarray[Any, Any]


def infer_cast(types: Sequence[Type | None], attrs: Attrs) -> list[Type]:
    if attrs["to"] not in DTYPES:
        raise IRError(f"cast has no dtype {attrs['to']}; legal: {', '.join(DTYPES)}")
    if attrs["round_mode"] not in ROUND_MODES:
        raise IRError(f"cast has no round_mode {attrs['round_mode']}; legal: {', '.join(ROUND_MODES)}")
    return [Type(str(attrs["to"]), operand(types, 0, "cast").shape)]


def cast(x: Array, to: str, saturate: bool = True, round_mode: str = "up") -> Array:
    """ONNX Cast: a float goes to an integer by truncation, to bool by != 0; integers wrap. `saturate` is for 8-bit
    floats, `round_mode` for float8e8m0."""
    with np.errstate(all="ignore"):
        if dtype_name(x.dtype) in NARROW:
            x = widened(x, dtype_name(x.dtype))
        if to in NARROW:
            return narrowed(x, to, saturate, round_mode)
        if to == "bool":
            return np.asarray(x != 0)
        if x.dtype in HALVES:
            x = x.astype(np.float32)
        return x.astype(DTYPES[to])


def infer_bitcast(types: Sequence[Type | None], attrs: Attrs) -> list[Type]:
    x, to = operand(types, 0, "bitcast"), str(attrs["to"])
    if to not in DTYPES or bits_of(to) != bits_of(x.dtype) or "bool" in (to, x.dtype):
        raise IRError(f"bitcast cannot read {x.dtype} as {to}; numbers of one width are legal")
    return [Type(to, x.shape)]
