"""Time of each kernel call: the artifact's own source compiled once more with a clock between the calls."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgec.compiled_again import compiled_again
from edgec.runtime.manifest import read_manifest
from edgec.runtime.session import load

Array = np.ndarray[Any, Any]


def seconds_of_calls(directory: Path, feeds: Mapping[str, Array], calls: int, rounds: int, threads: int) -> list[float]:
    """Mean over `rounds` runs, after a warm-up. The artifact must run on this machine."""
    with (
        compiled_again(read_manifest(directory), "trace", (f"-DEDGEC_CALLS={calls}",)) as folder,
        load(folder, runner="host", threads=threads, verify_files=False) as session,
    ):
        host: Any = session.runner
        counters = (ctypes.c_uint64 * calls).in_dll(host.library, "edgec_trace_nanoseconds")
        bound = host.bound([feeds[t.name] for t in session.inputs])
        for _ in range(3):
            bound()
        ctypes.memset(counters, 0, ctypes.sizeof(counters))
        for _ in range(rounds):
            bound()
        return [nanoseconds * 1e-9 / rounds for nanoseconds in counters]
