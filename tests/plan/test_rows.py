"""Ring depths: run random blocks row by row and see that no reader finds a row overwritten."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir.rows import Window
from edgec.plan.rows import StageRows, band_rows, ring_depths


def random_stages(rng: np.random.Generator) -> list[StageRows]:
    """A chain with windows of all kinds, and now and then a second reader of an earlier stage."""
    stages = [StageRows(int(rng.integers(5, 40)))]
    for i in range(int(rng.integers(1, 6))):
        rows = stages[-1].rows
        stride = int(rng.integers(1, 3))
        dilation = int(rng.integers(1, 3))
        extent = int(rng.integers(0, 3)) * dilation + 1
        before = int(rng.integers(0, extent))
        out = max(1, (rows - 1) // stride + 1)
        reads = [(i, Window(stride, before, extent))]
        for j in range(i):
            if stages[j].rows == out and rng.integers(2):
                reads.append((j, Window()))
        stages.append(StageRows(out, tuple(reads)))
    return stages


def run_band(stages: list[StageRows], depths: list[int], step: int, first: int, stop: int) -> int:
    """The schedule of edgec_run_rows over rings of row numbers; the rows that the last stage made."""
    rings = [np.full(d, -1) for d in depths]
    last = len(stages) - 1
    have = [s.rows for s in stages]
    have[last] = first
    for s in range(last, -1, -1):
        for source, window in stages[s].reads:
            have[source] = min(have[source], window.low(have[s]))
    made = 0
    for y in range(first, stop, step):
        need = [*have[:last], min(y + step, stop)]
        for s in range(last, -1, -1):
            if need[s] > have[s]:
                for source, window in stages[s].reads:
                    need[source] = max(need[source], window.high(need[s], stages[source].rows))
        for s in range(last + 1):
            for row in range(have[s], need[s]):
                for source, window in stages[s].reads:
                    for wanted in range(window.low(row), window.high(row + 1, stages[source].rows)):
                        assert rings[source][wanted % depths[source]] == wanted, (stages, step, s, row, wanted)
                if s == last:
                    made += 1
            # a stage may read all of its rows before it writes the first
            for row in range(have[s], need[s]):
                rings[s][row % depths[s]] = row
            have[s] = max(have[s], need[s])
    return made


@pytest.mark.parametrize("seed", range(60))
def test_rings_hold_what_is_read(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stages = random_stages(rng)
    rows = stages[-1].rows
    for step in (1, 2, 3, 7):
        for bands in (1, 2, 3):
            if bands > rows:
                continue
            depths = ring_depths(stages, step, bands)
            assert depths[-1] == rows
            made = sum(run_band(stages, depths, step, rows * b // bands, rows * (b + 1) // bands) for b in range(bands))
            assert made == rows


def test_known_depths() -> None:
    """expand -> 3x3 stride 1 -> project: three rows of the wide value, one of the next."""
    stages = [StageRows(10), StageRows(10, ((0, Window(1, 1, 3)),)), StageRows(10, ((1, Window()),))]
    assert ring_depths(stages, 1, 1) == [3, 1, 10]
    assert ring_depths(stages, 4, 1) == [6, 4, 10]


def test_rows_made_twice() -> None:
    """Two bands of five rows need one row of the wide value beyond their edge each."""
    stages = [StageRows(10), StageRows(10, ((0, Window(1, 1, 3)),)), StageRows(10, ((1, Window()),))]
    assert band_rows(stages, 1) == [10, 10, 10]
    assert band_rows(stages, 2) == [12, 10, 10]
