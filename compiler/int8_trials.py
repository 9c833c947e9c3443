"""Static INT8 in several ways, judged by the noise at the model's outputs; the least noisy is kept.

No observer of ranges is best for every model, and rounding or biases settled on a few samples may fit those only. So
each way is built for this machine and run in the integers that ship, on samples that neither ranges nor weights were
found on: no range clamps the samples that it was found on, and all looks better there than it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from edgec.graph_values import byte_here, graph_values
from edgec.grids import Range
from edgec.ir.copying import copy_module, twin_of
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.paired import level_db, squares
from edgec.passes import FUSED
from edgec.passes.lower_requant import requantise
from edgec.pipeline import run_pipeline
from edgec.quantize import EncodeWeights, encode_values, nearest
from edgec.settle_weights import Way, samples_to_walk, settle_weights

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]

MOST_JUDGED = 256
MADE_UP_FOR = 2.0  # times the noise of the best ranges, that others may make before weights are settled
SETTLED: dict[Way | None, str] = {
    None: "biases by means in floats",
    "biases": "biases settled in order",
    "rounding": "rounding and biases settled in order",
    "compensated": "weights, their rounding and biases settled in order",
}


@dataclass(frozen=True)
class Trial:
    """A module with encodings, of which value each of the original's became there, and the noise that it makes."""

    observer: str
    way: Way | None  # in which weights and biases were settled
    module: Module
    twins: Mapping[Value, Value]
    noise: float

    def facts(self) -> dict[str, Any]:
        return {"observer": self.observer, "weights": SETTLED[self.way], **level(self.noise)}


def level(noise: float) -> dict[str, float | str | None]:
    """For the receipt; `noise` is relative to the power of the outputs."""
    return {"signal_to_noise_db": level_db(-10 * math.log10(noise) if noise > 0 else math.inf)}


class Judge:
    """What outputs are in floats, and how noisy others are."""

    def __init__(self, graph: Graph, samples: Sequence[Feeds]) -> None:
        self.samples = [samples[i * len(samples) // MOST_JUDGED] for i in range(MOST_JUDGED)] \
            if len(samples) > MOST_JUDGED else list(samples)  # fmt: skip
        self._expected = list(self._outputs(graph))

    def noise(self, graph: Graph) -> float:
        """Mean over the outputs of their noise, relative to their power, over all samples."""
        sums = np.zeros((2, len(self._expected[0])))  # of squares: noise, and what is expected
        for found, expected in zip(self._outputs(graph), self._expected, strict=True):
            for i, pair in enumerate(zip(found, expected, strict=True)):
                sums[:, i] += squares(*pair)
        shares = sums[0] / np.where(sums[1] > 0, sums[1], 1.0)
        return float(np.mean(shares)) if shares.size else 0.0

    def _outputs(self, graph: Graph) -> Iterator[list[Array]]:
        """Of each sample, the outputs that are computed."""
        values = [v for _, v in graph.outputs if v.const is None]
        with graph_values(graph, values) as taps:
            for feeds in self.samples:
                found = taps(feeds)
                yield [found[value] for value in values]


class Trials:
    """All that was tried, `best` first by noise. `coded`: what encodes weights that are no bytes."""

    def __init__(
        self, graph: Graph, chosen: Collection[Op], byte: str, samples: Sequence[Feeds], judge: Judge,
        coded: Mapping[Op, EncodeWeights],
    ) -> None:  # fmt: skip
        self.graph, self.chosen, self.byte, self.judge = graph, chosen, byte, judge
        self.coded = {op: encode for op, encode in coded.items() if op in chosen}
        self.samples = samples_to_walk(graph, samples)
        self.done: list[Trial] = []

    @property
    def best(self) -> Trial:
        """The first of the least noisy."""
        return min(self.done, key=lambda trial: trial.noise)

    def encoded(self, ranges: Mapping[str, Mapping[Value, Range]], means: Mapping[Op, Array]) -> None:
        """Encodings by the ranges of each observer; weights to the nearest."""
        self._beside([partial(self._encoded, observer, found, means) for observer, found in ranges.items()])

    def settle(self) -> None:
        """Weights and biases settled on what the best ranges so far make, and those that are not much noisier, since
        weights make up for rounding better than for clamping; on the ranges that this serves best, rounding for the
        rows without weights moved before, too. Where neither helps, they fit the samples only, and biases are settled
        alone."""
        plain = self.best
        starts = {trial.observer: trial for trial in self.done if trial.noise <= MADE_UP_FOR * plain.noise}
        settled = self._beside([partial(self._settled, "compensated", start) for start in starts.values()])
        self.settle_as("rounding", starts[min(settled, key=lambda trial: trial.noise).observer])
        if self.best is plain:
            self.settle_as("biases", plain)

    def settle_as(self, way: Way, start: Trial) -> None:
        """Settled in this way on the ranges of `start`."""
        self._beside([partial(self._settled, way, start)])

    def _beside(self, makers: Sequence[Callable[[], Trial]]) -> list[Trial]:
        """The trials in order, two at a time, and linear algebra on one thread each: its own threads would wait for one
        another, and sums would depend on how many there are."""
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(2) as pool:
            made = list(pool.map(lambda make: make(), makers))
        self.done += made
        return made

    def _encoded(self, observer: str, ranges: Mapping[Value, Range], means: Mapping[Op, Array]) -> Trial:
        module, twins = copy_module(self.graph.module)
        chosen = {twin_of(op, twins) for op in self.chosen}
        encode_values(
            module.entries[self.graph.name], chosen, {twins[v]: r for v, r in ranges.items() if v in twins},
            self.byte, nearest, {twin_of(op, twins): mean for op, mean in means.items()},
            {twin_of(op, twins): encode for op, encode in self.coded.items()},
        )  # fmt: skip
        return self._judged(observer, None, module, twins)

    def _settled(self, way: Way, start: Trial) -> Trial:
        module, moved = copy_module(start.module)
        twins = {v: moved[twin] for v, twin in start.twins.items() if twin in moved}
        settle_weights(self.graph, module.entries[self.graph.name], twins, self.samples, way)
        return self._judged(start.observer, way, module, twins)

    def _judged(self, observer: str, way: Way | None, module: Module, twins: Mapping[Value, Value]) -> Trial:
        return Trial(observer, way, module, twins, self.judge.noise(in_integers(module, self.graph.name)))


def in_integers(module: Module, name: str) -> Graph:
    """An entry of a module with encodings, as this machine computes it; the module stays as it is."""
    made, _ = copy_module(module)
    graph = made.entries[name]
    requantise(graph, byte_here())
    run_pipeline(made, FUSED)
    return graph
