"""By which scales channels are smoothed (smooth_channels.py), and where.

A value that a few channels make wide has few steps left for all others, while weights with a scale for each result
channel have steps to spare. How much of the difference between channels goes into the weights is chosen by what the
products lose: the rounding errors of operand and weights on real rows, each times what it is multiplied with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.flat_weights import flat_weights
from edgec.ir.graph import Graph, Op, Value
from edgec.observers import STEPS
from edgec.operand_rows import result_rows
from edgec.passes.equalize_ranges import LEAST, MOST, ROOM
from edgec.quantize import from_floats, heavy
from edgec.smooth_channels import by_channel, is_absorbed
from edgec.weight_rounding import TOP

Array = np.ndarray[Any, Any]

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the difference between channels, that may go into the weights
LEAST_GAIN = 1.25  # times less noise: what is predicted to gain less may as well lose
ROWS = 4096  # that errors are measured on, 256 of a sample
ROWS_OF_SAMPLE = 256


@dataclass(frozen=True)
class Smoothing:
    """What channels are divided by for the products `readers`, and how many times less noise these then make."""

    scales: Array
    readers: Sequence[Op]
    gain: float

    def facts(self) -> dict[str, Any]:
        return {"ops": [op.label for op in self.readers], "less_noise_db": round(10.0 * float(np.log10(self.gain)), 2)}


class _Seen:
    """The ends of each channel of a value, and some of its rows."""

    def __init__(self, channels: int) -> None:
        self.ends = np.zeros((2, channels))
        self._rows: list[Array] = []

    def add(self, array: Array) -> None:
        flat = array.reshape(-1, array.shape[-1])
        self.ends[0] = np.minimum(self.ends[0], flat.min(axis=0, initial=0.0))
        self.ends[1] = np.maximum(self.ends[1], flat.max(axis=0, initial=0.0))
        if sum(map(len, self._rows)) < ROWS:
            self._rows.append(result_rows(array, ROWS_OF_SAMPLE).astype(np.float64))

    @property
    def rows(self) -> Array:
        return np.concatenate(self._rows)


def values_to_smooth(graph: Graph, chosen: Collection[Op]) -> dict[Value, list[Op]]:
    """Floats that become bytes for products alone, and norms that only products read; with these products. Weights that
    others share stay as they are, or there would be two of them."""
    users = graph.users()
    uses = graph.constant_uses()
    found: dict[Value, list[Op]] = {}
    for value in graph.values():
        readers = [op for op in dict.fromkeys(users.get(value, ())) if op in chosen]
        if not readers or not all(heavy(op) and value not in op.inputs[1:] for op in readers):
            continue
        if any(uses[const] > count for const, count in Counter(str(op.arg(1).const) for op in readers).items()):
            continue
        if from_floats(value, chosen) or is_absorbed(graph, value, readers):
            found[value] = readers
    return found


def channel_scales(
    graph: Graph, values: Mapping[Value, Sequence[Op]], stream: Iterable[Mapping[Value, Array]], by_row: bool = False
) -> dict[Value, Smoothing]:
    """For the values where it pays. `stream`: these values, for each sample. `by_row`: bytes have a scale for each row,
    not one for the tensor."""
    seen = {value: _Seen(value.type.dims[-1]) for value in values}
    for found in stream:
        for value, array in found.items():
            seen[value].add(array)
    made: dict[Value, Smoothing] = {}
    for value, readers in values.items():
        best = _best(seen[value], [by_channel(op, flat_weights(graph, op)) for op in readers], readers, by_row)
        if best.gain >= LEAST_GAIN:
            made[value] = best
    return made


def _best(seen: _Seen, weights: Sequence[Array], readers: Sequence[Op], by_row: bool) -> Smoothing:
    largest = np.abs(seen.ends).max(axis=0)
    shares = np.max([_shares(w) for w in weights], axis=0)
    none = np.ones(len(largest))
    tried = [none, *(_scales(largest, shares, part) for part in SHARES)] if largest.max(initial=0.0) > LEAST else [none]
    rows = seen.rows
    ends = np.stack([rows, rows]) if by_row else seen.ends[:, None]
    noise = [_noise(ends, rows, weights, scales) for scales in tried]
    at = int(np.argmin(noise))
    return Smoothing(tried[at], readers, noise[0] / noise[at] if noise[at] > 0.0 else 1.0)


def _scales(largest: Array, shares: Array, part: float) -> Array:
    """The range of the tensor stays. A channel that is enlarged leaves room for what the data does not show."""
    alive = (largest > LEAST) & (shares > LEAST)
    scales = np.where(alive, largest, 1.0) ** part / np.where(alive, shares, 1.0) ** (1.0 - part)
    top = largest.max()
    scales *= np.max(largest[alive] / scales[alive], initial=0.0) / top
    room = np.clip(scales, np.minimum(ROOM * largest / top, 1.0), None)
    return np.where(alive, np.clip(room, 1.0 / MOST, MOST), 1.0)


def _noise(ends: Array, rows: Array, weights: Sequence[Array], scales: Array) -> float:
    """Of products of bytes, by the rounding of operand and weights, as if errors knew nothing of each other. `ends`
    [2, 1 or m, channels]: between which values all rows [m, channels], or each, have their steps."""
    lo, hi = np.minimum((ends[0] / scales).min(axis=1), 0.0), np.maximum((ends[1] / scales).max(axis=1), 0.0)
    step = np.maximum((hi - lo)[:, None] / STEPS, LEAST)
    least, scaled = np.rint(lo[:, None] / step), rows / scales
    stored = np.clip(np.rint(scaled / step), least, least + STEPS)
    lost, power = np.mean((stored * step - scaled) ** 2, axis=0), np.mean(scaled**2, axis=0)
    total = 0.0
    for w in weights:
        moved = w * scales.reshape(len(w), 1, -1, 1)
        steps = np.maximum(np.abs(moved).max(axis=(2, 3), keepdims=True), LEAST) / TOP
        rounded = (np.rint(moved / steps) * steps - moved) ** 2
        total += float(np.sum(moved**2, axis=(1, 3)).ravel() @ lost + np.sum(rounded, axis=(1, 3)).ravel() @ power)
    return total


def _shares(w: Array) -> Array:
    """The largest weight of each operand channel, each to the largest of its result channel."""
    largest = np.maximum(np.abs(w).max(axis=(2, 3), keepdims=True), LEAST)
    return np.asarray((np.abs(w) / largest).max(axis=(1, 3)).ravel())
