"""Weights become i8 with a scale a result channel, or i4 with one for each `group` along the products.

%1 = conv %0, #w   ->   %1 = conv %0, #q quant<i8@0, scale=#s, zero=#z>
                        %1 = conv %0, #q quant<i4@1:32, scale=#s, zero=#z>

Weights that are such integers times scales already keep them exactly, zero points too where bits are four. Others are
rounded to the nearest step of symmetric scales, which halves hold, or stay as they are where `exact` is 1. Of sparse
weights, what is in the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.encodings import nearest_steps
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Quant
from edgec.passes.exact_codes import KINDS, codes_of
from edgec.passes.weights import LEAST, Weights, encode_each, grouped, half_above, ungrouped, within

Array = np.ndarray[Any, Any]
TOPS = {"i8": 127, "i4": 7}


def quantize_weights(graph: Graph, format: str = "i8", group: int = -1, exact: int = 0, least: int = LEAST) -> bool:
    if format not in TOPS or group < -1:
        raise UsageError(f"quantize_weights: format={format}, group={group}; legal are i8, i4; 0 (a channel) and more")
    size = (32 if format == "i4" else 0) if group < 0 else group

    def form(graph: Graph, weights: Weights) -> Value | None:
        found = within(graph, weights)
        if found is None:
            return None
        outer, kept = found
        numbers, axis = weights.numbers(graph), weights.products if size else weights.channels
        made = _in_groups(numbers, axis, size, format) if size else _by_channel(numbers, axis, format)
        if made is None and exact:
            return None
        stored, scale, zero = made or _rounded(numbers, axis, size, format)
        if kept is not None:
            stored = np.where(kept, stored, np.int8(0))
        keys = (graph.module.intern(scale), graph.module.intern(zero))
        type = weights.encoded(*outer, Quant(format, *keys, axis, size))
        return graph.encoded(stored, type, weights.value.name)

    return encode_each(graph, least, form)


Codes = tuple[Array, Array, Array]  # the tensor's integers, scales and zero points


def _by_channel(numbers: Array, axis: int, format: str) -> Codes | None:
    """A scale for each place along the axis, where that loses nothing."""
    rows = np.moveaxis(numbers, axis, 0)
    found = _exact(rows.reshape(len(rows), -1), format, positive=True)
    if found is None:
        return None
    steps, scale, zero = found
    return np.ascontiguousarray(np.moveaxis(steps.reshape(rows.shape), 0, axis)), scale, zero


def _in_groups(numbers: Array, axis: int, size: int, format: str) -> Codes | None:
    """A scale for each `size` numbers along the axis, where that loses nothing."""
    groups = grouped(numbers, axis, size)
    found = _exact(groups.reshape(-1, size), format, positive=False)
    if found is None:
        return None
    scale, zero = (np.ascontiguousarray(np.moveaxis(v.reshape(groups.shape[:-1]), -1, axis)) for v in found[1:])
    return ungrouped(found[0].reshape(groups.shape), axis, numbers.shape[axis]), scale, zero


def _rounded(numbers: Array, axis: int, size: int, format: str) -> Codes:
    top = np.float32(TOPS[format])
    if size:
        groups = grouped(numbers, axis, size)
        each = half_above(np.abs(groups).max(axis=-1) / top)
        steps = ungrouped(_steps(groups, each[..., None], format), axis, numbers.shape[axis])
        scale = np.ascontiguousarray(np.moveaxis(each, -1, axis))
    else:
        scale = half_above(np.abs(numbers).max(axis=tuple(i for i in range(numbers.ndim) if i != axis)) / top)
        steps = _steps(numbers, scale.reshape([-1 if i == axis else 1 for i in range(numbers.ndim)]), format)
    return steps, scale, np.zeros(scale.shape, np.int8)


def _steps(numbers: Array, scale: Array, format: str) -> Array:
    top = TOPS[format]
    return np.clip(nearest_steps(numbers, scale, np.zeros((), np.int8)), -top, top).astype(np.int8)


def _exact(groups: Array, format: str, positive: bool) -> Codes | None:
    """Codes, scales and zero points of groups [n, products] that have them."""
    for kind in KINDS:
        found = codes_of(groups, kind, positive) if kind.format == format else None
        if found is not None:
            return found
    return None
