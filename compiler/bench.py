"""Times an artifact, beside onnxruntime in one interleaved run when asked."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.types import Type
from edgec.runtime.session import load
from edgec.sample_inputs import sample_inputs


def bench_directory(directory: Path, repeat: int, model: Path | None, versus: bool, threads: int) -> Iterator[str]:
    """Lines to print: median and best latency, and the ratio of medians."""
    if versus and model is None:
        raise UsageError("--vs onnxruntime needs the model: give --model FILE.onnx")
    with load(directory, threads=threads) as session:
        ports = [(t.name, Type(t.dtype, t.shape)) for t in session.inputs]
        feeds = sample_inputs(ports, 0, {})
        if session.executed_on != "host":
            with load(directory, count=True) as counted:
                counted.run(None, feeds)
                yield f"{counted.instructions:,} instructions an inference on {counted.executed_on}"
            return
        contenders: dict[str, Callable[[], Any]] = {"edgec": lambda: session.run(None, feeds)}
        if model is not None:
            contenders["onnxruntime"] = _onnxruntime(model, feeds, threads)
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for function in contenders.values():
            function()
        for _ in range(repeat):
            for name, function in contenders.items():
                start = time.perf_counter()
                function()
                times[name].append(time.perf_counter() - start)
    for name, values in times.items():
        yield f"{name:12} median {statistics.median(values) * 1e3:.3f} ms, best {min(values) * 1e3:.3f} ms"
    if model is not None:
        ratio = statistics.median(times["onnxruntime"]) / statistics.median(times["edgec"])
        yield f"edgec is {ratio:.2f}x as fast as onnxruntime"


def _onnxruntime(model: Path, feeds: dict[str, np.ndarray[Any, Any]], threads: int) -> Callable[[], Any]:
    from edgec.reference import fast_session

    session = fast_session(model, threads)
    return lambda: session.run(None, feeds)
