"""Moves scales of channels between convolutions, so that one scale a tensor fits all of its channels.

%1 = conv %x, #w, #b {act="relu"}          %1 = conv %x, #w/s, #b/s {act="relu"}
%2 = conv %1, #v                      ->   %2 = conv %1, #v*s

For s > 0 relu(y/s) = relu(y)/s, so that the results are the same but for rounding. After M. Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", 2019: s = sqrt(r1/r2) with the largest weight of each
channel in both convolutions, until nothing moves any more.

With `maxima`, the largest magnitudes of each channel of %1 on real data, weights are taken to have a scale for each
result channel. Then a depthwise reader loses nothing by any s, and every channel gets the range of the largest; a dense
one has its columns under one scale, and s = sqrt(a/r2) shares the differences between both (G. Xiao et al.,
"SmoothQuant", 2022). A clip from 0 to a bound stays what it is where channels are enlarged to no more than the bound,
with room for what the data does not show; so it takes maxima to do that. With those of the first's operand, too, a
channel is enlarged no further than integers can scale its sums (`requant.multiplier`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.ir.origin import Scaled

Array = np.ndarray[Any, Any]

SWEEPS = 100  # along a chain of convolutions each sweep undoes a part of the one before
STILL = 1e-3  # a factor this near to 1 moves nothing
LEAST = 1e-20  # a channel below it is dead
ROOM = 1.25  # an enlarged channel may be so much larger than on the data
TOP = 127  # of a weight's steps
FINEST = 0.4  # of a result's step, that a sum's may be
MOST = 256.0  # times that a channel is enlarged or shrunk by maxima


@dataclass(frozen=True)
class Pair:
    """`second` alone reads what `first` makes; `bound` is the upper one of its clip."""

    first: Op
    second: Op
    bound: float | None

    @property
    def value(self) -> Value:
        return self.first.result


def equalize_ranges(graph: Graph, maxima: Mapping[Value, Array] | None = None) -> bool:
    """`maxima`: for values of `values_to_equalize`, the largest magnitude of each channel (the last axis)."""
    pairs = _pairs(graph)
    weights = {op: graph.array(op.arg(1)).astype(np.float64) for pair in pairs for op in (pair.first, pair.second)}
    biases = {
        pair.first: graph.array(pair.first.arg(2)).astype(np.float64) for pair in pairs if _bias(pair.first) is not None
    }
    changed: dict[Op, None] = {}
    for _ in range(SWEEPS if maxima is None else 1):
        still = True
        for pair in pairs:
            factors = _factors(pair, weights, maxima)
            if np.all(np.abs(np.log(factors)) <= STILL):
                continue
            still = False
            weights[pair.first] = weights[pair.first] / factors[:, None, None, None]
            if pair.first in biases:
                biases[pair.first] = biases[pair.first] / factors
            weights[pair.second] = _by_column(weights[pair.second], pair.second, factors)
            changed |= {pair.first: None, pair.second: None}
            known = pair.value.scaled or Scaled((1.0,))
            pair.value.scaled, pair.value.name = known.times(tuple(factors.tolist())), ""
        if still:
            break
    for op in changed:
        op.inputs[1] = graph.constant(weights[op].astype(np.float32))
        if op in biases:
            op.inputs[2] = graph.constant(biases[op].astype(np.float32))
    return bool(changed)


def values_to_equalize(graph: Graph) -> list[Value]:
    """Values between two convolutions, whose channels' maxima the pass can use."""
    return [pair.value for pair in _pairs(graph)]


def values_that_bound(graph: Graph) -> list[Value]:
    """Operands of the first of two convolutions: by their maxima, scales stay within what integers can multiply by."""
    return list(dict.fromkeys(pair.first.arg(0) for pair in _pairs(graph) if pair.first.arg(0).const is None))


def _pairs(graph: Graph) -> list[Pair]:
    users, leaving = graph.users(), graph.output_values()
    found = []
    for first in graph.ops:
        if not _known(first) or (len(first.inputs) > 3 and first.inputs[3] is not None):
            continue  # a residual would have to be scaled, too
        readers = users.get(first.result, [])
        if len(readers) != 1 or first.result in leaving or not _known(readers[0]):
            continue
        second = readers[0]
        if second.inputs[0] is not first.result or first.result in second.inputs[1:]:
            continue
        act = str(first.attrs["act"])
        if act in ("", "relu"):
            found.append(Pair(first, second, None))
        elif act.startswith("clip:0.0:") and float(act.removeprefix("clip:0.0:")) > 0.0:
            found.append(Pair(first, second, float(act.removeprefix("clip:0.0:"))))
    return found


def _known(op: Op) -> bool:
    """A convolution of channels-last images in float32 by plain constants."""
    if op.kind != "conv" or op.attrs["layout"] != "nhwc" or op.result.type.rank != 4:
        return False
    operands = [v for v in op.inputs[1:3] if v is not None]
    return all(v.const is not None and not v.type.encodings and v.type.dtype == "f32" for v in operands)


def _bias(op: Op) -> Value | None:
    return op.inputs[2] if len(op.inputs) > 2 else None


def _factors(pair: Pair, weights: Mapping[Op, Array], maxima: Mapping[Value, Array] | None) -> Array:
    """What each channel is divided by: 1 where it stays."""
    columns = _columns(weights[pair.second], pair.second)
    if maxima is None:
        if pair.bound is not None:
            return np.ones(len(columns))
        rows = np.abs(weights[pair.first]).reshape(len(columns), -1).max(axis=1)
        return _root(rows, np.abs(columns).max(axis=(1, 2)))
    if pair.value not in maxima:
        return np.ones(len(columns))
    seen = np.asarray(maxima[pair.value], np.float64)
    if columns.shape[0] == pair.second.attrs["groups"]:
        top = pair.bound or float(seen.max())
        factors = np.where(seen > LEAST, np.minimum(ROOM * seen / max(top, LEAST), 1.0), 1.0)
    else:
        largest = np.abs(weights[pair.second]).reshape(len(weights[pair.second]), -1).max(axis=1)
        rows = _by_row(columns, pair.second, 1.0 / np.maximum(largest, LEAST))
        factors = _root(seen, np.abs(rows).max(axis=(1, 2)))
        factors *= (seen / factors).max() / max(float(seen.max()), LEAST)  # the tensor's range stays
    if pair.bound is not None:
        factors = np.clip(factors, np.minimum(ROOM * seen / pair.bound, 1.0), 1.0)
    return np.clip(np.maximum(factors, np.minimum(_least(pair, weights, maxima, seen), 1.0)), 1.0 / MOST, MOST)


def _least(pair: Pair, weights: Mapping[Op, Array], maxima: Mapping[Value, Array], seen: Array) -> Array:
    """Factors below which a sum of bytes would have steps coarser than half of its result's, which integers cannot
    scale (requant.multiplier): FINEST of them, since observers may find a narrower result. An operand has at most twice
    its maximum between its ends."""
    if pair.first.arg(0) not in maxima:
        return np.zeros(len(seen))
    rows = np.abs(weights[pair.first]).reshape(len(seen), -1).max(axis=1)
    step = 2.0 * float(maxima[pair.first.arg(0)].max(initial=0.0)) * rows / TOP
    return np.asarray(step / (FINEST * max(float(pair.bound or seen.max()), LEAST)))


def _root(a: Array, b: Array) -> Array:
    alive = (a > LEAST) & (b > LEAST)
    return np.sqrt(np.where(alive, a, 1.0) / np.where(alive, b, 1.0))


def _columns(w: Array, op: Op) -> Array:
    """Weights [o, c/g, *K] as [channels of the operand, results of its group, positions]."""
    o, cg = w.shape[:2]
    groups = int(op.attrs["groups"])  # type: ignore[arg-type]
    return w.reshape(groups, o // groups, cg, -1).transpose(0, 2, 1, 3).reshape(groups * cg, o // groups, -1)


def _by_row(columns: Array, op: Op, factors: Array) -> Array:
    """Columns times a factor for each result channel."""
    groups = int(op.attrs["groups"])  # type: ignore[arg-type]
    each = factors.reshape(groups, 1, -1)
    spread = np.broadcast_to(each, (groups, len(columns) // groups, each.shape[2]))
    return np.asarray(columns * spread.reshape(*columns.shape[:2], 1))


def _by_column(w: Array, op: Op, factors: Array) -> Array:
    """Weights times a factor for each channel of the operand."""
    o, cg = w.shape[:2]
    groups = int(op.attrs["groups"])  # type: ignore[arg-type]
    return np.asarray(w.reshape(groups, o // groups, cg, -1) * factors.reshape(groups, 1, cg, 1)).reshape(w.shape)
