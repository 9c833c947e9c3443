"""One artifact beside onnxruntime in one interleaved run: one thread, batch as built, bursts in shuffled order.

Both are called with inputs and outputs bound once, so that neither's Python binding is what is timed. A ratio is taken
inside each round, where the machine's noise is shared; its median is the figure.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_set import Model

from edgec.ir.types import Type
from edgec.reference import fast_session
from edgec.runtime.session import load
from edgec.sample_inputs import sample_inputs

ROUNDS = 21
BURST_SECONDS = 0.03


@dataclass(frozen=True)
class Comparison:
    """Seconds an inference (medians), and how many times as fast edgec is."""

    ours: float
    theirs: float
    ratio: float
    quartiles: tuple[float, float]


def compare(directory: Path, model: Model) -> Comparison:
    with load(directory) as session:
        feeds = sample_inputs([(t.name, Type(t.dtype, t.shape)) for t in session.inputs], 0, model.ranges)
        ours: Any = session.runner
        contenders = {"ours": ours.bound([feeds[t.name] for t in session.inputs]), "theirs": _onnxruntime(model, feeds)}
        bursts = {name: _burst(function) for name, function in contenders.items()}
        times: dict[str, list[float]] = {name: [] for name in contenders}
        order = list(contenders)
        shuffle = random.Random(0)
        for _ in range(ROUNDS):
            shuffle.shuffle(order)
            for name in order:
                times[name].append(_seconds(contenders[name], bursts[name]))
    ratios = [theirs / ours for ours, theirs in zip(times["ours"], times["theirs"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Comparison(statistics.median(times["ours"]), statistics.median(times["theirs"]), middle, (low, high))


def _onnxruntime(model: Model, feeds: dict[str, Any]) -> Callable[[], Any]:
    session = fast_session(model.path, 1)
    binding = session.io_binding()
    known = {i.name for i in session.get_inputs()}
    for name, array in {**model.consts, **feeds}.items():
        if name in known:
            binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    return lambda: session.run_with_iobinding(binding)


def _burst(function: Callable[[], Any]) -> int:
    """Calls that take about BURST_SECONDS, after a warm-up."""
    for _ in range(3):
        function()
    return max(1, int(BURST_SECONDS / max(_seconds(function, 3), 1e-7)))


def _seconds(function: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls
