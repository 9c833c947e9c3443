"""Encoded constants transposed and reshaped, as they are stored: what scales, masks and groups become."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgec.ir.graph import Graph, Value
from edgec.ir.types import Encoding, Float8, Palette, Quant, Scale, Sparse, Type


def transposed(graph: Graph, value: Value, perm: tuple[int, ...]) -> Value:
    """The constant whose axis i is axis perm[i] of this one."""
    encodings: list[Encoding] = []
    for encoding in value.type.encodings:
        keys = encoding.constants
        if _has_axes(encoding):
            keys = tuple(graph.module.intern(graph.module.constants[key].transpose(perm)) for key in keys)
        moved = encoding.at(None if encoding.axis is None else perm.index(encoding.axis), keys)
        if isinstance(moved, Palette) and moved.length > 1:
            moved = replace(moved, along=perm.index(moved.along))
        encodings.append(moved)
    shape = tuple(value.type.shape[p] for p in perm)
    stored = np.ascontiguousarray(graph.stored(value).transpose(perm))
    return graph.encoded(stored, Type(value.type.dtype, shape, tuple(encodings)), value.name)


def reshaped(graph: Graph, value: Value, shape: tuple[int, ...]) -> Value | None:
    """The constant in another shape; None where an axis that its encodings lie along is none of the new shape."""
    old, constants = value.type.dims, graph.module.constants
    encodings: list[Encoding] = []
    for encoding in value.type.encodings:
        axis = None if encoding.axis is None else _same_axis(old, encoding.axis, shape)
        if encoding.axis is not None and axis is None:
            return None
        keys = encoding.constants
        if _has_axes(encoding):
            # groups along an axis that stays: what lies before and behind it is as much as it was
            groups = constants[keys[0]].shape[encoding.axis] if encoding.axis is not None else 0
            dims = tuple(groups if i == axis else n for i, n in enumerate(shape))
            keys = tuple(graph.module.intern(constants[key].reshape(dims)) for key in keys)
        moved = encoding.at(axis, keys)
        if isinstance(moved, Palette) and moved.length > 1:
            along = _same_axis(old, moved.along, shape)
            if along is None:
                return None
            moved = replace(moved, along=along)
        encodings.append(moved)
    type = Type(value.type.dtype, shape, tuple(encodings))
    return graph.encoded(graph.stored(value).reshape(type.stored.dims), type, value.name)


def _has_axes(encoding: Encoding) -> bool:
    """Whether its constants have the tensor's axes."""
    return isinstance(encoding, Sparse) or (isinstance(encoding, Quant | Float8 | Scale) and encoding.group > 0)


def _same_axis(old: tuple[int, ...], axis: int, new: tuple[int, ...]) -> int | None:
    """The axis of the new shape that is as long, with as many elements before it."""
    before, length = math.prod(old[:axis]), old[axis]
    same = [i for i, n in enumerate(new) if n == length and math.prod(new[:i]) == before]
    return same[0] if same else None
