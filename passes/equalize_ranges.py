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
from edgec.ir.residual import residual_of

Array = np.ndarray[Any, Any]

SWEEPS = 100  # along a chain of convolutions each sweep undoes a part of the one before
STILL = 1e-3  # a factor this near to 1 moves nothing
LEAST = 1e-20  # a channel below it is dead
ROOM = 1.25  # an enlarged channel may be so much larger than on the data
TOP = 127  # of a weight's steps
FINEST = 0.4  # of a result's step, that a sum's may be
WHOLE = 16.0  # steps of a sum, that one of what is added to it has at least
MOST = 256.0  # times that a channel is enlarged or shrunk by maxima


@dataclass(frozen=True)
class Group:
    """Values whose channels have the same scales, as one is added where another is made; `readers` have one of them as
    their image, and nothing else reads them."""

    values: tuple[Value, ...]
    readers: tuple[Op, ...]

    @property
    def makers(self) -> list[Op]:
        return [v.op for v in self.values if v.op is not None]


def equalize_ranges(graph: Graph, maxima: Mapping[Value, Array] | None = None) -> bool:
    """`maxima`: for values of `values_to_equalize`, the largest magnitude of each channel (the last axis)."""
    groups = _groups(graph)
    weights = {op: graph.array(op.arg(1)).astype(np.float64) for g in groups for op in (*g.makers, *g.readers)}
    biases = {
        op: graph.array(op.arg(2)).astype(np.float64) for g in groups for op in g.makers if _bias(op) is not None
    }
    changed: dict[Op, None] = {}
    for _ in range(SWEEPS if maxima is None else 1):
        still = True
        for group in groups:
            factors = _factors(group, weights, maxima)
            if np.all(np.abs(np.log(factors)) <= STILL):
                continue
            still = False
            for op in group.makers:
                weights[op] = weights[op] / factors[:, None, None, None]
                if op in biases:
                    biases[op] = biases[op] / factors
            for op in group.readers:
                weights[op] = _by_column(weights[op], op, factors)
            changed |= dict.fromkeys((*group.makers, *group.readers))
            for value in group.values:
                known = value.scaled or Scaled((1.0,))
                value.scaled, value.name = known.times(tuple(factors.tolist())), ""
        if still:
            break
    for op in changed:
        op.inputs[1] = graph.constant(weights[op].astype(np.float32))
        if op in biases:
            op.inputs[2] = graph.constant(biases[op].astype(np.float32))
    return bool(changed)


def values_to_equalize(graph: Graph) -> list[Value]:
    """Values between convolutions, whose channels' maxima the pass can use."""
    return [value for group in _groups(graph) for value in group.values]


def values_that_bound(graph: Graph) -> list[Value]:
    """Operands of what makes such values: by their maxima, scales stay within what integers can multiply by."""
    images = (op.arg(0) for group in _groups(graph) for op in group.makers)
    return [v for v in dict.fromkeys(images) if v.const is None]


def _groups(graph: Graph) -> list[Group]:
    users, leaving = graph.users(), graph.output_values()
    group: dict[Value, dict[Value, None]] = {v: {v: None} for op in graph.ops for v in op.results}
    fixed: set[Value] = set()
    for op in graph.ops:
        if not _scalable(op):
            fixed.update(op.results)
        fixed.update(v for v in op.inputs if v is not None and not _known(op))
        fixed.update(v for v in op.inputs[1:3] if v is not None)
        residual = residual_of(op)
        if residual is not None and residual.op is None:
            fixed.add(op.result)
        elif residual is not None and group[op.result] is not group[residual]:
            joined = group[residual] | group[op.result]
            group |= dict.fromkeys(joined, joined)
    found = {id(values): values for values in group.values()}
    return [
        Group(tuple(values), tuple(dict.fromkeys(op for v in values for op in users.get(v, ()) if op.arg(0) is v)))
        for values in found.values()
        if fixed.isdisjoint(values) and leaving.isdisjoint(values) and any(users.get(v) for v in values)
    ]


def _scalable(op: Op) -> bool:
    """Its result is scaled by scaling weights, bias and what is added."""
    act = str(op.attrs.get("act", ""))
    return _known(op) and (act in ("", "relu") or (_bound(op) or 0.0) > 0.0)


def _bound(op: Op) -> float | None:
    """The upper one of a clip from 0."""
    act = str(op.attrs["act"])
    return float(act.removeprefix("clip:0.0:")) if act.startswith("clip:0.0:") else None


def _known(op: Op) -> bool:
    """A convolution of channels-last images in float32 by plain constants."""
    if op.kind != "conv" or op.attrs["layout"] != "nhwc" or op.result.type.rank != 4:
        return False
    operands = [v for v in op.inputs[1:3] if v is not None]
    return all(v.const is not None and not v.type.encodings and v.type.dtype == "f32" for v in operands)


def _bias(op: Op) -> Value | None:
    return op.inputs[2] if len(op.inputs) > 2 else None


def _factors(group: Group, weights: Mapping[Op, Array], maxima: Mapping[Value, Array] | None) -> Array:
    """What each channel is divided by: 1 where it stays."""
    ones = np.ones(group.values[0].type.dims[-1])
    bounds = {v: _bound(op) for v, op in zip(group.values, group.makers, strict=True)}
    if maxima is None:
        if any(bounds.values()):
            return ones
        rows = np.max([np.abs(weights[op]).reshape(len(ones), -1).max(axis=1) for op in group.makers], axis=0)
        read = [np.abs(_columns(weights[op], op)).max(axis=(1, 2)) for op in group.readers]
        return _root(rows, np.asarray(np.max(read, axis=0)))
    if any(v not in maxima for v in group.values):
        return ones
    seen = {v: np.asarray(maxima[v], np.float64) for v in group.values}
    parts = np.max([s / max(bounds[v] or float(s.max()), LEAST) for v, s in seen.items()], axis=0)
    dense = [op for op in group.readers if op.attrs["groups"] != len(ones)]
    if not dense:
        factors = np.where(np.max(list(seen.values()), axis=0) > LEAST, np.minimum(ROOM * parts, 1.0), 1.0)
    else:
        factors = _root(parts, np.max([_shares(weights[op], op) for op in dense], axis=0))
        factors *= (parts / factors).max() / max(float(parts.max()), LEAST)  # the tensor's range stays
    for value, bound in bounds.items():
        if bound is not None:
            factors = np.clip(factors, np.minimum(ROOM * seen[value] / bound, 1.0), 1.0)
    least = np.max([_least(op, weights[op], maxima) for op in group.makers], axis=0)
    return np.asarray(np.clip(np.maximum(factors, np.minimum(least, 1.0)), 1.0 / MOST, MOST))


def _shares(w: Array, op: Op) -> Array:
    """The largest of each operand channel's weights, each to the largest of its result channel."""
    largest = np.abs(w).reshape(len(w), -1).max(axis=1)
    return np.asarray(np.abs(_by_row(_columns(w, op), op, 1.0 / np.maximum(largest, LEAST))).max(axis=(1, 2)))


def _least(op: Op, w: Array, maxima: Mapping[Value, Array]) -> Array:
    """Factors below which a sum of bytes would have steps coarser than half of its result's, which integers cannot
    scale (requant.multiplier): FINEST of them, since observers may find a narrower result. An operand has at most twice
    its maximum between its ends. A step of what is added is WHOLE steps of the sum or more, so that it is a whole
    number of them at little cost."""
    if op.arg(0) not in maxima:
        return np.zeros(len(w))
    rows = np.abs(w).reshape(len(w), -1).max(axis=1)
    step = 2.0 * float(maxima[op.arg(0)].max(initial=0.0)) * rows / TOP
    least = step / (FINEST * max(_bound(op) or float(maxima[op.result].max()), LEAST))
    residual = residual_of(op)
    if residual is not None:
        least = np.maximum(least, WHOLE * step / max(float(maxima[residual].max()), LEAST))
    return np.asarray(least)


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
