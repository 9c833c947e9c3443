"""Weights become indices into tables of 2^bits numbers.

%1 = conv %0, #w   ->   %1 = conv %0, #i palette<4@0:16, table=#t>

Weights that have so few numbers already keep them exactly; others take the nearest of those that k-means finds, which
halves hold. `axis` (that of result channels where -1) is cut in groups of `group`, which have a table each; 0: one
table. `entries=i8`: tables of bytes, times a scale a channel. `vectors` above 1: an index stands for so many elements
along `along` (the products where -1); `seed` is of their k-means. Of sparse weights, what is in the mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgec.ir.check_encodings import BITS
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Palette, Scale, Type
from edgec.passes.clusters import clusters, vector_clusters
from edgec.passes.weights import LEAST, Weights, encode_each, half_above, within

Array = np.ndarray[Any, Any]


def palettize(
    graph: Graph, bits: int = 4, axis: int = -1, group: int = 0, vectors: int = 1, along: int = -1,
    entries: str = "f32", seed: int = 0, least: int = LEAST,
) -> bool:  # fmt: skip
    if bits not in BITS:
        raise UsageError(f"palettize: {bits} bits; legal: {', '.join(map(str, BITS))}")
    if group < 0 or vectors < 1 or entries not in ("f32", "i8"):
        raise UsageError(f"palettize: group={group}, vectors={vectors}, entries={entries}; "
                         "legal are group >= 0, vectors >= 1, entries f32 or i8")  # fmt: skip
    if min(axis, along) < -1 or seed < 0:
        raise UsageError(f"palettize: axis={axis}, along={along}, seed={seed}; legal are axes from -1, seeds from 0")
    if entries == "i8" and vectors > 1:
        raise UsageError("palettize: entries=i8 with vectors; legal is one of them")

    def form(graph: Graph, weights: Weights) -> Value | None:
        type, found = weights.value.type, within(graph, weights)
        cut = weights.channels if axis < 0 else axis
        filled = weights.products if along < 0 else along
        if found is None or max(cut, filled) >= type.rank:
            return None
        outer, kept = found
        if outer and (vectors > 1 or entries == "i8"):
            return None  # no such chain of encodings
        if vectors > 1 and (type.dims[filled] % vectors or (cut == filled and group % vectors)):
            return None
        numbers = weights.numbers(graph)
        if entries == "i8":
            scale = half_above(np.abs(numbers).max(axis=_others(type, weights.channels)) / np.float32(127))
            outer = (Scale(graph.module.intern(scale), weights.channels),)
            numbers = numbers / scale.reshape([-1 if i == weights.channels else 1 for i in range(type.rank)])
        tables, indices = [], []
        for part, inside in _groups(numbers, kept, cut, group):
            if vectors > 1:
                table, codes = vector_clusters(part, filled, vectors, 1 << bits, seed)
            else:
                table, codes = clusters(part, inside, 1 << bits, whole=entries == "i8")
            tables.append(table)
            indices.append(codes)
        table = np.stack(tables).astype(np.int8 if entries == "i8" else np.float32)
        at = cut if group else None
        palette = Palette(bits, graph.module.intern(table), at, group, vectors, filled if vectors > 1 else 0)
        stored = np.concatenate(indices, axis=cut)
        return graph.encoded(stored, weights.encoded(*outer, palette), weights.value.name)

    return encode_each(graph, least, form)


def _others(type: Type, axis: int) -> tuple[int, ...]:
    return tuple(i for i in range(type.rank) if i != axis)


def _groups(numbers: Array, kept: Array | None, axis: int, group: int) -> Iterator[tuple[Array, Array | None]]:
    """Numbers and what is in the mask, a group along the axis after the other; all of them where `group` is 0."""
    for start in range(0, numbers.shape[axis], group or numbers.shape[axis]):
        at = (*[slice(None)] * axis, slice(start, start + group if group else None))
        yield numbers[at], None if kept is None else kept[at]
