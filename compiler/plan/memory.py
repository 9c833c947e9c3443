"""Offsets: which scratch buffers are alive when, and where they lie.

In: a Plan whose scratch buffers have sizes. Out: the same buffers with offsets, and `scratch_bytes`. Two buffers share
bytes only when no call lies in both their lifetimes. Placement is greedy, each buffer at the lowest offset where it
fits (Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020, "greedy by size"), in the best
of a few orders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgec.plan.plan import Block, Buffer, Call, Plan

ALIGNMENT = 64


@dataclass
class Lifetime:
    """Steps first … last mention the buffers, which all lie at the same offset."""

    buffers: list[Buffer]
    first: int
    last: int

    @property
    def nbytes(self) -> int:
        return max(b.nbytes for b in self.buffers)


def lifetimes(steps: list[Call | Block]) -> list[Lifetime]:
    """One entry per scratch buffer that a step mentions, in order of first use; in-place pairs merged."""
    table: dict[Buffer, Lifetime] = {}
    for i, step in enumerate(steps):
        for pointer in step.pointers():
            if pointer.buffer.space == "scratch":
                life = table.setdefault(pointer.buffer, Lifetime([pointer.buffer], i, i))
                life.last = i
    for i, step in enumerate(steps):
        if isinstance(step, Call) and step.inplace:
            _merge(table, step, i)
    seen: dict[int, Lifetime] = {id(life): life for life in table.values()}
    return list(seen.values())


def _merge(table: dict[Buffer, Lifetime], call: Call, at: int) -> None:
    """Let the result of an in-place call lie on its first operand when that dies here."""
    reads = [p for p in call.pointers() if not p.write]
    writes = [p for p in call.pointers() if p.write]
    if not reads or not writes:
        return
    source, result = reads[0], writes[0]
    if source.buffer not in table or result.buffer not in table or source.buffer is result.buffer:
        return
    if source.offset or result.offset or source.buffer.nbytes != result.buffer.nbytes:
        return
    old, new = table[source.buffer], table[result.buffer]
    mentions = sum(p.buffer in old.buffers for p in call.pointers())
    if old is new or old.last != at or new.first != at or mentions > 1:
        return
    old.buffers += new.buffers
    old.last = new.last
    for buffer in new.buffers:
        table[buffer] = old


# By size; by size times steps; by first use. Which packs best depends on the network.
_ORDERS: tuple[Callable[[Lifetime], tuple[int, int]], ...] = (
    lambda life: (-life.nbytes, life.first),
    lambda life: (-life.nbytes * (life.last - life.first + 1), life.first),
    lambda life: (life.first, -life.nbytes),
)


def place(lives: list[Lifetime]) -> int:
    """Give every buffer an offset; returns the size of the arena in bytes."""
    total, offsets = min((_place(sorted(lives, key=order)) for order in _ORDERS), key=lambda found: found[0])
    for life, offset in offsets:
        for buffer in life.buffers:
            buffer.offset = offset
    return total


def _place(lives: list[Lifetime]) -> tuple[int, list[tuple[Lifetime, int]]]:
    """In the given order, each at the lowest offset where it fits: the size of the arena, and the offsets."""
    placed: list[tuple[int, int, Lifetime]] = []  # (offset, end, lifetime)
    total = 0
    for life in lives:
        size = -(-life.nbytes // ALIGNMENT) * ALIGNMENT
        taken = sorted((o, e) for o, e, other in placed if other.first <= life.last and life.first <= other.last)
        offset = 0
        for start, end in taken:
            if offset + size <= start:
                break
            offset = max(offset, end)
        placed.append((offset, offset + size, life))
        total = max(total, offset + size)
    return total, [(life, offset) for offset, _, life in placed]


def plan_memory(plan: Plan) -> None:
    """Fill in the offsets of the plan's scratch buffers and its `scratch_bytes`."""
    plan.scratch_bytes = place(lifetimes(plan.steps))
