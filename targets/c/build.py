"""Graph -> Plan -> C -> objects -> the files of an artifact. What the CPU targets share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edgec.ir.graph import Graph
from edgec.plan.memory import plan_memory
from edgec.plan.plan import Plan
from edgec.plan.schedule import Segment
from edgec.targets.c import toolchain
from edgec.targets.c.devices import Device
from edgec.targets.c.emit import Identity, emit_source, emit_weights
from edgec.targets.c.emit_interface import emit_cmake, emit_example, emit_header
from edgec.targets.c.lower.blocks import lower_graph, schedule_graph
from edgec.targets.c.lower.context import Lowering
from edgec.targets.c.lower.table import LOWER
from edgec.targets.c.object_size import code_bytes

RUNTIME_FILES = ("edgec.h", "edgec_pthread.h", "edgec_pthread.c", "edgec_mem.c")
EMULATED = "aarch64-freestanding-none"


@dataclass(frozen=True)
class Platform:
    """`triple`: zig's target; `shared`: make libNAME.so to load into this process; `image`: make NAME.elf."""

    triple: str
    macho: bool = False
    shared: bool = False
    image: bool = False


@dataclass(frozen=True)
class Built:
    """The files of an artifact, and the bytes of its code and constants other than weights."""

    files: dict[str, bytes]
    code_bytes: int


def make_plan(
    graph: Graph, device: Device, name: str, threads: int, segments: Sequence[Segment] | None = None
) -> Plan:
    """Kernel calls with memory planned, for at most `threads` threads; `segments` stands in for the schedule.
    UnsupportedError with every op that has no kernel."""
    ctx = Lowering(graph, device.isa, name)
    lower_graph(ctx, LOWER, schedule_graph(graph, device.isa, device.memory) if segments is None else segments, threads)
    plan = ctx.finish()
    plan_memory(plan)
    return plan


def make_files(
    plan: Plan, device: Device, identity: Identity, platform: Platform, progress: Callable[[str], None]
) -> Built:
    """Every file of the artifact but the manifest and the receipt. Compiles in a folder of its own."""
    name = plan.name
    state_at = len(plan.weights)
    weights = plan.weights + plan.state_initial
    plan.weights = weights
    flags = (*device.flags, "-fPIC", "-O2")
    out: dict[str, bytes] = {
        f"{name}.c": emit_source(plan, identity, state_at).encode(),
        f"{name}.h": emit_header(plan, identity).encode(),
        f"{name}_weights.bin": weights,
        f"{name}_weights.S": emit_weights(name, platform.macho).encode(),
        "CMakeLists.txt": emit_cmake(name, " ".join(device.flags)).encode(),
        "example_main.c": emit_example(plan).encode(),
    }
    for file in RUNTIME_FILES:
        out[file] = files("edgec.runtime").joinpath("c", file).read_bytes()
    with tempfile.TemporaryDirectory(prefix="edgec-") as temporary:
        folder = Path(temporary)
        for file, content in out.items():
            (folder / file).write_bytes(content)
        progress(f"compiling {name}.c for {platform.triple}")
        # without -ffreestanding, copies may become calls of memcpy: every system has it, and edgec_mem.c is there
        toolchain.compile_c(folder, f"{name}.c", f"{name}.o", platform.triple, flags)
        objects = [f"{name}.o"]
        if weights:
            toolchain.assemble(folder, f"{name}_weights.S", f"{name}_weights.o", platform.triple)
            objects.append(f"{name}_weights.o")
        toolchain.archive(folder, f"lib{name}.a", objects)
        out[f"lib{name}.a"] = (folder / f"lib{name}.a").read_bytes()
        if platform.shared:
            progress(f"linking lib{name}.so")
            toolchain.compile_c(folder, "edgec_pthread.c", "edgec_pthread.o", platform.triple, ("-O2", "-fPIC"))
            toolchain.link(
                folder, f"lib{name}.so", platform.triple, [*objects, "edgec_pthread.o"],
                ("-shared", "-s", "-Wl,--build-id=none", f"-Wl,-soname,lib{name}.so"),
            )  # fmt: skip
            out[f"lib{name}.so"] = (folder / f"lib{name}.so").read_bytes()
        if platform.image:
            progress(f"linking {name}.elf for the emulator")
            toolchain.compile_c(
                folder, "edgec_mem.c", "edgec_mem.o", EMULATED, (*device.flags, "-O2", "-ffreestanding")
            )
            exports = [f"-Wl,-u,{name}_{f}" for f in ("info", "init", "reset", "run")]
            toolchain.link(
                folder, f"{name}.elf", EMULATED, [*objects, "edgec_mem.o"],
                ("-nostdlib", "-static", f"-Wl,-e,{name}_run", *exports),
            )  # fmt: skip
            out[f"{name}.elf"] = (folder / f"{name}.elf").read_bytes()
        size = code_bytes((folder / f"{name}.o").read_bytes())
    return Built(out, size)
