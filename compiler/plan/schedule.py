"""Which ops run as one block: the partition of the ops' order into segments, by cost.

In: the ops of a graph in order, and what the target says of each (`RowOp`: it has row kernels for it). Out: segments; a
segment of several ops becomes a block whose inner values live in rings, a segment of one op is that op alone.

A segment is legal when all of its ops are row ops over the same number of images and every value inside it is read
inside only. Among legal partitions the cheapest is found by dynamic programming over the order (design page "Row
streaming", Where to cut). Cost is time in cycles that the bytes of values and weights take in the level of memory they
live in; arithmetic is the same whatever the partition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgec.ir.graph import Op, Value
from edgec.plan.cost import Memory
from edgec.plan.rows import StageRows, Window, ring_depths

LONGEST = 12  # ops in a segment
STEPS = (1, 2, 4, 8, 16)  # result rows made at a time


@dataclass(frozen=True)
class RowOp:
    """What scheduling knows of an op with row kernels: `rows` of its result an image; which operands it reads by rows
    and how; `weights` bytes it reads for every step; `images`."""

    rows: int
    reads: tuple[tuple[Value, Window], ...]
    images: int
    weights: int = 0


@dataclass(frozen=True)
class Segment:
    """Ops in order; `step` result rows at a time."""

    ops: tuple[Op, ...]
    step: int


def row_stages(ops: Sequence[Op], facts: dict[Op, RowOp]) -> list[StageRows]:
    """The ops as stages: reads of values that other ops of the segment make."""
    index = {op.result: i for i, op in enumerate(ops)}
    return [
        StageRows(facts[op].rows, tuple((index[v], w) for v, w in facts[op].reads if v in index)) for op in ops
    ]


def make_schedule(
    ops: Sequence[Op], users: dict[Value, list[Op]], leaving: set[Value], row_op: Callable[[Op], RowOp | None],
    memory: Memory,
) -> list[Segment]:  # fmt: skip
    """Segments of `ops` in order. `users` and `leaving` are the graph's users and output values."""
    facts = {op: fact for op in ops if (fact := row_op(op)) is not None}
    best: list[tuple[float, Segment | None]] = [(0.0, None)]
    for end in range(1, len(ops) + 1):
        choices = [(best[end - 1][0] + _alone(ops[end - 1], facts, memory), Segment((ops[end - 1],), 0))]
        for start in range(end - 2, max(-1, end - 1 - LONGEST), -1):
            run = ops[start:end]
            if ops[start] not in facts or not _legal(run, users, leaving, facts):
                if ops[start] not in facts:
                    break
                continue
            cost, step = _together(run, facts, memory)
            choices.append((best[start][0] + cost, Segment(tuple(run), step)))
        best.append(min(choices, key=lambda c: c[0]))
    segments = []
    at = len(ops)
    while at:
        segment = best[at][1]
        assert segment is not None
        segments.append(segment)
        at -= len(segment.ops)
    return segments[::-1]


def _legal(
    run: Sequence[Op], users: dict[Value, list[Op]], leaving: set[Value], facts: dict[Op, RowOp]
) -> bool:
    if any(op not in facts for op in run) or len({facts[op].images for op in run}) != 1:
        return False
    inside = set(run)
    for op in run[:-1]:
        if op.result in leaving or not users.get(op.result) or not set(users[op.result]) <= inside:
            return False
    made = {op.result for op in run}
    # a value of the segment is read by rows only
    return all(v not in made or v in {r for r, _ in facts[op].reads} for op in run for v in op.inputs if v is not None)


def _bytes(value: Value) -> int:
    return value.type.nbytes


def _alone(op: Op, facts: dict[Op, RowOp], memory: Memory) -> float:
    """An op by itself reads and writes whole values; its weights are read once."""
    if op not in facts:
        return 0.0  # the same in every partition
    fact = facts[op]
    moved = [_bytes(v) for v, _ in fact.reads] + [_bytes(op.result)]
    return sum(n * memory.cycles(sum(moved)) for n in moved) + fact.weights * memory.cycles(fact.weights)


def _together(run: Sequence[Op], facts: dict[Op, RowOp], memory: Memory) -> tuple[float, int]:
    """Cost and the best step of a block."""
    made = {op.result for op in run}
    outside = sum(_bytes(v) for op in run for v, _ in facts[op].reads if v not in made) + _bytes(run[-1].result)
    inside = sum(2 * _bytes(v) for v in made) - 2 * _bytes(run[-1].result)
    weights = sum(facts[op].weights for op in run)
    stages = row_stages(run, facts)
    last = facts[run[-1]]
    found = []
    for step in STEPS:
        if step > last.rows:
            break
        depths = ring_depths(stages, step, 1)
        rings = sum(
            min(d, facts[op].rows) * _bytes(op.result) // (facts[op].images * max(1, facts[op].rows))
            for op, d in zip(run[:-1], depths, strict=False)
        )
        passes = -(-last.rows // step) * last.images
        level = memory.cycles(rings + weights)
        cost = outside * memory.cycles(outside) + inside * level + weights * passes * level
        found.append((cost, step))
    return min(found, default=(float("inf"), 1))
