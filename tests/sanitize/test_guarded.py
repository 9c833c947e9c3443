"""Generated C under UBSan, its memory between forbidden pages: kernels in graphs of their own, and a whole model."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from compiled import compiled
from sanitize.compilers import zig
from sanitize.guarded import TRAP, Caught, Spread, check_guarded, compile_guarded, run_guarded
from sanitize.kernel_graphs import GRAPHS, Net

import edgec

MODEL = Path(__file__).parents[2] / "examples" / "resnet8_fashion_mnist.onnx"

# what a broken kernel might do, as a statement of unit_run, and how it must end; the unit has one input and one output
# of 5 floats and, spread, one of 5 in scratch, whose end lies at a page but for the alignment
FAULTS = {
    "signed overflow": ("volatile int big = 2147483647; big = big + 1;", "SIGILL|SIGTRAP"),
    "shift too far": ("volatile int far = 40; volatile int one = 1; one = one << far;", "SIGILL|SIGTRAP"),
    "read behind an input": ("volatile float v = ((const volatile float *)m.in[0])[16]; (void)v;", "SIGSEGV"),
    "read before an input": ("volatile float v = ((const volatile float *)m.in[0])[-1]; (void)v;", "SIGSEGV"),
    "write to an input": ("((volatile float *)(uintptr_t)m.in[0])[0] = 1;", "SIGSEGV"),
    "write behind an output": ("((volatile float *)m.out[0])[16] = 1;", "SIGSEGV"),
    "write just behind an output": ("((volatile float *)m.out[0])[5] = 1;", "beside output 0"),
    "write behind a scratch buffer": ("((volatile float *)m.scratch)[LAST + 1] = 1;", "behind a buffer of its scratch"),
    "write far behind a scratch buffer": ("((volatile float *)m.scratch)[LAST + 16] = 1;", "SIGSEGV"),
    "write before a scratch buffer": ("((volatile float *)m.scratch)[LAST - 5] = 1;", "before a buffer of its scratch"),
    "read behind the weights": ("volatile uint8_t v = unit_weights[SIZE]; (void)v;", "SIGSEGV"),
    "read before the weights": ("volatile uint8_t v = unit_weights[-65536]; (void)v;", "SIGSEGV"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_kernels(name: str, tmp_path: Path) -> None:
    net, spread = GRAPHS[name](), Spread()
    with compiled(net.graph, "host", tmp_path, segments=net.segments, arrange=spread) as session:
        expected = session.run(None, net.feeds)
    check_guarded(tmp_path, zig(), TRAP, net.feeds, expected, spread.gaps)


def test_every_kernel_header_is_in_a_graph() -> None:
    from edgec.plan.plan import Block
    from edgec.targets.c.build import make_plan
    from edgec.targets.c.emit import kernel_text
    from edgec.targets.host import target

    used: set[str] = set()
    for graph in GRAPHS.values():
        net = graph()
        plan = make_plan(net.graph, target.choose(""), "unit", 1, net.segments)
        for header in [c.header for c in plan.calls] + ["block.h"] * any(isinstance(s, Block) for s in plan.steps):
            kernel_text(header, used)
    there = {p.name for p in files("edgec.targets.c").joinpath("kernels").iterdir() if p.name.endswith(".h")}
    assert there - used <= {"act.h"}, "a kernel that no graph of kernel_graphs.py uses"  # act.h comes with activations


def test_model_as_it_ships(tmp_path: Path) -> None:
    out = tmp_path / "out"
    edgec.compile(MODEL, "host", out, shapes={"input": (1, 1, 28, 28)}, verify="none")
    feeds = {"input": np.random.default_rng(3).standard_normal((1, 1, 28, 28)).astype(np.float32)}
    with edgec.load(out) as session:
        expected = session.run(None, feeds)
    check_guarded(out, zig(), TRAP, feeds, expected)


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Net, Spread]:
    """relu(-x + constant), the first result in scratch."""
    folder = tmp_path_factory.mktemp("unit")
    net, spread = Net(), Spread()
    hidden = net.hidden(net.source(np.arange(5.0)))
    net.done(net.build.op("relu", net.build.op("add", hidden, net.const(5))))
    with compiled(net.graph, "host", folder, segments=net.segments, arrange=spread) as session:
        expected = session.run(None, net.feeds)
    check_guarded(folder, zig(), TRAP, net.feeds, expected, spread.gaps)
    return folder, net, spread


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, unit: tuple[Path, Net, Spread]) -> None:
    folder, net, spread = unit
    statement, how = FAULTS[fault]
    assert spread.gaps is not None
    last = int(spread.gaps[-1, 0]) // 4 - 1  # the last float of the last buffer in scratch
    statement = statement.replace("LAST", str(last)).replace("SIZE", str((folder / "unit_weights.bin").stat().st_size))
    source = folder / "unit.c"
    clean = source.read_text()
    before, end, after = clean.rpartition("  return EDGEC_OK;\n")
    try:
        source.write_text(f"{before}  {{ {statement} }}\n{end}{after}")
        compile_guarded(folder, folder / "broken", zig(), TRAP)
    finally:
        source.write_text(clean)
    with pytest.raises(Caught, match=re.compile(how)):
        run_guarded(folder, folder / "broken", net.feeds, spread.gaps)
