"""Weights and biases settled one operator after the other, each on what the quantised operators before it make.

Rounding errors of activations are no noise with mean 0: clamps, and ReLU on noise, shift whole channels, and a global
mean behind them keeps the shift when the noise is gone. Two copies of the graph are walked together, one in floats and
one with encodings. Where a convolution or matmul comes, the rows that it will meet and those that it should meet are
both at hand: its weights are rounded for the former (`gptq`, then `adaround`), and its bias makes up for what is left
between their means (M. Nagel et al., "Data-Free Quantization", 2019, section 4.2, and "Up or Down?", 2020, section
3.5). What goes with the rows may be made up for by the weights before they are rounded (`met_rows.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from edgec.column_blocks import blocks_of
from edgec.flat_weights import bias_of, flat_weights, set_bias, set_weights, stored_weights
from edgec.ir.encodings import decode, encode
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops import OPS
from edgec.ir.residual import residual_of
from edgec.met_rows import MetRows, made_up_for
from edgec.operand_rows import group_count, operand_rows, result_rows, row_sums
from edgec.quantize import heavy, largest_bias
from edgec.weight_rounding import adaround, damping_for, gptq, trusted_mean

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]
# of biases alone; with weights rounded for the rows that they meet; these moved before towards what is missing in them
Way = Literal["biases", "rounding", "compensated"]

MOST_SAMPLES = 64
BYTES = 256 << 20  # of the largest value, in floats and rounded, of all samples together
ROWS = 256  # of a sample


def samples_to_walk(graph: Graph, samples: Sequence[Feeds]) -> list[Feeds]:
    """As many, evenly spread, as memory is meant for."""
    largest = max((v.type.nbytes for v in graph.values()), default=1)
    count = min(len(samples), MOST_SAMPLES, max(2, BYTES // (2 * largest)))
    return [samples[i * len(samples) // count] for i in range(count)]


def settle_weights(
    wide: Graph, narrow: Graph, twins: Mapping[Value, Value], samples: Sequence[Feeds], way: Way
) -> None:
    """Sets biases, and weights unless `way` is biases alone, of the encoded graph `narrow`. `twins`: of each value of
    `wide` the one that stands for it in `narrow`."""
    meant = {twins[result]: op for op in wide.ops for result in op.results}
    walk = _Walk(wide, narrow, samples)
    readers = _last_readers(narrow, meant, twins)
    for i, op in enumerate(narrow.ops):
        counterpart = meant.get(op.results[0])
        if counterpart is not None and heavy(counterpart) and op.arg(1).type.encodings:
            _settle(wide, narrow, counterpart, op, walk, way)
        walk.step(op, counterpart, twins)
        for value in readers.get(i, ()):
            walk.forget(value)


class _Walk:
    """What values of the narrow graph are, and what they should be: an array a sample."""

    def __init__(self, wide: Graph, narrow: Graph, samples: Sequence[Feeds]) -> None:
        self.wide, self.narrow, self.count = wide, narrow, len(samples)
        initial = {s.input: narrow.module.constants[s.initial] for s in narrow.states}
        self.found = {v: [initial[v] if v in initial else feeds[v.name] for feeds in samples] for v in narrow.inputs}
        self.wanted = dict(self.found)

    def step(self, op: Op, counterpart: Op | None, twins: Mapping[Value, Value]) -> None:
        """The results of one operator; without a counterpart it is an `encode`."""
        operands = [self._read(self.narrow, self.found, v, v) for v in op.inputs]
        found = [OPS[op.kind].evaluate(arrays, op.attrs) for arrays in self._each(operands)]
        if counterpart is None:
            wanted = [[array] for array in self.wanted[op.arg(0)]]
        else:
            inputs = [(v, None if v is None else twins.get(v, v)) for v in counterpart.inputs]
            operands = [self._read(self.wide, self.wanted, v, twin) for v, twin in inputs]
            wanted = [OPS[op.kind].evaluate(arrays, counterpart.attrs) for arrays in self._each(operands)]
        constants = self.narrow.module.constants
        for i, value in enumerate(op.results):
            arrays = [results[i] for results in found]
            if value.type.encodings:
                arrays = [decode(constants, encode(constants, array, value.type), value.type) for array in arrays]
            self.found[value], self.wanted[value] = arrays, [results[i] for results in wanted]

    def forget(self, value: Value) -> None:
        self.found.pop(value, None)
        self.wanted.pop(value, None)

    def _read(
        self, graph: Graph, known: Mapping[Value, list[Array]], value: Value | None, twin: Value | None
    ) -> list[Array | None]:
        if value is None or twin is None:
            return [None] * self.count
        return [graph.array(value)] * self.count if value.const is not None else list(known[twin])

    def _each(self, operands: Sequence[Sequence[Array | None]]) -> list[list[Array | None]]:
        return [[arrays[i] for arrays in operands] for i in range(self.count)]


def _last_readers(narrow: Graph, meant: Mapping[Value, Op], twins: Mapping[Value, Value]) -> dict[int, list[Value]]:
    """For the position of an operator, the values that nothing reads behind it."""
    last: dict[Value, int] = {}
    for i, op in enumerate(narrow.ops):
        counterpart = meant.get(op.results[0])
        read: Iterable[Value | None] = () if counterpart is None else counterpart.inputs
        last |= {twins.get(v, v): i for v in read if v is not None}
        last |= {v: i for v in (*op.inputs, *op.results) if v is not None}
    found: dict[int, list[Value]] = {}
    for value, i in last.items():
        found.setdefault(i, []).append(value)
    return found


def _settle(wide: Graph, narrow: Graph, wanted: Op, op: Op, walk: _Walk, way: Way) -> None:
    w = flat_weights(wide, wanted)
    groups, x, residual = group_count(op), op.arg(0), residual_of(op)
    each = w.reshape(groups, len(w) // groups, -1)
    blocks = blocks_of(groups, w.shape[1])
    if way == "compensated" and blocks.count > 1:
        way = "rounding"  # each block would make up for all that is lacking
    halves = [MetRows(*each.shape) for _ in range(2 if blocks.count == 1 else 1)]
    means = []
    for i, (found, meant) in enumerate(zip(walk.found[x], walk.wanted[x], strict=True)):
        rows, should = operand_rows(op, found, ROWS), operand_rows(op, meant, ROWS)
        lacking = None
        if way == "compensated":
            lacking = (should - rows).astype(np.float32) @ each.astype(np.float32).transpose(0, 2, 1)
            if residual is not None:
                added = result_rows(walk.wanted[residual][i] - walk.found[residual][i], ROWS)
                lacking += added.reshape(len(added), groups, -1).transpose(1, 0, 2)
        if way != "biases":
            halves[i % len(halves)].add(rows, lacking)
        means.append((row_sums(rows) / rows.shape[1], row_sums(should) / rows.shape[1]))
    if way != "biases":
        now, both = stored_weights(narrow, op), halves[0].together(halves[1]) if blocks.count == 1 else halves[0]
        steps, hessian = now.steps.reshape(*each.shape[:2], -1), both.hessian
        damping = damping_for(both.rows, blocks.width)
        aimed = blocks.cut(made_up_for(each, halves, both) if way == "compensated" else each)
        steps = blocks.cut(steps, 1.0)
        start = gptq(aimed, steps, hessian, damping, now.top)
        rounded = blocks.joined(adaround(aimed, steps, hessian, start, damping, now.top))
        set_weights(narrow, op, rounded.reshape(w.shape), op.arg(1).type)
    stored = flat_weights(narrow, op).reshape(each.shape)
    lost = np.stack([_sums(each, meant) - _sums(stored, found) for found, meant in means])
    if residual is not None:
        pairs = zip(walk.found[residual], walk.wanted[residual], strict=True)
        lost += np.stack([(meant - found).reshape(-1, len(w)).mean(axis=0, dtype=np.float64) for found, meant in pairs])
    moved = bias_of(wide, wanted, len(w)) + trusted_mean(lost)
    room = largest_bias(narrow, op)
    set_bias(narrow, op, np.clip(moved, -room, room).astype(np.float32))


def _sums(w: Array, rows: Array) -> Array:
    """Of a row [groups, k], what the weights [groups, n, k] make of it without a bias."""
    return np.asarray((w @ rows[..., None]).ravel())
