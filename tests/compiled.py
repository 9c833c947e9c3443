"""Compiles a graph of the IR for a target and loads it: what kernel tests compare with the interpreter."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgec.artifact import MANIFEST, sha256, to_json
from edgec.ir.graph import Graph
from edgec.plan.plan import Plan
from edgec.plan.schedule import Segment
from edgec.runtime.cpu import check_features, cpu_features
from edgec.runtime.errors import RunError
from edgec.runtime.session import Session, load
from edgec.targets.arm import target as arm
from edgec.targets.c.build import Platform, make_files, make_plan, make_sources
from edgec.targets.c.devices import Device
from edgec.targets.c.element import extensions_of
from edgec.targets.c.emit import Identity
from edgec.targets.c.isa import SCALAR
from edgec.targets.host import target as host


def native() -> list[Device]:
    """The kernel sets that this CPU runs, the best first."""
    found = []
    for device in host.devices().values():
        try:
            check_features(device.name, device.features, cpu_features())
        except RunError:
            continue
        found.append(device)
    best = host.choose("")
    return sorted(found, key=lambda device: device != best)


SCALAR_DEVICE = Device("scalar", "no vectors but the compiler's", SCALAR, ("-DEDGEC_SCALAR",), ())
HOSTS = [f"host:{device.name}" for device in native()]
TARGETS = [*HOSTS, "arm"]
# a core that multiplies bf16: of the emulators, qemu alone does
BF16_CORES = ["arm:neoverse-n2"] if shutil.which("qemu-aarch64") else []
PLAIN = [HOSTS[0], "arm"]  # for kernels that know no instruction set: one compiler, two machines


def _planned(
    graph: Graph, target: str, threads: int, segments: Sequence[Segment] | None, arrange: Callable[[Plan], None]
) -> tuple[Plan, Device, Platform]:
    family, _, cpu = target.partition(":")
    module: Any = {"arm": arm, "host": host}[family]
    device = module.choose(cpu)
    plan = make_plan(graph, device, "unit", threads, segments)
    arrange(plan)
    return plan, device, module.platform("linux")


def _write(folder: Path, files: Mapping[str, bytes], plan: Plan, device: Device, target: str) -> None:
    """The files and a manifest of what a Session reads."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
        if name.endswith(".elf"):
            (folder / name).chmod(0o755)

    def ports(values: Any) -> list[dict[str, Any]]:
        return [{"name": p.name, "dtype": p.type.dtype, "shape": list(p.type.dims)} for p in values]

    manifest = {
        "format": 1, "name": "unit", "target": target.partition(":")[0], "cpu": device.name, "isa": device.isa.name,
        "inputs": ports(plan.inputs), "outputs": ports(plan.outputs), "states": ports(plan.states),
        "extensions": extensions_of(plan, device.isa) if target.startswith("arm") else [],
        "scratch_bytes": plan.scratch_bytes, "state_bytes": plan.state_bytes,
        "files": {n: sha256(c) for n, c in files.items()},
    }  # fmt: skip
    (folder / MANIFEST).write_bytes(to_json(manifest))


def emitted(
    graph: Graph, target: str, folder: Path, segments: Sequence[Segment] | None = None,
    arrange: Callable[[Plan], None] = lambda _: None,
) -> None:  # fmt: skip
    """The sources alone, for other compilers."""
    plan, device, platform = _planned(graph, target, 4, segments, arrange)
    _write(folder, make_sources(plan, device, Identity("test", target), platform), plan, device, target)


def compiled(
    graph: Graph, target: str, folder: Path, threads: int = 4, segments: Sequence[Segment] | None = None,
    arrange: Callable[[Plan], None] = lambda _: None,
) -> Session:  # fmt: skip
    """`target` is `host`, `host:avx2`, `arm` …; the session runs `threads` threads, `segments` replace the schedule,
    `arrange` may move the plan's buffers."""
    plan, device, platform = _planned(graph, target, threads, segments, arrange)
    files = make_files(plan, device, Identity("test", target), platform, lambda _: None).files
    _write(folder, files, plan, device, target)
    return load(folder, threads=threads if target.startswith("host") else 1)


def block_and_alone(
    graph: Graph, target: str, folder: Path, step: int, feeds: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """The first output of the graph as one block of `step` rows at a time, and of one operator after the other."""
    found = []
    for segments in ([Segment(tuple(graph.ops), step)], [Segment((op,), 0) for op in graph.ops]):
        part = folder / str(len(segments))
        part.mkdir()
        with compiled(graph, target, part, segments=segments) as session:
            found.append(session.run(None, feeds)[0])
    return found


def assert_close(found: np.ndarray, expected: np.ndarray, label: str) -> None:
    """The project's tolerance for one output."""
    from edgec.receipt import compare

    result = compare(found, expected)
    if not result["pass"]:
        worst = np.flatnonzero(~np.isclose(found.astype(float), expected.astype(float), 1e-3, 1e-5, equal_nan=True))[:8]
        raise AssertionError(f"{label}: {result}\n{found.flat[worst]}\n{expected.flat[worst]} at {worst}")
