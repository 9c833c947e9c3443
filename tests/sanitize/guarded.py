"""Runs the C of an artifact once more, in a program of its own with sanitizers and forbidden pages (guarded.c).

The plan of such an artifact is spread: each scratch buffer gets pages of its own, so that a kernel that leaves its
buffer meets a forbidden page or a broken pattern instead of its neighbour.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from compiled import assert_close, emitted
from sanitize.compilers import Compiler
from sanitize.kernel_graphs import Net

from edgec.plan.plan import Plan
from edgec.runtime.manifest import read_manifest

Array = np.ndarray[Any, Any]
HERE = Path(__file__).parent
PAGE = 65536  # the largest page of any machine; also GUARD of guarded.c
ALIGNMENT = 64
FAULT = "EDGEC_FAULT"
SIGNALS = {-4: "SIGILL (undefined behaviour)", -5: "SIGTRAP (undefined behaviour)", -11: "SIGSEGV (a forbidden page)",
           -6: "SIGABRT", -7: "SIGBUS"}  # fmt: skip
TRAP = ("-fsanitize=undefined", "-fsanitize-trap=undefined")
# the optimiser takes ten times as long over the checks as it takes without them
QUICK = ("-O0", *TRAP)
ADDRESS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


class Caught(AssertionError):
    """The program did not end well."""


@dataclass
class Spread:
    """As the `arrange` of compiled(): moves the scratch buffers of a plan apart and remembers the bytes between."""

    gaps: Array | None = None

    def __call__(self, plan: Plan) -> None:
        at, gaps = 0, []
        for buffer in plan.buffers:
            size = max(1, -(-buffer.nbytes // ALIGNMENT)) * ALIGNMENT
            buffer.offset = -(-(at + PAGE + size) // PAGE) * PAGE - size  # its end lies at a page
            gaps.append((at, buffer.offset))
            at = buffer.offset + buffer.nbytes
        if plan.scratch_bytes:
            plan.scratch_bytes = (-(-at // PAGE) + 1) * PAGE
            gaps.append((at, plan.scratch_bytes))
        self.gaps = np.array(gaps, np.int64)


def compile_guarded(artifact: Path, program: Path, compiler: Compiler, sanitizers: Sequence[str]) -> None:
    """The artifact's source, guarded.c and the weights between guard pages, as one program."""
    manifest = read_manifest(artifact)
    name, cpu = manifest.name, manifest.raw["cpu"]
    isa = cpu if cpu in compiler.flags else manifest.raw["isa"]
    for file in ("guarded.c", "guarded_weights.S"):
        shutil.copy(HERE / file, artifact / file)
    weights = (artifact / f"{name}_weights.bin").stat().st_size
    flags = [*compiler.flags[isa], "-I.", *sanitizers]
    c = ["-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", f"-DMODEL={name}", "-include", f"{name}.h"]
    assembly = [f"-DWEIGHTS={name}_weights", f'-DWEIGHTS_FILE="{name}_weights.bin"', f"-DPADDING={-weights % PAGE}"]
    objects = []
    for source, own in (("guarded.c", c), (f"{name}.c", c), ("guarded_weights.S", assembly)):
        compiler.run(artifact, [*flags, *own, "-c", source, "-o", f"{source}.o"])
        objects.append(f"{source}.o")
    runtime = sanitizers if sanitizers == ADDRESS else ()  # a trap needs none
    compiler.run(artifact, [*compiler.links[isa], *runtime, *objects, "-o", str(program)])


def run_guarded(
    artifact: Path, program: Path, feeds: Mapping[str, Array], gaps: Array | None, variables: Mapping[str, str] = {}
) -> list[list[Array]]:
    """The outputs of both placements; Caught when the program is stopped."""
    manifest = read_manifest(artifact)
    files = [artifact / f for f in ("inputs.raw", "gaps.raw", "outputs.raw")]
    files[0].write_bytes(b"".join(np.ascontiguousarray(feeds[t.name]).tobytes() for t in manifest.inputs))
    files[1].write_bytes(b"" if gaps is None else gaps.tobytes())
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1", **variables}
    done = subprocess.run(
        [str(program), *map(str, files)], capture_output=True, text=True, check=False, timeout=600, env=environment
    )
    if done.returncode:
        how = SIGNALS.get(done.returncode, f"exit code {done.returncode}")
        raise Caught(f"{manifest.name} was stopped by {how}: {done.stderr.strip()[:4000]}")
    raw, at, placements = files[2].read_bytes(), 0, []
    for _ in range(2):
        outputs = []
        for tensor in manifest.outputs:
            outputs.append(np.frombuffer(raw, tensor.numpy, int(np.prod(tensor.shape)), at).reshape(tensor.shape))
            at += tensor.nbytes
        placements.append(outputs)
    assert at == len(raw)
    return placements


def check_guarded(
    artifact: Path, compiler: Compiler, sanitizers: Sequence[str], feeds: Mapping[str, Array],
    expected: Sequence[Array], gaps: Array | None = None, close: Callable[[Array, Array, str], None] = assert_close,
) -> None:  # fmt: skip
    """Compiles and runs; both placements must give the same bits, and the expected ones within the tolerance: other
    compilers and flags contract multiply-adds elsewhere."""
    program = artifact / "guarded"
    compile_guarded(artifact, program, compiler, sanitizers)
    first, second = run_guarded(artifact, program, feeds, gaps)
    names = [t.name for t in read_manifest(artifact).outputs]
    for name, a, b, wanted in zip(names, first, second, expected, strict=True):
        assert a.tobytes() == b.tobytes(), f"output '{name}' depends on where memory lies"
        close(a, wanted, f"{compiler} {name}")


def check_net(net: Net, target: str, folder: Path, compiler: Compiler, sanitizers: Sequence[str]) -> Spread:
    """The net's source, spread, under sanitizers; the interpreter says what is right."""
    spread = Spread()
    emitted(net.graph, target, folder, net.segments, spread)
    check_guarded(folder, compiler, sanitizers, net.feeds, list(net.expected().values()), spread.gaps, net.close)
    return spread


class Unit:
    """relu(-x + constant) of 5 floats, the first result in scratch: clean, and as a program in which the environment
    chooses one of the planted faults.

    A fault is a statement at the end of unit_run, in which LAST stands for the last float of the last buffer in scratch
    and SIZE for the bytes of the weights."""

    def __init__(self, folder: Path, compiler: Compiler, sanitizers: Sequence[str], faults: Sequence[str]) -> None:
        net = Net()
        hidden = net.hidden(net.source(np.arange(5.0)))
        net.op("relu", net.build.op("add", hidden, net.const(5)))
        self._folder, self._net = folder, net
        self._gaps = check_net(net, "host", folder, compiler, sanitizers).gaps
        assert self._gaps is not None
        last, size = int(self._gaps[-1, 0]) // 4 - 1, (folder / "unit_weights.bin").stat().st_size
        cases = "".join(f"    case {i}: {{ {fault} }} break;\n" for i, fault in enumerate(faults))
        chosen = "extern char *getenv(const char *);\n  const char *const fault = getenv(FAULT);"
        planted = f"  {chosen}\n  switch (fault ? *fault - 'a' : -1) {{\n{cases}  }}\n"
        planted = planted.replace("FAULT", f'"{FAULT}"').replace("LAST", str(last)).replace("SIZE", str(size))
        source = folder / "unit.c"
        before, end, after = source.read_text().rpartition("  return EDGEC_OK;\n")
        source.write_text(before + planted + end + after)
        compile_guarded(folder, folder / "planted", compiler, sanitizers)

    def run(self, fault: int | None) -> None:
        chosen = {} if fault is None else {FAULT: chr(ord("a") + fault)}
        run_guarded(self._folder, self._folder / "planted", self._net.feeds, self._gaps, chosen)
