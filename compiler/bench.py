"""Times an artifact: alone, beside onnxruntime in one interleaved run, or call by call; counts where it is emulated.

Both contenders are called with inputs and outputs bound once, so that neither's Python binding is what is timed. They
run in bursts in shuffled order, and a ratio is taken inside each round, where the machine's noise is shared; its median
is the figure.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.types import Type
from edgec.plan_facts import FILE as PLAN
from edgec.reference import Reference, fast_session, ort_value
from edgec.runtime.errors import RunError
from edgec.runtime.session import Session, load
from edgec.sample_inputs import bytes_explained, sample_inputs
from edgec.verify_artifact import check_built_from

ROUNDS = 21
BURST_SECONDS = 0.03
FUNCTIONS = 20  # most lines of a list of functions

Array = np.ndarray[Any, Any]
Ranges = Mapping[str, tuple[float, float]]
_CALL = re.compile(r"call_([0-9]+)")


@dataclass(frozen=True)
class Comparison:
    """Seconds an inference (medians), and how many times as fast edgec is."""

    ours: float
    theirs: float
    ratio: float
    quartiles: tuple[float, float]


def compare(
    directory: Path, model: Path, consts: Mapping[str, Array], ranges: Ranges, threads: int = 1, rounds: int = ROUNDS
) -> Comparison:
    """The artifact beside onnxruntime on the model that it was built from."""
    with load(directory, runner="host", threads=threads) as session:
        feeds = _feeds(session, ranges)
        if session.manifest.raw.get("images"):
            raise UsageError(f"{directory} takes camera frames, and onnxruntime floats: build without --image for --vs")
        with bytes_explained(_ports(session), ranges):
            Reference(model, consts).run(feeds)  # which says why it cannot
        contenders = {"ours": _bound(session, feeds), "theirs": _onnxruntime(model, {**consts, **feeds}, threads)}
        times = _interleaved(contenders, rounds)
    ratios = [theirs / ours for ours, theirs in zip(times["ours"], times["theirs"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
    return Comparison(statistics.median(times["ours"]), statistics.median(times["theirs"]), middle, (low, high))


def bench_directory(
    directory: Path, rounds: int, model: Path | None, consts: Mapping[str, Array], ranges: Ranges, threads: int,
    runner: str | None,
) -> Iterator[str]:  # fmt: skip
    """Lines to print; `model` asks for the comparison with onnxruntime, which needs the inputs that were bound."""
    with load(directory, runner=runner, threads=threads) as session:
        if model is not None:
            check_built_from(directory, model)
        if session.executed_on == "host" and model is None:
            times = _interleaved({"ours": _bound(session, _feeds(session, ranges))}, rounds)["ours"]
            yield f"edgec        median {statistics.median(times) * 1e3:.3f} ms, best {min(times) * 1e3:.3f} ms"
        if session.executed_on != "host" and model is not None:
            raise UsageError(f"--vs: {directory} does not run on this machine itself, and emulated time says nothing")
    if model is not None:
        found = compare(directory, model, consts, ranges, threads, rounds)
        low, high = found.quartiles
        yield f"edgec        median {found.ours * 1e3:.3f} ms"
        yield f"onnxruntime  median {found.theirs * 1e3:.3f} ms"
        yield f"edgec is {found.ratio:.2f}x as fast as onnxruntime (quartiles {low:.2f}, {high:.2f})"
    elif session.counts:
        yield f"{_counted(directory, ranges).instructions:,} instructions an inference on {session.executed_on}"
    elif session.executed_on != "host":
        with load(directory, runner=runner) as emulated:
            feeds = _feeds(emulated, ranges)
            seconds = _seconds(lambda: emulated.run(None, feeds), rounds)
        board = "a device" if "package" in session.manifest.raw else "a board"
        yield f"{seconds * 1e3:.3f} ms a call on {session.executed_on}: the emulation's time, not that of {board}"


def bench_layers(
    directory: Path, rounds: int, ranges: Ranges, threads: int, runner: str | None
) -> Iterator[str]:
    """Time a kernel call on the host; instructions a function where it is emulated."""
    with load(directory, runner=runner) as session:
        plan = json.loads((directory / PLAN).read_bytes()) if PLAN in session.manifest.files else None
        feeds = _feeds(session, ranges)
    if plan is None:
        raise RunError(f"{directory} was built by an older edgec: build it again")
    calls = plan["calls"]
    if session.executed_on == "host":
        from edgec.profile_calls import seconds_of_calls

        seconds = seconds_of_calls(directory, feeds, len(calls), rounds, threads)
        total = sum(seconds)
        for i, (call, spent) in enumerate(zip(calls, seconds, strict=True)):
            rate = f"{call['macs'] * 2e-9 / spent:8.1f} GF/s" if call["macs"] and spent else " " * 13
            yield f"{i:5} {spent * 1e6:10.1f} µs {spent / total:6.1%} {rate}  {call['function']}  {call['source']}"
        yield f"      {total * 1e6:10.1f} µs in {len(calls)} calls, the clock's own time included"
    elif session.counts:
        counted = _counted(directory, ranges)
        functions: dict[str, int] = counted.instructions_by_function
        for name, count in list(functions.items())[:FUNCTIONS]:
            matched = _CALL.fullmatch(name)
            what = f"{name}  {calls[int(matched[1])]['source']}" if matched else name
            yield f"{count:14,} {count / counted.instructions:6.1%}  {what}"
        if len(functions) > FUNCTIONS:
            rest = sum(list(functions.values())[FUNCTIONS:])
            yield f"{rest:14,} {rest / counted.instructions:6.1%}  {len(functions) - FUNCTIONS} others"
        yield f"{counted.instructions:14,} instructions in all"
    else:
        raise UsageError(f"--layers needs the host or the emulator, and {directory} runs on {session.executed_on}")


def _counted(directory: Path, ranges: Ranges) -> Any:
    """The emulator's runner after one counted inference."""
    with load(directory, runner="emulator", count=True) as session:
        session.run(None, _feeds(session, ranges))
    return session.runner


def _feeds(session: Session, ranges: Ranges) -> dict[str, Array]:
    return sample_inputs(_ports(session), 0, ranges)


def _ports(session: Session) -> list[tuple[str, Type]]:
    return [(t.name, Type(t.dtype, t.shape)) for t in session.inputs]


def _bound(session: Session, feeds: Mapping[str, Array]) -> Callable[[], Any]:
    host: Any = session.runner
    bound: Callable[[], Any] = host.bound([feeds[t.name] for t in session.inputs])
    return bound


def _onnxruntime(model: Path, feeds: Mapping[str, Array], threads: int) -> Callable[[], Any]:
    session = fast_session(model, threads)
    binding = session.io_binding()
    known = {i.name for i in session.get_inputs()}
    for name, array in feeds.items():
        if name in known:
            binding.bind_ortvalue_input(name, ort_value(array))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    return lambda: session.run_with_iobinding(binding)


def _interleaved(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds a call, one figure a round and contender."""
    bursts = {name: _burst(function) for name, function in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffle = random.Random(0)
    for _ in range(rounds):
        shuffle.shuffle(order)
        for name in order:
            times[name].append(_seconds(contenders[name], bursts[name]))
    return times


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
