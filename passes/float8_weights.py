"""Weights become 8-bit floats, e4m3 or e5m2, times a scale a result channel, one in all (`per=tensor`), or one for each
`group` along the products.

%1 = conv %0, #w   ->   %1 = conv %0, #b float8<e4m3@0, scale=#s>

Weights that are such numbers times some scale already keep them exactly (float8_scales.py); others are rounded, or stay
as they are where `exact` is 1. Embeddings stay as they are where `tables` is 0.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.encodings import FLOAT8, encode
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Float8
from edgec.passes.float8_scales import exact_scales
from edgec.passes.weights import LEAST, Weights, encode_each, grouped, half_above, within

Array = np.ndarray[Any, Any]


def float8_weights(
    graph: Graph, format: str = "e4m3", per: str = "channel", group: int = 0, exact: int = 0, tables: int = 1,
    least: int = LEAST,
) -> bool:  # fmt: skip
    if format not in FLOAT8 or per not in ("channel", "tensor") or group < 0:
        raise UsageError(f"float8_weights: format={format}, per={per}, group={group}; legal are e4m3, e5m2; channel, "
                         "tensor; 0 (none) and more")  # fmt: skip

    def form(graph: Graph, weights: Weights) -> Value | None:
        if within(graph, weights) != ((), None) or (weights.op.kind == "gather" and not tables):
            return None
        axis = weights.products if group else weights.channels if per == "channel" else None
        numbers = weights.numbers(graph)
        rows = _rows(numbers, axis, group)
        scales = exact_scales(rows.reshape(-1, rows.shape[-1]), format)
        if scales is None and exact:
            return None
        if scales is None:
            scales = half_above(np.abs(rows).max(axis=-1) / np.float32(float(ml_dtypes.finfo(FLOAT8[format]).max)))
        scale = scales.reshape(rows.shape[:-1])
        scale = np.ascontiguousarray(np.moveaxis(scale, -1, axis)) if group and axis is not None else scale
        encoding = Float8(format, graph.module.intern(scale), axis, group)
        type = weights.encoded(encoding)
        return graph.encoded(encode(graph.module.constants, numbers, type), type, weights.value.name)

    return encode_each(graph, least, form)


def _rows(numbers: Array, axis: int | None, group: int) -> Array:
    """What shares a scale, along the last axis: all, what lies at one place of an axis, or a group along it."""
    if axis is None:
        return numbers.reshape(-1)
    return grouped(numbers, axis, group) if group else np.moveaxis(numbers, axis, 0).reshape(numbers.shape[axis], -1)
