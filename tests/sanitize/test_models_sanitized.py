"""Every model of EDGEC_MODELS and every architecture under sanitizers: zig's UBSan between forbidden pages, and ASan
with UBSan by gcc or clang. Run with `pytest -m heavy tests/sanitize`."""

from __future__ import annotations

from pathlib import Path

import pytest
from compiled import HOSTS, assert_close, compiled
from sanitize.compilers import Compiler, gnu, zig
from sanitize.guarded import ADDRESS, QUICK, TRAP, Caught, Spread, Unit, check_guarded, check_net
from sanitize.kernel_graphs import GRAPHS
from sanitize.model_folder import Source, sources

from edgec.ir.types import Type
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.passes import CPU_FLOAT
from edgec.pipeline import run_pipeline
from edgec.reference import Reference
from edgec.sample_inputs import sample_inputs

pytestmark = pytest.mark.heavy

# what ASan sees and pages do not: less than the alignment beside a buffer
FAULTS = {
    "read just behind an input": "volatile float v = ((const volatile float *)m.in[0])[5]; (void)v;",
    "write just behind an output": "((volatile float *)m.out[0])[5] = 1;",
    "read just behind a scratch buffer": "volatile float v = ((volatile float *)m.scratch)[LAST + 1]; (void)v;",
    "read just before the scratch": "volatile float v = ((volatile float *)m.scratch)[-1]; (void)v;",
}


def address_compilers() -> list[Compiler]:
    """Those of gcc and clang that are there; zig links -fsanitize=address without its runtime."""
    return [c for c in (gnu("gcc"), gnu("clang")) if c is not None]


def test_a_compiler_with_asan_is_there() -> None:
    assert address_compilers(), "these tests need gcc >= 12 or clang >= 14: apt-get install gcc g++"


@pytest.mark.parametrize("target", HOSTS)
@pytest.mark.parametrize("source", sources(), ids=str)
def test_model(source: Source, target: str, tmp_path: Path) -> None:
    """The plan with its buffers apart, compiled once, then each sanitizer over it; onnxruntime says what is right."""
    model = source.place(tmp_path)
    module = import_model(model.path, ImportOptions(model.shapes, model.consts))
    run_pipeline(module, CPU_FLOAT)
    graph, spread = module.entries["main"], Spread()
    with compiled(graph, target, tmp_path, arrange=spread) as session:
        feeds = sample_inputs([(t.name, Type(t.dtype, t.shape)) for t in session.inputs], 7, model.ranges)
        expected = session.run(None, feeds)
    right = Reference(model.path, model.consts).run(feeds)
    for (name, _), array in zip(graph.outputs, expected, strict=True):
        assert_close(array, right[name], f"{source} {name}")
    check_guarded(tmp_path, zig(), QUICK, feeds, expected, spread.gaps)
    for compiler in address_compilers()[:1]:
        check_guarded(tmp_path, compiler, ADDRESS, feeds, expected, spread.gaps)


@pytest.mark.parametrize("compiler", [zig(), *address_compilers()], ids=str)
@pytest.mark.parametrize("target", HOSTS)
@pytest.mark.parametrize("name", GRAPHS)
def test_kernels(name: str, target: str, compiler: Compiler, tmp_path: Path) -> None:
    """As zig optimises for a model that ships, and by the others with ASan."""
    sanitizers = ("-O2", *TRAP) if compiler.name == "zig" else ADDRESS
    check_net(GRAPHS[name](), target, tmp_path, compiler, sanitizers)


@pytest.fixture(scope="module", params=address_compilers(), ids=str)
def unit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Unit:
    return Unit(tmp_path_factory.mktemp("unit"), request.param, ADDRESS, list(FAULTS.values()))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, unit: Unit) -> None:
    with pytest.raises(Caught, match=r"AddressSanitizer: (heap-buffer-overflow|use-after-poison)"):
        unit.run(list(FAULTS).index(fault))
