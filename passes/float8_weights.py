"""Weights become 8-bit floats, e4m3 or e5m2, times a scale a result channel, or one in all (`per=tensor`).

%1 = conv %0, #w   ->   %1 = conv %0, #b float8<e4m3@0, scale=#s>

Weights that are such numbers times some scale already keep them exactly (float8_scales.py).
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.encodings import FLOAT8, nearest_float8
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Float8, Type
from edgec.passes.float8_scales import exact_scales
from edgec.passes.weights import LEAST, Weights, encode_each, half_above, within

Array = np.ndarray[Any, Any]


def float8_weights(graph: Graph, format: str = "e4m3", per: str = "channel", least: int = LEAST) -> bool:
    if format not in FLOAT8 or per not in ("channel", "tensor"):
        raise UsageError(f"float8_weights: format={format}, per={per}; legal are e4m3, e5m2; channel, tensor")

    def form(graph: Graph, weights: Weights) -> Value | None:
        if within(graph, weights) != ((), None):
            return None
        axis = weights.channels if per == "channel" else None
        numbers = graph.array(weights.value)
        rest = tuple(i for i in range(numbers.ndim) if i != axis)
        largest = np.abs(numbers).max(axis=rest)
        scale = _scale(numbers, largest, format, axis)
        stored = nearest_float8(numbers, _along(scale, axis, numbers.ndim), format)
        type = Type("f32", numbers.shape, (Float8(format, graph.module.intern(scale), axis),))
        return graph.encoded(stored, type, weights.value.name)

    return encode_each(graph, least, form)


def _scale(numbers: Array, largest: Array, format: str, axis: int | None) -> Array:
    """The scale of each channel with which nothing is lost, where all have one; otherwise the least half that the
    largest number fits."""
    rows = numbers.reshape(1, -1) if axis is None else np.moveaxis(numbers, axis, 0).reshape(len(largest), -1)
    found = exact_scales(rows, format)
    top = np.float32(float(ml_dtypes.finfo(FLOAT8[format]).max))
    return half_above(largest / top) if found is None else found.reshape(largest.shape)


def _along(scale: Array, axis: int | None, rank: int) -> Array:
    return scale if axis is None else scale.reshape([-1 if i == axis else 1 for i in range(rank)])
