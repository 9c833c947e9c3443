"""Generated C and the kernel headers compile without a warning, need no C library, and live together in one program."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import compiled, native
from program import zig
from sanitize.compilers import STANDARD, ZIG_FLAGS, Compiler, found, needed
from sanitize.kernel_graphs import GRAPHS
from sanitize.model_folder import Source, sources

import edgec
from edgec.runtime.manifest import read_manifest

COMPILERS = found()
KERNELS = files("edgec.targets.c").joinpath("kernels")
HEADERS = sorted(p.name for p in KERNELS.iterdir() if p.name.endswith(".h"))
TARGETS = ("host:avx2", "host:avx512", "arm")
SMALL = ("architecture_ds_cnn", "architecture_tcn")
CXX = ("-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")


def build(name: str, target: str, folder: Path) -> Path:
    source = next(s for s in sources() if s.name == name)
    return build_source(source, target, folder)


def build_source(source: Source, target: str, folder: Path) -> Path:
    model = source.place(folder)
    options: dict[str, Any] = dict(shapes=model.shapes, consts=model.consts, verify="none")
    edgec.compile(model.path, target, folder / model.name, **options)
    return folder / model.name


def compile_clean(artifact: Path, compiler: Compiler) -> str:
    """Every C file of an artifact with warnings as errors; returns the name of the model's object."""
    manifest = read_manifest(artifact)
    name, flags = manifest.name, compiler.flags[manifest.raw["isa"]]
    freestanding = "-ffreestanding" in flags
    for source in (f"{name}.c", "edgec_mem.c", *(() if freestanding else ("edgec_pthread.c", "example_main.c"))):
        more = ("-ffreestanding",) if source == "edgec_mem.c" else ()
        compiler.run(artifact, [*flags, *STANDARD, "-O2", *more, "-I.", "-c", source, "-o", f"{source}.o"])
    return f"{name}.c.o"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [build(name, "host", tmp_path_factory.mktemp("artifacts")) for name in SMALL]


@pytest.mark.parametrize("compiler", COMPILERS, ids=str)
def test_interface_is_cxx(compiler: Compiler, artifacts: list[Path], tmp_path: Path) -> None:
    headers = [f'#include "{a.name}.h"\n' for a in artifacts]
    calls = [f"  if ({a.name}_run(0, 0, 0, 0, 0) != EDGEC_NULL_ARGUMENT) return 1;\n" for a in artifacts]
    includes = [f"-I{a}" for a in artifacts]
    text = f"{''.join(headers)}int main() {{\n{''.join(calls)}  return 0;\n}}\n"
    (tmp_path / "main.cc").write_text(text)
    isa = read_manifest(artifacts[0]).raw["isa"]
    compiler.run(tmp_path, [*compiler.flags[isa], *CXX, *includes, "-c", "main.cc", "-o", "main.o"], cxx=True)
    libraries = [str(a / f"lib{a.name}.a") for a in artifacts]
    compiler.run(tmp_path, [*compiler.links[isa], "main.o", *libraries, "-o", "main"])  # as C: without its library
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == 0


def test_two_models_in_one_program(artifacts: list[Path], tmp_path: Path) -> None:
    """Both run, each with its own weights, and each gives what it gives alone."""
    rng = np.random.default_rng(1)
    body, expected = [], []
    for artifact in artifacts:
        name, upper = artifact.name, artifact.name.upper()
        manifest = read_manifest(artifact)
        (given,) = [rng.standard_normal(t.shape).astype(np.float32) for t in manifest.inputs]
        given.tofile(tmp_path / f"{name}.raw")
        with edgec.load(artifact) as session:
            expected.append(session.run(None, {manifest.inputs[0].name: given})[0].ravel())
        body.append(
            f"  {{\n    static ALIGNED float x[{upper}_INPUT_0_SIZE], y[{upper}_OUTPUT_0_SIZE];\n"
            f"    static ALIGNED unsigned char scratch[{upper}_SCRATCH_BYTES + 1];\n"
            f"    const void *const inputs[] = {{x}};\n    void *const outputs[] = {{y}};\n"
            f'    FILE *file = fopen("{name}.raw", "rb");\n'
            f"    if (!file || fread(x, 1, sizeof x, file) != sizeof x) return 2;\n    fclose(file);\n"
            f"    if ({name}_run(inputs, outputs, NULL, scratch, NULL)) return 1;\n"
            f"    fwrite(y, 1, sizeof y, stdout);\n  }}\n"
        )
    includes = "".join(f'#include "{a.name}.h"\n' for a in artifacts)
    (tmp_path / "main.c").write_text(
        f"#include <stdio.h>\n{includes}#define ALIGNED __attribute__((aligned(64)))\n"
        f"int main(void) {{\n{''.join(body)}  return 0;\n}}\n"
    )
    libraries = [str(a / f"lib{a.name}.a") for a in artifacts]
    zig(tmp_path, "-std=gnu11", *(f"-I{a}" for a in artifacts), "main.c", *libraries, "-o", "main")
    done = subprocess.run([str(tmp_path / "main")], cwd=tmp_path, capture_output=True, check=True)
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.float32), np.concatenate(expected))


@pytest.mark.parametrize("compiler", COMPILERS, ids=str)
def test_artifacts_compile_and_need_no_c_library(compiler: Compiler, artifacts: list[Path]) -> None:
    """What is left undefined is at most what edgec_mem.c defines: the linker would name anything else."""
    for artifact in artifacts:
        name, flags = artifact.name, compiler.flags[read_manifest(artifact).raw["isa"]]
        made = compile_clean(artifact, compiler)
        compiler.run(artifact, ["-c", f"{name}_weights.S", "-o", "weights.o", *flags])
        compiler.run(artifact, [*flags, "-nostdlib", "-static", f"-Wl,-e,{name}_run", made, "weights.o",
                                "edgec_mem.c.o", "-o", "alone"])  # fmt: skip


@pytest.mark.parametrize(("compiler", "isa"), [(c, isa) for c in COMPILERS for isa in sorted(c.flags)], ids=str)
def test_kernel_headers(compiler: Compiler, isa: str, tmp_path: Path) -> None:
    """Together: zig knows every instruction set, gcc those of this machine."""
    (tmp_path / "all.c").write_text("".join(f'#include "{header}"\n' for header in HEADERS))
    compiler.run(tmp_path, [*compiler.flags[isa], *STANDARD, "-O1", f"-I{KERNELS}", "-c", "all.c"])


def test_each_kernel_header_includes_what_it_needs(tmp_path: Path) -> None:
    flags = ZIG_FLAGS[native()[0].isa.name]
    for header in HEADERS:
        (tmp_path / f"{header}.c").write_text(f'#include "{header}"\n')
    zig(tmp_path, *flags, "-std=gnu11", f"-I{KERNELS}", "-c", *(f"{h}.c" for h in HEADERS))


@pytest.mark.heavy
def test_cmake_builds_the_folder(artifacts: list[Path], tmp_path: Path) -> None:
    """With gcc's spelling of the flags, which is not zig's."""
    assert shutil.which("cmake"), "this test needs CMake: apt-get install cmake"
    (gcc,) = needed("gcc")
    for artifact in artifacts:
        made = tmp_path / artifact.name
        for command in (["-S", artifact, "-B", made, f"-DCMAKE_C_COMPILER={gcc.command[0]}"], ["--build", made]):
            done = subprocess.run(["cmake", *map(str, command)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        assert {p.name for p in made.glob("*.a")} == {f"lib{artifact.name}.a", f"lib{artifact.name}_pthread.a"}


@pytest.mark.heavy
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", sources(), ids=str)
def test_every_model(source: Source, target: str, tmp_path: Path) -> None:
    """gcc and clang must be there; zig compiles with the same warnings in every build."""
    artifact = build_source(source, target, tmp_path)
    isa = read_manifest(artifact).raw["isa"]
    for compiler in needed("gcc", "clang"):
        if isa in compiler.flags:
            compile_clean(artifact, compiler)


@pytest.mark.heavy
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", GRAPHS)
def test_every_kernel_in_use(name: str, target: str, tmp_path: Path) -> None:
    net = GRAPHS[name]()
    compiled(net.graph, target, tmp_path, segments=net.segments).close()
    isa = read_manifest(tmp_path).raw["isa"]
    for compiler in needed("gcc", "clang"):
        if isa in compiler.flags:
            compile_clean(tmp_path, compiler)
