"""Weights become MXFP4: numbers of 4 bits (E2M1) times a power of two for each 32 of them along the products.

%1 = conv %0, #w   ->   %1 = conv %0, #i scale<@1:32, scale=#s> palette<4, table=#e2m1>

By the conversion of the OCP Microscaling Formats Specification 1.0 (6.3): the scale is 2^(e - 2), where 2^e is the
power of two in the largest number of the block; the others are rounded to the nearest, half to even, and saturate. With
`exact` set to 1, weights that are such numbers times any scales keep them, and others stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.encodings import E2M1, nearest_float8
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Palette, Scale
from edgec.passes.float8_scales import exact_scales
from edgec.passes.weights import LEAST, Weights, encode_each, grouped, ungrouped, within

Array = np.ndarray[Any, Any]
EXPONENT = 2  # of the largest
LEAST_EXPONENT = -127  # of a scale, E8M0


def mxfp4_weights(graph: Graph, group: int = 32, exact: int = 0, least: int = LEAST) -> bool:
    if group < 1:
        raise UsageError(f"mxfp4_weights: groups of {group}; legal are those of 1 and more, and the standard says 32")

    def form(graph: Graph, weights: Weights) -> Value | None:
        if within(graph, weights) != ((), None):
            return None
        numbers, axis = weights.numbers(graph), weights.products
        blocks = grouped(numbers, axis, group)
        scale = block_scales(np.abs(blocks).max(axis=-1))
        if exact:
            found = exact_scales(blocks.reshape(-1, group), "e2m1")
            if found is None:
                return None
            scale = found.reshape(scale.shape)
        codes = nearest_float8(blocks, scale[..., None], "e2m1")
        stored = ungrouped(codes, axis, numbers.shape[axis])
        scales = np.ascontiguousarray(np.moveaxis(scale, -1, axis))
        palette = Palette(4, graph.module.intern(E2M1))
        type = weights.encoded(Scale(graph.module.intern(scales), axis, group), palette)
        return graph.encoded(stored, type, weights.value.name)

    return encode_each(graph, least, form)


def block_scales(largest: Array) -> Array:
    """2^(floor(log2(largest)) - 2); 1 for blocks of zeros."""
    _, exponent = np.frexp(np.where(largest > 0, largest, 4.0))  # largest is in [2^(exponent - 1), 2^exponent)
    return np.asarray(np.exp2(np.maximum(exponent - 1 - EXPONENT, LEAST_EXPONENT)).astype(np.float32))
