"""Weights: large constants that operators multiply by or look up, and how a pass gives them an encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import Encoding, Sparse, Type

Array = np.ndarray[Any, Any]
LEAST = 1024  # elements: what is smaller costs more in scales and tables than it saves


@dataclass(frozen=True)
class Weights:
    """Operand `index` of an op, a constant of f32 or f16; `channels`: its axis of result channels (rows of an
    embedding), `products`: the one that sums go along."""

    op: Op
    index: int
    channels: int
    products: int

    @property
    def value(self) -> Value:
        return self.op.arg(self.index)

    def numbers(self, graph: Graph) -> Array:
        """What is stored, in float32: scales and tables are found in it whatever the model has."""
        stored = graph.stored(self.value)
        return stored.astype(np.float32) if stored.dtype == np.float16 else stored

    def encoded(self, *encodings: Encoding) -> Type:
        """The type that they have with these encodings."""
        return Type(self.value.type.dtype, self.value.type.shape, encodings)

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        return self.value.type.encodings


def weights_in(graph: Graph, least: int = LEAST) -> Iterator[Weights]:
    """In the order of the graph. Of embeddings, tables that rows are gathered from."""
    for op in graph.ops:
        if op.kind in ("conv", "conv_transpose", "matmul"):
            rank = op.arg(1).type.rank
            channels, products = {"conv": (0, 1), "conv_transpose": (1, 0)}.get(op.kind, (rank - 1, rank - 2))
            if op.kind == "matmul" and op.attrs["trans_b"]:
                channels, products = products, channels
            found = Weights(op, 1, channels, products)
        elif op.kind == "gather" and op.attrs["axis"] == 0:
            found = Weights(op, 0, 0, op.arg(0).type.rank - 1)
        else:
            continue
        type = found.value.type
        if found.value.const is not None and type.dtype in ("f32", "f16") and type.rank >= 2 and type.size >= least:
            yield found


def encode_each(graph: Graph, least: int, form: Callable[[Graph, Weights], Value | None]) -> bool:
    """`form` makes the constant that takes the place of weights, or gives None. Those of several operators are one
    constant still."""
    made: dict[tuple[str | None, Type, int, int], Value | None] = {}
    changed = False
    for weights in weights_in(graph, least):
        value = weights.value
        key = (value.const, value.type, weights.channels, weights.products)
        if key not in made:
            made[key] = form(graph, weights)
        new = made[key]
        if new is not None:
            weights.op.inputs[weights.index] = new
            changed = True
    return changed


def within(graph: Graph, weights: Weights) -> tuple[tuple[Encoding, ...], Array | None] | None:
    """Encodings that stay outermost, and which elements are not zeros of them: none and None of plain weights, the mask
    of sparse ones. None where weights are stored as something else already, or are not finite."""
    if any(not isinstance(e, Sparse) for e in weights.encodings):
        return None
    if not np.all(np.isfinite(graph.stored(weights.value))):
        return None
    masks = [graph.module.constants[e.mask] for e in weights.encodings if isinstance(e, Sparse)]
    return weights.encodings, masks[0] if masks else None


def grouped(array: Array, axis: int, group: int) -> Array:
    """[…, groups, group] with the axis last; zeros fill the last group."""
    moved = np.ascontiguousarray(np.moveaxis(array, axis, -1))
    missing = -moved.shape[-1] % group
    if missing:
        moved = np.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, missing)])
    return moved.reshape(*moved.shape[:-1], -1, group)


def ungrouped(groups: Array, axis: int, length: int) -> Array:
    """What `grouped` was made of."""
    return np.ascontiguousarray(np.moveaxis(groups.reshape(*groups.shape[:-2], -1)[..., :length], -1, axis))


def half_above(scale: Array) -> Array:
    """The next float16 above, so that programs in halves have the very scales; 1 for 0."""
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    near = scale.astype(np.float16)
    above = np.where(near.astype(np.float32) < scale, np.nextafter(near, np.float16(np.inf)), near)
    return np.where(np.isfinite(above), above, scale).astype(np.float32)
