"""Which ops run as one block: the partition of the ops' order into segments, by cost.

In: the ops of a graph in order and what the target says of them (candidates.Facts). Out: segments; a segment of several
ops becomes a block, a segment of one op is that op alone.

Among legal partitions the cheapest is found by dynamic programming over the order (design page "Row streaming", Where
to cut). Memory counts too: after the fastest partition come those that must keep below the rings, or the largest value
between segments, of the last one's peak, and the one whose time and peak together cost least is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgec.ir.graph import Op
from edgec.plan.candidates import Candidate, Choice, Facts, choices, left_in_scratch

PARTITIONS = 16  # to choose among
# What a byte of the peak may cost in time: as far as the peak fits into a core's own cache, and beyond
PEAK_CYCLES, FAR_PEAK_CYCLES = 1.0, 3.0
FORBIDDEN = 1e6  # cycles a byte for a value that is too large to be stored, should there be no other way


@dataclass(frozen=True)
class Segment:
    """Ops in order; `step` result rows at a time, in `slices` of the first op's result channels."""

    ops: tuple[Op, ...]
    step: int
    slices: int = 1


@dataclass(frozen=True)
class Caps:
    """What a partition must keep below: bytes of a value between segments, and of a segment's rings."""

    stored: float = float("inf")
    rings: float = float("inf")


@dataclass(frozen=True)
class Part:
    """A segment as part of a partition, and the way it runs."""

    choice: Choice
    way: Candidate


def make_schedule(facts: Facts) -> list[Segment]:
    """Segments of the ops in order."""
    possible = choices(facts)
    found: dict[Caps, tuple[float, list[Part]]] = {}
    waiting = [Caps()]
    while waiting and len(found) < PARTITIONS:
        caps = waiting.pop(0)
        if caps in found:
            continue
        parts = _partition(possible, caps)
        peak, rings, stored = _peak(parts, facts)
        found[caps] = sum(part.way.cost for part in parts) + _price(peak, facts), parts
        waiting += [replace(caps, rings=rings)] if 0 < rings < caps.rings else []
        waiting += [replace(caps, stored=stored)] if 0 < stored < caps.stored else []
    best = min(found.values(), key=lambda f: f[0])[1]
    return [Segment(tuple(facts.ops[p.choice.start : p.choice.end]), p.way.step, p.way.slices) for p in best]


def _partition(possible: Sequence[Sequence[Choice]], caps: Caps) -> list[Part]:
    """The cheapest partition below the caps, where that can be."""
    best: list[tuple[float, Part | None]] = [(0.0, None)]  # cost up to here, the last part
    for ending in possible:
        ranked: list[tuple[float, int, Part]] = []
        for choice in ending:
            fitting = [way for way in choice.ways if way.rings < caps.rings]
            if fitting:
                way = min(fitting, key=lambda w: (w.cost, w.slices, w.step))
                forbidden = FORBIDDEN * sum(n for n in choice.stored if n >= caps.stored)
                ranked.append((best[choice.start][0] + way.cost + forbidden, choice.start, Part(choice, way)))
        cost, _, part = min(ranked, key=lambda r: r[:2])
        best.append((cost, part))
    parts: list[Part] = []
    last = best[-1][1]
    while last is not None:
        parts.append(last)
        last = best[last.choice.start][1]
    return parts[::-1]


def _price(peak: int, facts: Facts) -> float:
    near = min(peak, facts.memory.l2 * 3 // 4)
    return PEAK_CYCLES * near + FAR_PEAK_CYCLES * (peak - near)


def _peak(parts: Sequence[Part], facts: Facts) -> tuple[int, int, int]:
    """Bytes of stored values and rings, at most, while a segment runs; of rings, and of the largest value, then."""
    at = {op: i for i, part in enumerate(parts) for op in facts.ops[part.choice.start : part.choice.end]}
    lives: list[tuple[int, int, int]] = []  # bytes, from, to
    for i, part in enumerate(parts):
        for value in left_in_scratch(facts.ops[part.choice.start : part.choice.end], facts):
            last = max((at[op] for op in facts.users.get(value, [])), default=i)
            lives.append((facts.nbytes(value), i, last))
    held = [0] * (len(parts) + 1)
    for nbytes, first, last in lives:
        held[first] += nbytes
        held[last + 1] -= nbytes
    worst, total = (0, 0), 0
    for i, part in enumerate(parts):
        total += held[i]
        worst = max(worst, (total + part.way.rings, i))
    peak, where = worst
    largest = max((n for n, first, last in lives if first <= where <= last), default=0)
    return peak, parts[where].way.rings if parts else 0, largest
