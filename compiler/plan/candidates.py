"""Blocks that a graph's ops may form, and what each costs: what the schedule chooses from.

A run of ops is a legal block when all of them are row ops over the same number of images and read each other by rows.
Its inner values live in rings; one that is read outside too is stored whole, which must not make a row twice: from
there to the last op all rows are the same. Only the last op may be a sink, a reduction over rows, whose value is there
when the block ends: squeeze-and-excitation is a block that ends in its sink, the small layers, and a block that begins
with the scaling.

Cost is time in cycles that the bytes of values and weights take in the level of memory they live in; arithmetic is the
same whatever the blocks. A block of the form expand, steps that keep channels apart, project may run in slices of the
wide value's channels, one after the other, each adding to the result: its rings are as much smaller, its operand and
its result are read and written once a slice. With several threads, a block whose bands are fewer than they, or that
makes many rows for two bands, takes longer than its share of arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgec.ir.graph import Op, Value
from edgec.ir.rows import SAME, Window
from edgec.plan.cost import Memory
from edgec.plan.rows import StageRows, band_rows, likely_depths

Channels = Literal["each", "all", "free", ""]
LONGEST = 12  # ops in a segment
RUNS = 20_000  # of ops that are looked at: in a graph of many ops, segments are shorter
SLICES = (2, 3, 4, 6, 8)
SLICE_UNIT = 16  # channels of a slice are a multiple of this: whole vectors on every instruction set
STEPS = (1, 2, 4, 8, 16)  # result rows made at a time, in units of the most that an op of the block wants
CODE_CYCLES = 12.0  # what a byte of code costs: it comes from far memory, and takes the place of other code
STAGE_BYTES = 170  # code and tables of a stage
BUSY = 0.5  # how much it counts that all threads have something to do: the plan may also run on one
STAGE_CYCLES = 150.0  # for a stage to be called, measured on host: pointers of rows, the first and last tile
BLOCK_CYCLES = 100.0  # for a block to find out which rows to make
ROW_CYCLES = 30.0  # for a kernel that is called once a row


@dataclass(frozen=True)
class RowOp:
    """What scheduling knows of an op with row kernels: `rows` of its result an image; which operands it reads by rows
    and how; `weights` bytes it reads for every step; `images`; the fewest rows a step at which its kernel is itself;
    `each_row`: in a block its kernel is called once a row. `channels`: "each" result channel comes from its own in the
    only operand with rows; from "all" of them; "free": a sum over them which may also go on from a part of it, `unit`
    result rows (or a multiple) at a time."""

    rows: int
    reads: tuple[tuple[Value, Window], ...]
    images: int
    weights: int = 0
    least: int = 1
    sink: bool = False
    each_row: bool = False
    macs: int = 0
    channels: Channels = ""
    unit: int = 0


@dataclass(frozen=True)
class Facts:
    """What is the same for all partitions: `ops` in order, their `users`, the values that leave the graph, the target's
    row ops, the bytes of a value where it is stored, zeros beside its rows included. `slots`: threads that may run a
    block, each with rings of its own; `macs_a_cycle` of one of them."""

    ops: Sequence[Op]
    users: dict[Value, list[Op]]
    leaving: set[Value]
    row_ops: dict[Op, RowOp]
    nbytes: Callable[[Value], int]
    memory: Memory
    slots: int = 1
    macs_a_cycle: float = 8.0


@dataclass(frozen=True)
class Candidate:
    """A way to run ops: what it costs, its step (0: an op alone), the bytes of the rings of all threads, its slices."""

    cost: float
    step: int
    rings: int
    slices: int = 1


@dataclass(frozen=True)
class Choice:
    """Ops start … end as one segment: ways to run it, and the bytes of each value that it leaves in scratch memory."""

    start: int
    end: int
    ways: tuple[Candidate, ...]
    stored: tuple[int, ...]


def row_stages(ops: Sequence[Op], facts: dict[Op, RowOp]) -> list[StageRows]:
    """The ops as stages: reads of values that other ops of the segment make."""
    index = {op.result: i for i, op in enumerate(ops)}
    return [
        StageRows(facts[op].rows, tuple((index[v], w) for v, w in facts[op].reads if v in index)) for op in ops
    ]


def stored_inside(ops: Sequence[Op], users: dict[Value, list[Op]], leaving: set[Value]) -> list[Value]:
    """Values of a segment, other than the last op's, that are read outside of it."""
    inside = set(ops)
    return [
        v for op in ops[:-1] for v in op.results if v in leaving or any(u not in inside for u in users.get(v, []))
    ]


def choices(facts: Facts) -> list[list[Choice]]:
    """For each op, the segments that end with it: it alone, and every legal block."""
    ops, row_ops = facts.ops, facts.row_ops
    found: list[list[Choice]] = [[] for _ in ops]
    longest = max(2, min(LONGEST, RUNS // max(1, len(row_ops))))
    for start, op in enumerate(ops):
        found[start].append(Choice(start, start + 1, (Candidate(_alone(op, facts), 0, 0),), _stored([op], facts)))
        for end in range(start + 2, min(len(ops), start + longest) + 1):
            run = ops[start:end]
            if run[-1] not in row_ops or run[-2] not in row_ops or row_ops[run[-2]].sink:
                break
            if row_ops[run[-1]].images != row_ops[run[0]].images:
                break
            if _legal(run, facts):
                found[end - 1].append(Choice(start, end, tuple(_together(run, facts)), _stored(run, facts)))
    return found


def _stored(ops: Sequence[Op], facts: Facts) -> tuple[int, ...]:
    return tuple(facts.nbytes(v) for v in left_in_scratch(ops, facts))


def left_in_scratch(ops: Sequence[Op], facts: Facts) -> list[Value]:
    """The values that a segment leaves in scratch memory."""
    made = [*stored_inside(ops, facts.users, facts.leaving), *ops[-1].results]
    return [v for v in made if v not in facts.leaving]


def _legal(run: Sequence[Op], facts: Facts) -> bool:
    """For ops that all have row kernels, over the same images, no sink but the last."""
    made = {op.result for op in run}
    if any(not facts.users.get(op.result) and op.result not in facts.leaving for op in run[:-1]):
        return False
    for op in run:  # a value of the segment is read by rows only
        by_rows = {v for v, _ in facts.row_ops[op].reads}
        if any(v in made and v not in by_rows for v in op.inputs if v is not None):
            return False
    stored = stored_inside(run, facts.users, facts.leaving)
    return not stored or set(stored) <= _exact(run, facts)


def _exact(run: Sequence[Op], facts: Facts) -> set[Value]:
    """Values whose rows are made when the same rows of the last op are, each once whatever the bands."""
    exact = {run[-1].result}
    for op in run[-2::-1]:
        readers = [other for other in run if any(v is op.result for v, _ in facts.row_ops[other].reads)]
        same = all(w == SAME for r in readers for v, w in facts.row_ops[r].reads if v is op.result)
        if readers and same and all(r.result in exact for r in readers):
            exact.add(op.result)
    return exact


def _alone(op: Op, facts: Facts) -> float:
    """An op by itself reads and writes whole values; its weights are read once."""
    if op not in facts.row_ops:
        return 0.0  # the same in every partition
    fact, cycles = facts.row_ops[op], facts.memory.cycles
    moved = [v.type.nbytes for v, _ in fact.reads] + [op.result.type.nbytes]
    return sum(n * cycles(sum(moved)) for n in moved) + fact.weights * cycles(fact.weights) + STAGE_CYCLES


def _together(run: Sequence[Op], facts: Facts) -> list[Candidate]:
    """Cost and bytes of the rings of a block, by step."""
    row_ops, cycles = facts.row_ops, facts.memory.cycles
    made = {op.result for op in run}
    stored = stored_inside(run, facts.users, facts.leaving)
    operands = sum(v.type.nbytes for op in run for v, _ in row_ops[op].reads if v not in made)
    result = run[-1].result.type.nbytes + sum(v.type.nbytes for v in stored)
    inside = sum(2 * v.type.nbytes for v in made) - 2 * run[-1].result.type.nbytes - sum(v.type.nbytes for v in stored)
    weights = sum(row_ops[op].weights for op in run)
    stages = row_stages(run, row_ops)
    last = row_ops[run[-1]]
    calls = BLOCK_CYCLES + ROW_CYCLES * sum(row_ops[op].rows * row_ops[op].images for op in run if row_ops[op].each_row)
    found = []
    for step in _steps(last.rows, max(row_ops[op].least for op in run)):
        depths = likely_depths(stages, step)
        rings = sum(
            min(d, row_ops[op].rows) * facts.nbytes(op.result) // (row_ops[op].images * max(1, row_ops[op].rows))
            for op, d in zip(run[:-1], depths, strict=False)
            if op.result not in stored
        )
        passes = -(-last.rows // step) * last.images
        parts = bands(last.rows, step, facts.slots)
        share = last.images * parts
        idle = BUSY * _idle(run, stages, parts, facts)
        for slices in (1, *_slices(run, step, facts)):
            level = cycles((rings + weights) // slices)
            outside = operands * slices + result * (2 * slices - 1)
            cost = outside * cycles(operands + result) + inside * level + weights * passes * level + idle
            cost += (calls + STAGE_CYCLES * len(run) * passes) * slices
            cost += CODE_CYCLES * STAGE_BYTES * len(run) * (slices - 1)
            found.append(Candidate(cost, step, rings * share // slices, slices))
    return found


def _idle(run: Sequence[Op], stages: Sequence[StageRows], parts: int, facts: Facts) -> float:
    """Cycles that the block takes longer on all threads than its arithmetic shared by them."""
    rows_made = band_rows(stages, parts)
    work = [facts.row_ops[op].macs / facts.macs_a_cycle for op in run]
    made = sum(w * n / s.rows for w, n, s in zip(work, rows_made, stages, strict=True) if s.rows)
    tasks = facts.row_ops[run[-1]].images * parts
    return made / min(facts.slots, tasks) - sum(work) / facts.slots


def _slices(run: Sequence[Op], step: int, facts: Facts) -> list[int]:
    """Into how many slices of channels the block may be cut: the first op makes channels one by one, the last sums over
    them, those between keep them apart, and each reads the one before it."""
    first, last = facts.row_ops[run[0]], facts.row_ops[run[-1]]
    if first.channels not in ("all", "free") or len(first.reads) != 1 or last.channels != "free":
        return []
    if any(facts.row_ops[op].channels != "each" for op in run[1:-1]) or stored_inside(run, facts.users, facts.leaving):
        return []
    if any(op.inputs[0] is not before.result for op, before in zip(run[1:], run, strict=False)):
        return []
    if any(len(facts.users[op.result]) != 1 for op in run[:-1]) or step % last.unit or last.rows % last.unit:
        return []
    channels = run[0].result.type.dims[-1]
    return [n for n in SLICES if channels % (n * SLICE_UNIT) == 0]


def bands(rows: int, step: int, slots: int) -> int:
    """How many parts of an image may be made at the same time: each at least two steps, or most of it is made twice."""
    return max(1, min(slots, rows // (2 * step)))


def _steps(rows: int, least: int) -> list[int]:
    """Numbers of rows a step to choose among. Where kernels want several rows, the last step has nearly as many too."""
    if least == 1:
        return [step for step in STEPS if step <= max(1, rows)]
    found = {rows}
    for step in STEPS:
        for n in range(step * least, min(rows, 2 * step * least)):
            if rows % n == 0 or rows % n >= least:
                found.add(n)
                break
    return sorted(found)
