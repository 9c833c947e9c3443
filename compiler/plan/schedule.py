"""Which ops run as one block: the partition of the ops' order into segments, by cost.

In: the ops of a graph in order, and what the target says of each (`RowOp`: it has row kernels for it). Out: segments; a
segment of several ops becomes a block whose inner values live in rings, a segment of one op is that op alone.

A segment is legal when all of its ops are row ops over the same number of images and every value inside it is read
inside only. Among legal partitions the cheapest is found by dynamic programming over the order (design page "Row
streaming", Where to cut). Cost is time in cycles that the bytes of values and weights take in the level of memory they
live in; arithmetic is the same whatever the partition. Memory counts too: after the fastest partition come those that
may not store the largest values between segments, and the one whose time and peak together cost least is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgec.ir.graph import Op, Value
from edgec.plan.cost import Memory
from edgec.plan.rows import StageRows, Window, likely_depths

LONGEST = 12  # ops in a segment
STEPS = (1, 2, 4, 8, 16)  # result rows made at a time
CANDIDATES = 5  # partitions to choose among
PEAK_CYCLES = 3.0  # what a byte of the peak may cost in time
FORBIDDEN = 1e6  # cycles a byte for a value that is too large to be stored, should there be no other way


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
    alone = [_alone(op, facts, memory) for op in ops]
    blocks: dict[tuple[int, int], tuple[float, int, int]] = {}  # (start, end) -> cost, step, bytes of rings
    for start in range(len(ops)):
        for end in range(start + 2, min(len(ops), start + LONGEST) + 1):
            run = ops[start:end]
            if any(op not in facts for op in run):
                break
            if _legal(run, users, leaving, facts):
                blocks[start, end] = _together(run, facts, memory)
    found = []
    cap = float("inf")
    for _ in range(CANDIDATES):
        segments, cost, rings = _partition(ops, alone, blocks, leaving, cap)
        found.append((cost + PEAK_CYCLES * _peak(segments, rings, users, leaving), segments))
        stored = [v.type.nbytes for s in segments for v in s.ops[-1].results if v not in leaving]
        if not stored or max(stored) >= cap:
            break
        cap = max(stored)
    return min(found, key=lambda f: f[0])[1]


def _partition(
    ops: Sequence[Op], alone: Sequence[float], blocks: dict[tuple[int, int], tuple[float, int, int]],
    leaving: set[Value], cap: float,
) -> tuple[list[Segment], float, list[int]]:  # fmt: skip
    """The cheapest segments with no value of `cap` bytes or more between them, where that can be; their cost, and the
    bytes of their rings."""
    best: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # cost up to here, where the last segment starts, its step
    for end in range(1, len(ops) + 1):
        large = [v.type.nbytes for v in ops[end - 1].results if v.type.nbytes >= cap and v not in leaving]
        stored = FORBIDDEN * sum(large)
        choices = [(best[end - 1][0] + alone[end - 1] + stored, end - 1, 0)]
        for start in range(max(0, end - LONGEST), end - 1):
            if (start, end) in blocks:
                cost, step, _ = blocks[start, end]
                choices.append((best[start][0] + cost + stored, start, step))
        best.append(min(choices))
    segments: list[Segment] = []
    total, rings, at = 0.0, [], len(ops)
    while at:
        _, start, step = best[at]
        segments.append(Segment(tuple(ops[start:at]), step))
        total += blocks[start, at][0] if step else alone[start]
        rings.append(blocks[start, at][2] if step else 0)
        at = start
    return segments[::-1], total, rings[::-1]


def _peak(
    segments: Sequence[Segment], rings: Sequence[int], users: dict[Value, list[Op]], leaving: set[Value]
) -> int:
    """Bytes of stored values and rings, at most, while a segment runs."""
    at = {op: i for i, segment in enumerate(segments) for op in segment.ops}
    changes = [0] * (len(segments) + 1)
    for i, segment in enumerate(segments):
        for value in segment.ops[-1].results:
            last = max((at[op] for op in users.get(value, [])), default=i)
            if value not in leaving:  # those are the caller's
                changes[i] += value.type.nbytes
                changes[last + 1] -= value.type.nbytes
    held, peak = 0, 0
    for change, ring in zip(changes, rings, strict=False):
        held += change
        peak = max(peak, held + ring)
    return peak


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


def _together(run: Sequence[Op], facts: dict[Op, RowOp], memory: Memory) -> tuple[float, int, int]:
    """Cost, the best step and the bytes of the rings of a block."""
    made = {op.result for op in run}
    outside = sum(_bytes(v) for op in run for v, _ in facts[op].reads if v not in made) + _bytes(run[-1].result)
    inside = sum(2 * _bytes(v) for v in made) - 2 * _bytes(run[-1].result)
    weights = sum(facts[op].weights for op in run)
    stages = row_stages(run, facts)
    last = facts[run[-1]]
    found = []
    for step in STEPS:
        if step > max(1, last.rows):
            break
        depths = likely_depths(stages, step)
        rings = sum(
            min(d, facts[op].rows) * _bytes(op.result) // (facts[op].images * max(1, facts[op].rows))
            for op, d in zip(run[:-1], depths, strict=False)
        )
        passes = -(-last.rows // step) * last.images
        level = memory.cycles(rings + weights)
        cost = outside * memory.cycles(outside) + inside * level + weights * passes * level
        found.append((cost, step, rings))
    return min(found)
