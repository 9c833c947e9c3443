"""Time of each kernel call: the artifact's own source compiled once more with a clock between the calls.

The library that ships has no such hook: EDGEC_TRACE is defined only here.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from edgec.runtime.manifest import read_manifest
from edgec.runtime.session import load
from edgec.target_table import TARGETS
from edgec.targets.c import toolchain

Array = np.ndarray[Any, Any]


def seconds_of_calls(directory: Path, feeds: Mapping[str, Array], calls: int, rounds: int, threads: int) -> list[float]:
    """Mean over `rounds` runs, after a warm-up. The artifact must run on this machine."""
    manifest = read_manifest(directory)
    flags = (*TARGETS[manifest.target].choose(manifest.cpu).flags, "-fPIC", "-O2")
    triple = str(manifest.raw["triple"])
    library = f"lib{manifest.name}.so"
    with tempfile.TemporaryDirectory(prefix="edgec-layers-") as temporary:
        folder = Path(temporary) / "profiled"
        shutil.copytree(directory, folder)
        for name in ("trace.h", "trace.c"):
            (folder / name).write_bytes(files("edgec.targets.c").joinpath(name).read_bytes())
        toolchain.compile_c(folder, f"{manifest.name}.c", "model.o", triple, (*flags, "-include", "trace.h"))
        toolchain.compile_c(folder, "trace.c", "trace.o", triple, ("-O2", "-fPIC", f"-DEDGEC_CALLS={calls}"))
        toolchain.compile_c(folder, "edgec_pthread.c", "pool.o", triple, ("-O2", "-fPIC"))
        objects = ["model.o", "trace.o", "pool.o"]
        if (folder / f"{manifest.name}_weights.S").exists():
            toolchain.assemble(folder, f"{manifest.name}_weights.S", "weights.o", triple)
            objects.append("weights.o")
        toolchain.link(folder, library, triple, objects, ("-shared",))
        with load(folder, runner="host", threads=threads, verify_files=False) as session:
            host: Any = session.runner
            counters = (ctypes.c_uint64 * calls).in_dll(host.library, "edgec_trace_nanoseconds")
            bound = host.bound([feeds[t.name] for t in session.inputs])
            for _ in range(3):
                bound()
            ctypes.memset(counters, 0, ctypes.sizeof(counters))
            for _ in range(rounds):
                bound()
            return [nanoseconds * 1e-9 / rounds for nanoseconds in counters]
