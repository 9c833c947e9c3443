"""Generated C under UBSan, its memory between forbidden pages: kernels in graphs of their own, and a whole model."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from compiled import HOSTS
from sanitize.compilers import zig
from sanitize.guarded import QUICK, Caught, Unit, check_guarded, check_net
from sanitize.kernel_graphs import GRAPHS

import edgec

MODEL = Path(__file__).parents[2] / "examples" / "resnet8_fashion_mnist.onnx"

# what a broken kernel might do, as a statement of unit_run, and how it must end; the unit has one input and one output
# of 5 floats and, spread, one of 5 in scratch, whose end lies at a page but for the alignment
FAULTS = {
    "signed overflow": ("volatile int big = 2147483647; big = big + 1;", "SIGILL|SIGQUICK"),
    "shift too far": ("volatile int far = 40; volatile int one = 1; one = one << far;", "SIGILL|SIGQUICK"),
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


@pytest.mark.parametrize("target", HOSTS)
@pytest.mark.parametrize("name", GRAPHS)
def test_kernels(name: str, target: str, tmp_path: Path) -> None:
    check_net(GRAPHS[name](), target, tmp_path, zig(), QUICK)


def test_every_kernel_header_is_in_a_graph() -> None:
    from edgec.plan.plan import Block
    from edgec.targets.arm import target as arm
    from edgec.targets.c.build import make_plan
    from edgec.targets.c.emit_kernels import kernel_text
    from edgec.targets.host import target

    used: set[str] = set()
    for name, graph in GRAPHS.items():
        net = graph()
        # and a core that computes in halves
        for device in (target.choose(""), *([arm.choose("cortex-a76")] if name.endswith("of_halves") else [])):
            plan = make_plan(net.graph, device, "unit", 1, net.segments)
            for header in [c.header for c in plan.calls] + ["block.h"] * any(isinstance(s, Block) for s in plan.steps):
                kernel_text(header, used)
    there = {p.name for p in files("edgec.targets.c").joinpath("kernels").iterdir() if p.name.endswith(".h")}
    # those of activations come with them, and no machine here runs the rest (test_qmmla, test_qamx)
    others = {"act.h", "hact.h", "sact.h", "qmmla.h", "qamx.h", "amx.h"}
    assert there - used <= others, "a kernel that no graph uses"


def test_model_as_it_ships(tmp_path: Path) -> None:
    out = tmp_path / "out"
    edgec.compile(MODEL, "host", out, shapes={"input": (1, 1, 28, 28)}, verify="none")
    feeds = {"input": np.random.default_rng(3).standard_normal((1, 1, 28, 28)).astype(np.float32)}
    with edgec.load(out) as session:
        expected = session.run(None, feeds)
    check_guarded(out, zig(), QUICK, feeds, expected)


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    return Unit(tmp_path_factory.mktemp("unit"), zig(), QUICK, [statement for statement, _ in FAULTS.values()])


def test_no_fault_is_caught_where_none_is(unit: Unit) -> None:
    unit.run(None)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, unit: Unit) -> None:
    with pytest.raises(Caught, match=FAULTS[fault][1]):
        unit.run(list(FAULTS).index(fault))
