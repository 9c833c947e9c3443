"""Graph -> Plan -> C -> objects -> the files of an artifact. What the CPU targets share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from edgec.ir.graph import Graph
from edgec.plan.memory import plan_memory
from edgec.plan.plan import Plan
from edgec.plan.schedule import Segment
from edgec.targets.c import toolchain
from edgec.targets.c.devices import Device
from edgec.targets.c.emit import Identity, emit_source
from edgec.targets.c.emit_interface import emit_cmake, emit_example, emit_header
from edgec.targets.c.lower.blocks import lower_graph
from edgec.targets.c.lower.context import Lowering
from edgec.targets.c.lower.row_schedule import schedule_graph
from edgec.targets.c.lower.table import LOWER
from edgec.targets.c.object_size import code_bytes
from edgec.targets.c.stack_bound import FLAGS as STACK_FLAGS
from edgec.targets.c.stack_bound import stack_bound
from edgec.targets.c.weights import TAG_BYTES, Storage, check_inline, emit_weights, tagged
from edgec.targets.files import temporary_folder, write_file

POOL_FILES = ("edgec.h", "edgec_pthread.h", "edgec_pthread.c")
RUNTIME_FILES = (*POOL_FILES, "edgec_mem.c")
# the entry of the image, which is not shipped as a source
PROGRAM = "edgec_program.c"
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
    """The files of an artifact, the bytes of its code and constants other than weights, and a bound of its stack."""

    files: dict[str, bytes]
    code_bytes: int
    stack_bytes: int | None


def make_plan(
    graph: Graph, device: Device, name: str, threads: int, segments: Sequence[Segment] | None = None
) -> Plan:
    """Kernel calls with memory planned, for at most `threads` threads; `segments` stands in for the schedule.
    UnsupportedError with every op that has no kernel."""
    ctx = Lowering(graph, device.isa, name)
    if segments is None:
        segments = schedule_graph(graph, device.isa, device.memory, threads)
    lower_graph(ctx, LOWER, segments, threads)
    plan = ctx.finish()
    plan_memory(plan)
    return plan


def make_sources(
    plan: Plan, device: Device, identity: Identity, platform: Platform, storage: Storage = "linked"
) -> dict[str, bytes]:
    """What a compiler is given, and what ships beside it."""
    name = plan.name
    state_at = len(plan.weights)
    weights = plan.weights + plan.state_initial
    if storage == "inline":
        check_inline(name, len(weights))
    if storage == "file":
        weights, state_at = tagged(weights), state_at + TAG_BYTES
    plan.weights = weights
    out: dict[str, bytes] = {
        f"{name}.c": emit_source(plan, identity, state_at, storage).encode(),
        f"{name}.h": emit_header(plan, identity, storage).encode(),
        "CMakeLists.txt": emit_cmake(name, " ".join(device.flags), storage).encode(),
        "example_main.c": emit_example(plan, storage).encode(),
    }
    if storage != "inline":
        out[f"{name}_weights.bin"] = weights
    if storage == "linked":
        out[f"{name}_weights.S"] = emit_weights(name, platform.macho).encode()
    for file in RUNTIME_FILES:
        out[file] = files("edgec.runtime").joinpath("c", file).read_bytes()
    return out


def make_files(
    plan: Plan, device: Device, identity: Identity, platform: Platform, progress: Callable[[str], None],
    storage: Storage = "linked",
) -> Built:  # fmt: skip
    """Every file of the artifact but the manifest and the receipt. Compiles in a folder of its own."""
    name = plan.name
    out = make_sources(plan, device, identity, platform, storage)
    weights = plan.weights
    # Mach-O has no section for the sizes of frames
    flags = (*device.flags, "-fPIC", "-O2", *(() if platform.macho else STACK_FLAGS))
    with temporary_folder("edgec-") as folder:
        for file, content in out.items():
            write_file(folder / file, content)
        progress(f"compiling {name}.c for {platform.triple}")
        # without -ffreestanding, copies may become calls of memcpy: every system has it, and edgec_mem.c is there
        toolchain.compile_c(folder, f"{name}.c", f"{name}.o", platform.triple, flags)
        objects = [f"{name}.o", *_weights_object(folder, name, platform.triple, out)]
        toolchain.archive(folder, f"lib{name}.a", objects)
        out[f"lib{name}.a"] = (folder / f"lib{name}.a").read_bytes()
        if platform.shared:
            progress(f"linking lib{name}.so")
            out[f"lib{name}.so"] = link_library(folder, name, platform.triple, objects)
        if platform.image:
            progress(f"linking {name}.elf for the emulator")
            out[f"{name}.elf"] = link_image(folder, name, device, objects, len(weights) if storage == "file" else None)
        compiled = (folder / f"{name}.o").read_bytes()
        size = code_bytes(compiled) - (len(weights) if storage == "inline" else 0)
        stack = stack_bound(compiled, tuple(f"{name}_{f}" for f in ("info", "init", "reset", "run")))
        # the source does not read the bound, so that it may be known after compiling
        out[f"{name}.h"] = emit_header(plan, identity, storage, stack).encode()
    return Built(out, size, stack)


def make_loadable(plan: Plan, device: Device, identity: Identity, platform: Platform) -> dict[str, bytes]:
    """The library or image alone, for a session of something that does not ship. Plans that differ in nothing but
    their weights are compiled once."""
    name = plan.name
    sources = make_sources(plan, device, identity, platform)
    flags = (*device.flags, "-fPIC", "-O2")
    read = {file: content for file, content in sources.items() if file.endswith((".c", ".h"))}
    compiled = _compiled(f"{name}.c", tuple(read.items()), platform.triple, flags)
    with temporary_folder("edgec-") as folder:
        for file, content in {**sources, f"{name}.o": compiled}.items():
            write_file(folder / file, content)
        objects = [f"{name}.o", *_weights_object(folder, name, platform.triple, sources)]
        if platform.shared:
            return {f"lib{name}.so": link_library(folder, name, platform.triple, objects)}
        return {f"{name}.elf": link_image(folder, name, device, objects, None)}


@lru_cache(maxsize=16)
def _compiled(source: str, sources: tuple[tuple[str, bytes], ...], triple: str, flags: tuple[str, ...]) -> bytes:
    """The object of `source`."""
    with temporary_folder("edgec-") as folder:
        for file, content in sources:
            write_file(folder / file, content)
        toolchain.compile_c(folder, source, "compiled.o", triple, flags)
        return (folder / "compiled.o").read_bytes()


def _weights_object(folder: Path, name: str, triple: str, sources: Mapping[str, bytes]) -> list[str]:
    """The object that holds the weights, where they are linked in and there are any."""
    if not sources.get(f"{name}_weights.bin") or f"{name}_weights.S" not in sources:
        return []
    toolchain.assemble(folder, f"{name}_weights.S", f"{name}_weights.o", triple)
    return [f"{name}_weights.o"]


def link_library(folder: Path, name: str, triple: str, objects: Sequence[str]) -> bytes:
    """libNAME.so of these objects and the thread pool."""
    pool = tuple((file, (folder / file).read_bytes()) for file in POOL_FILES)
    write_file(folder / "edgec_pthread.o", _compiled("edgec_pthread.c", pool, triple, ("-O2", "-fPIC")))
    # the same bytes come out without -O2, but zig would first make itself a runtime of its sanitizer
    toolchain.link(
        folder, f"lib{name}.so", triple, [*objects, "edgec_pthread.o"],
        ("-shared", "-O2", "-s", "-Wl,--build-id=none", f"-Wl,-soname,lib{name}.so"),
    )  # fmt: skip
    return (folder / f"lib{name}.so").read_bytes()


def link_image(folder: Path, name: str, device: Device, objects: Sequence[str], brought: int | None) -> bytes:
    """NAME.elf of these objects: the emulator's. `brought` are the bytes of weights that are handed to each call."""
    toolchain.compile_c(folder, "edgec_mem.c", "edgec_mem.o", EMULATED, (*device.flags, "-O2", "-ffreestanding"))
    write_file(folder / PROGRAM, files("edgec.runtime").joinpath("c", PROGRAM).read_bytes())
    model = (f'-DEDGEC_HEADER="{name}.h"', f"-DEDGEC_MODEL(function)={name}_##function")
    given = () if brought is None else (f"-DEDGEC_BROUGHT={brought}",)
    toolchain.compile_c(folder, PROGRAM, "edgec_program.o", EMULATED, ("-O2", "-ffreestanding", *model, *given))
    toolchain.link(
        folder, f"{name}.elf", EMULATED, [*objects, "edgec_mem.o", "edgec_program.o"],
        ("-nostdlib", "-static", "-Wl,-e,_start"),
    )  # fmt: skip
    return (folder / f"{name}.elf").read_bytes()
