"""Scales and zero points of activations on bytes: which values have the same ones.

Values that are moved or compared without arithmetic share theirs, so that their bytes are copied. A part of a concat
has its own nevertheless where another operator reads it and it is far smaller than what it is joined with: it is
rounded once more on the way into the concat.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.passes.row_forms import FINEST_SHARE

Range = tuple[float, float]

# one scale for operands and result
MOVES = (
    "concat", "gather", "max_pool", "pad", "reduce_max", "reduce_min", "reshape", "resize", "slice", "transpose",
)  # fmt: skip
LARGEST = ("max_pool", "reduce_max")
MOST_WIDER = 2.0  # times its own range, that of what a part of a concat shares bytes with


class _Shared:
    """Values that have one range, by a value that stands for all of them (union-find)."""

    def __init__(self, ranges: Mapping[Value, Range]) -> None:
        self.root = {v: v for v in ranges}
        self.ranges = {v: (min(lo, 0.0), max(hi, 0.0)) for v, (lo, hi) in ranges.items()}

    def of(self, v: Value) -> Value:
        while self.root[v] is not v:
            v = self.root[v]
        return v

    def range(self, v: Value) -> Range:
        return self.ranges[self.of(v)]

    def union(self, a: Value, b: Value) -> Range:
        (a_lo, a_hi), (b_lo, b_hi) = self.range(a), self.range(b)
        return min(a_lo, b_lo), max(a_hi, b_hi)

    def unite(self, a: Value, b: Value) -> None:
        found = self.union(a, b)
        self.root[self.of(a)] = self.of(b)
        self.ranges[self.of(b)] = found


def grids_of(
    graph: Graph, chosen: Collection[Op], ranges: Mapping[Value, Range], byte: str
) -> dict[Value, tuple[float, int]]:
    """Scale and zero point of each observed value."""
    users = graph.users()
    shared = _Shared({v: _range_of(v, chosen, ranges, users) for v in ranges})
    moves = [op for op in graph.ops if op in chosen and op.kind in MOVES and op.result in ranges]
    joins: list[tuple[Value, Value]] = []
    for op in moves:
        for v in op.inputs:
            if v is None or v not in ranges or v.const is not None:
                continue
            if op.kind == "concat":
                joins.append((v, op.result))
            else:
                shared.unite(v, op.result)
    # what only goes into a concat decides its range; then come the parts that others calculate with
    read = {shared.of(v) for op in chosen if op.kind not in MOVES for v in op.inputs if v is not None and v in ranges}
    parts = dict.fromkeys((v, joined) for v, joined in joins if shared.of(v) in read)
    for v, joined in joins:
        if (v, joined) not in parts:
            shared.unite(v, joined)
    for v, joined in parts:
        if _width(shared.union(v, joined)) <= MOST_WIDER * _width(shared.range(v)):
            shared.unite(v, joined)
    return {v: grid_of(*shared.range(v), byte) for v in ranges}


def _width(range: Range) -> float:
    return range[1] - range[0]


def _range_of(
    v: Value, chosen: Collection[Op], ranges: Mapping[Value, Range], users: Mapping[Value, list[Op]]
) -> Range:
    lo, hi = ranges[v]
    if v.op is None or v.op not in chosen:
        return lo, hi
    if v.op.kind == "softmax":
        return lo, max(hi, 255 * FINEST_SHARE)
    if v.op.kind == "pad" and v.op.arg(0) in ranges:
        # what is below all that it is compared with may be any such number
        known = ranges[v.op.arg(0)]
        if float(v.op.attrs["value"]) <= known[0] and all(  # type: ignore[arg-type]
            user.kind in LARGEST and user in chosen for user in users.get(v, [])
        ):
            return known
    return lo, hi


def grid_of(lo: float, hi: float, byte: str) -> tuple[float, int]:
    """Scale and zero point of the bytes that cover a range, which holds 0."""
    lo, hi = min(lo, 0.0), max(hi, 0.0)
    scale = float(np.float32((hi - lo) / 255 or 1 / 255))
    least = 0 if byte == "u8" else -128
    return scale, int(min(max(round(least - lo / scale), least), least + 255))
