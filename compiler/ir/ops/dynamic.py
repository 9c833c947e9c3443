"""Bytes whose scales are found at run time, a row at a time: what `quantize_matmuls` puts round a qmatmul."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.encodings import nearest_steps
from edgec.ir.errors import IRError
from edgec.ir.ops.operands import operand
from edgec.ir.ops.row import OpRow
from edgec.ir.types import DTYPES, Type

Array = np.ndarray[Any, Any]


def _infer_quantize(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = operand(types, 0, "quantize_rows")
    if x.dtype != "f32" or x.rank < 1 or not x.is_static:
        raise IRError(f"quantize_rows takes f32 with an axis of known length, not {x}")
    if a["to"] not in ("i8", "u8"):
        raise IRError(f"quantize_rows makes i8 or u8, not {a['to']}")
    rows = (*x.dims[:-1], 1)
    return [Type(a["to"], x.shape), Type("f32", rows), Type("i32", rows)]


def _evaluate_quantize(v: Sequence[Any], a: Any) -> list[Array]:
    return rows_as_bytes(v[0], a["to"])


def rows_as_bytes(x: Array, to: str) -> list[Array]:
    """Bytes, scale and zero point of each row: the range from its least to its largest number, with 0 in it. A NaN
    counts as 0; a row with an infinity has an infinite scale."""
    number = np.where(np.isnan(x), np.float32(0), x)
    lo, hi = (f(number, axis=-1, keepdims=True, initial=np.float32(0)) for f in (np.min, np.max))
    with np.errstate(all="ignore"):
        scale = (hi - lo) / np.float32(255)
        scale = np.where(scale == 0, np.float32(1), scale).astype(np.float32)
        steps = nearest_steps(-lo, scale, np.zeros((), np.uint8)).astype(np.int32)
    dtype = DTYPES[to]
    zero = steps + np.iinfo(dtype).min
    return [nearest_steps(x, scale, zero.astype(dtype)), scale, zero.astype(np.int32)]


def _infer_dequantize(types: Sequence[Type | None], a: Any) -> list[Type]:
    sums, scale, zero, by, of = (operand(types, i, "dequantize_rows") for i in range(5))
    rows, n = (*sums.dims[:-1], 1), sums.dims[-1:]
    wanted = [Type("f32", rows), Type("i32", rows), Type("f32", n), Type("i32", n)]
    bias = types[5] if len(types) > 5 else None
    if sums.dtype != "i32" or [scale, zero, by, of] != wanted or (bias is not None and bias != Type("f32", n)):
        raise IRError(f"dequantize_rows of {sums} takes {', '.join(map(str, wanted))} and a bias like the third")
    return [Type("f32", sums.shape)]


def _evaluate_dequantize(v: Sequence[Any], a: Any) -> list[Array]:
    """Sums of products with bytes, as numbers: less what the rows' zero points add, which is `of`, the sum of each
    column's weights, times them."""
    sums, scale, zero, by, of = v[:5]
    exact = (sums.astype(np.int64) - zero.astype(np.int64) * of).astype(np.int32)
    with np.errstate(all="ignore"):
        y = exact.astype(np.float32) * (scale * by)
        return [np.asarray(y if len(v) < 6 or v[5] is None else y + v[5], np.float32)]


ROWS: list[OpRow] = [
    OpRow("quantize_rows", "integer", (1, 1), _infer_quantize, _evaluate_quantize, {"to": "i8"}),
    OpRow("dequantize_rows", "integer", (5, 6), _infer_dequantize, _evaluate_dequantize),
]
