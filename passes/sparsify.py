"""Weights of which many are zero become a mask and the others: exactly, or after the smallest were set to zero.

%1 = conv %0, #w   ->   %1 = conv %0, #w sparse<mask=#m>

`share` of the weights of each operator are zero afterwards, those of least magnitude; 0 leaves the weights as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Sparse
from edgec.passes.weights import LEAST, Weights, encode_each

Array = np.ndarray[Any, Any]
LEAST_ZEROS = 1 / 16  # a bit of a mask is the sixteenth of a half


def sparsify(graph: Graph, share: float = 0.0, least: int = LEAST) -> bool:
    if not 0 <= share < 1:
        raise UsageError(f"sparsify: a share of {share}; legal is from 0 to below 1")

    def form(graph: Graph, weights: Weights) -> Value | None:
        if weights.encodings:
            return None
        numbers = weights.numbers(graph)
        kept = largest(numbers, share)
        if 1 - np.count_nonzero(kept) / numbers.size < LEAST_ZEROS:
            return None
        type = weights.encoded(Sparse(graph.module.intern(kept)))
        return graph.encoded(np.where(kept, numbers, np.float32(0)), type, weights.value.name)

    return encode_each(graph, least, form)


def largest(numbers: Array, share: float) -> Array:
    """Which numbers stay: those that are not zero and not among the `share` of least magnitude, the first of equals."""
    kept = numbers != 0
    count = int(share * numbers.size)
    if count > numbers.size - np.count_nonzero(kept):
        order = np.argsort(np.abs(numbers), axis=None, kind="stable")
        kept = kept.reshape(-1)
        kept[order[:count]] = False
    return np.asarray(kept.reshape(numbers.shape))
