"""Which layer of one artifact is which of another: by the tensor of the ONNX model that both are.

Fusion differs between number formats (a convolution takes in an addition in floats, and not on bytes), so that the same
operator may make another tensor. What is no tensor of the model, such as half of a norm that was taken apart, goes by
its operator, type and place among its likes. Integers that stand for no real number, such as sums of bytes, depend on
how the instruction set stores bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.types import FLOATS
from edgec.layer_values import LayerValue

Array = np.ndarray[Any, Any]
CODES = "to_float8"  # its bytes are codes without order; what they decode to is a layer, too


@dataclass(frozen=True)
class Laid:
    """A layer whose axes stand in the order `axes` to be those of the model's tensor; `channels` is one of those."""

    layer: LayerValue
    axes: tuple[int, ...]
    channels: int

    def of(self, array: Array) -> Array:
        return array.transpose(self.axes)

    @property
    def dims(self) -> tuple[int, ...]:
        return tuple(self.layer.stored.shape[axis] for axis in self.axes)


@dataclass(frozen=True)
class Pairs:
    """In the order in which the first makes them; and what has no partner."""

    pairs: Sequence[tuple[Laid, Laid]]
    first_alone: Sequence[LayerValue]
    second_alone: Sequence[LayerValue]


def pairs_of(first: Sequence[LayerValue], second: Sequence[LayerValue], one_isa: bool = True) -> Pairs:
    """`one_isa`: both are for the same instruction set."""
    known, others = (_by_key([v for v in layers if one_isa or not _bare(v)]) for layers in (first, second))
    both = {key: (a, others[key]) for key, a in known.items() if key in others and _comparable(a, others[key])}
    return Pairs(
        list(both.values()),
        [a.layer for key, a in known.items() if key not in both],
        [b.layer for key, b in others.items() if key not in both],
    )


def _bare(layer: LayerValue) -> bool:
    """Integers without a meaning of their own."""
    return layer.origin is None and layer.scaled is None and layer.dtype not in FLOATS


def _comparable(a: Laid, b: Laid) -> bool:
    """Integers of two types mean the same where a scale says so."""
    kinds = {a.layer.dtype, b.layer.dtype}
    unscaled = a.layer.scaled is None and b.layer.scaled is None and not kinds & FLOATS
    return a.dims == b.dims and (len(kinds) == 1 or not unscaled)


def _by_key(layers: Sequence[LayerValue]) -> dict[object, Laid]:
    """The first layer of each tensor: later ones are copies of it."""
    found: dict[object, Laid] = {}
    alike: Counter[object] = Counter()
    for layer in layers:
        if layer.op.split(" ")[0] == CODES:
            continue
        rank = layer.stored.ndim
        axes, last = tuple(range(rank)), max(0, rank - 1)
        if layer.origin is None:
            like = (layer.op, layer.stored.shape)
            alike[like] += 1
            found[like, alike[like]] = Laid(layer, axes, last)
            continue
        tensor, views = layer.origin.tensor, layer.origin.views
        channels = 1 if rank >= 4 and not views else last
        if len(views) == 1 and views[0][0] == "transpose":
            (_, perm), views = views[0], ()
            axes, channels = tuple(map(int, np.argsort(perm))), perm[-1]  # the last axis in memory
        found.setdefault((tensor, views), Laid(layer, axes, channels))
    return found
