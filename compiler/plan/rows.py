"""How deep a ring of rows must be.

A stage of a block makes rows of one value from rows of earlier stages, by windows (ir/rows.py); `ring_depths` runs the
very schedule that edgec_run_rows (targets/c/kernels/block.h) follows and notes the most rows that are alive at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgec.ir.rows import SAME, Window


@dataclass(frozen=True)
class StageRows:
    """`rows` of the result, and which rows of which earlier stages they need."""

    rows: int
    reads: tuple[tuple[int, Window], ...] = ()


def _same_rows(stages: Sequence[StageRows]) -> bool:
    return all(window == SAME for stage in stages for _, window in stage.reads)


def likely_depths(stages: Sequence[StageRows], step: int) -> list[int]:
    """As ring_depths, from the first rows alone: a guess for comparing costs, soon made."""
    if _same_rows(stages):
        return [min(step, s.rows) for s in stages]
    depths = [0] * len(stages)
    _run(stages, step, 0, min(stages[-1].rows, 8 * step), depths)
    return [max(1, d) for d in depths]


def ring_depths(stages: Sequence[StageRows], step: int, bands: int, align: int = 1) -> list[int]:
    """Rows that each stage's ring must hold, for the whole image as one band and for `bands` bands, which begin at
    multiples of `align`. The last stage has no ring: its entry is its rows."""
    depths = [0] * len(stages)
    rows = stages[-1].rows
    units = -(-rows // align)
    for count in {1, bands}:
        for band in range(count):
            first, stop = (units * b // count * align for b in (band, band + 1))
            _run(stages, step, first, min(stop, rows), depths)
    depths[-1] = rows
    return [max(1, d) for d in depths]


def band_rows(stages: Sequence[StageRows], bands: int) -> list[int]:
    """How many rows each stage makes in all, where each of `bands` bands begins anew: some at their edges twice."""
    if bands == 1 or _same_rows(stages):
        return [s.rows for s in stages]
    made = [0] * len(stages)
    last = len(stages) - 1
    for band in range(bands):
        low = [s.rows for s in stages]
        high = [0] * len(stages)
        low[last], high[last] = (stages[last].rows * b // bands for b in (band, band + 1))
        for s in range(last, -1, -1):
            made[s] += max(0, high[s] - low[s])
            if high[s] > low[s]:
                for source, window in stages[s].reads:
                    low[source] = min(low[source], window.low(low[s]))
                    high[source] = max(high[source], window.high(high[s], stages[source].rows))
    return made


def _run(stages: Sequence[StageRows], step: int, first: int, stop: int, depths: list[int]) -> None:
    """One band; `depths` grows."""
    last = len(stages) - 1
    have = [s.rows for s in stages]
    have[last] = first
    for s in range(last, -1, -1):
        for source, window in stages[s].reads:
            have[source] = min(have[source], window.low(have[s]))
    for y in range(first, stop, step):
        need = [*have[:last], min(y + step, stop)]
        for s in range(last, -1, -1):
            if need[s] > have[s]:
                for source, window in stages[s].reads:
                    need[source] = max(need[source], window.high(need[s], stages[source].rows))
        for s in range(last + 1):
            if have[s] < stages[s].rows:  # a reader that pauses still wants its rows later
                for source, window in stages[s].reads:
                    depths[source] = max(depths[source], need[source] - window.low(have[s]))
        have = [max(h, n) for h, n in zip(have, need, strict=True)]
