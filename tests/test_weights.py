"""Where weights live: linked, in the C file, or brought by the program; and what C and C++ programs make of each."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from program import zig
from test_build import EXAMPLES, MODEL, SHAPE
from test_cli import fails

import edgec
from edgec.runtime.errors import RunError

NAME = MODEL.stem
SHAPES = {"input": (1, 1, 28, 28)}
X = np.random.default_rng(3).standard_normal((1, 1, 28, 28)).astype(np.float32)


def machine_flags(folder: Path) -> list[str]:
    isa = json.loads((folder / "manifest.json").read_text())["isa"]
    return {"avx512": ["-mcpu=x86_64_v4"], "avx2": ["-mcpu=x86_64_v3"]}.get(isa, [])


def answer(folder: Path) -> np.ndarray:
    with edgec.load(folder) as session:
        return session.run(None, {"input": X})[0]


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("linked")
    edgec.compile(MODEL, "host", folder / "out", shapes=SHAPES)
    return answer(folder / "out")


def test_single_file(linked: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "out"
    receipt = edgec.compile(MODEL, "host", out, shapes=SHAPES, weights="inline")
    names = {p.name for p in out.iterdir()}
    assert not names & {f"{NAME}_weights.bin", f"{NAME}_weights.S"}
    np.testing.assert_array_equal(answer(out), linked)
    assert receipt["memory"]["code_bytes"] < 100_000 < receipt["memory"]["weights_bytes"]
    # three files are all that a program needs
    for name in (f"{NAME}.c", f"{NAME}.h", "edgec.h", "example_main.c"):
        shutil.copy(out / name, tmp_path)
    zig(tmp_path, "-std=gnu11", *machine_flags(out), "-c", f"{NAME}.c", "-o", "model.o")
    zig(tmp_path, "-std=gnu11", "example_main.c", "model.o", "-o", "example")
    X.tofile(tmp_path / "x.raw")
    done = subprocess.run(["./example", "x.raw"], cwd=tmp_path, capture_output=True, text=True, check=True)
    np.testing.assert_allclose([float(v) for v in done.stdout.split()], linked.ravel(), rtol=1e-5)


@pytest.mark.parametrize("target", ["host", "arm"])
def test_weights_file(target: Literal["host", "arm"], linked: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "out"
    edgec.compile(MODEL, target, out, shapes=SHAPES, weights="file")
    np.testing.assert_allclose(answer(out), linked, rtol=1e-4, atol=1e-5)
    library = (out / f"lib{NAME}.a").read_bytes()
    weights = (out / f"{NAME}_weights.bin").read_bytes()
    assert len(library) < len(weights)
    assert weights[4096:4160] not in library
    if target == "host":
        X.tofile(out / "x.raw")
        zig(out, "example_main.c", f"lib{NAME}.a", "-o", "example")
        done = subprocess.run(["./example", "x.raw"], cwd=out, capture_output=True, text=True, check=True)
        np.testing.assert_allclose([float(v) for v in done.stdout.split()], linked.ravel(), rtol=1e-5)
    # weights of another build: the code refuses them, since answers would be wrong
    damaged = bytearray(weights)
    damaged[20] ^= 1
    (out / f"{NAME}_weights.bin").write_bytes(damaged)
    with pytest.raises(RunError, match="not those that the model was compiled with"):
        edgec.load(out, verify_files=False)


CPLUSPLUS = r"""
#include <stdio.h>
#include "one/first.h"
#include "two/second.h"
#include "two/second_labels.h"

alignas(64) static float x[FIRST_INPUT_0_SIZE], y[FIRST_OUTPUT_0_SIZE], z[SECOND_OUTPUT_0_SIZE];
alignas(64) static unsigned char scratch[FIRST_SCRATCH_BYTES + SECOND_SCRATCH_BYTES];
alignas(64) static unsigned char weights[SECOND_WEIGHTS_BYTES];

static bool read(const char *path, void *to, size_t bytes) {
  FILE *file = fopen(path, "rb");
  const bool ok = file && fread(to, 1, bytes, file) == bytes;
  if (file) fclose(file);
  return ok;
}

int main() {
  if (!read("x.raw", x, sizeof x) || !read("two/second_weights.bin", weights, sizeof weights)) return 2;
  const void *const inputs[] = {x};
  void *const first[] = {y}, *const second[] = {z};
  if (first_init(nullptr) || second_init(nullptr, weights)) return 3;
  if (first_run(inputs, first, nullptr, scratch, nullptr)) return 4;
  if (second_run(inputs, second, nullptr, scratch, nullptr, weights)) return 5;
  if (second_run(inputs, second, nullptr, scratch, nullptr, nullptr) != EDGEC_NULL_ARGUMENT) return 6;
  if (second_run(inputs, second, nullptr, scratch, nullptr, weights + 4) != EDGEC_MISALIGNED) return 7;
  if (second_run(inputs, second, nullptr, scratch, nullptr, scratch) != EDGEC_BAD_WEIGHTS) return 8;
  for (int i = 0; i < SECOND_OUTPUT_0_SIZE; i++) printf("%.9g %.9g\n", y[i], z[i]);
  return second_label(9)[0] == 'A' ? 0 : 9;
}
"""


def test_two_models_in_one_cplusplus_program(linked: np.ndarray, tmp_path: Path) -> None:
    edgec.compile(MODEL, "host", tmp_path / "one", shapes=SHAPES, name="first", verify="none")
    labels = EXAMPLES / "fashion_mnist_labels.txt"
    edgec.compile(MODEL, "host", tmp_path / "two", shapes=SHAPES, name="second", verify="none", weights="file",
                  labels=labels)  # fmt: skip
    (tmp_path / "main.cpp").write_text(CPLUSPLUS)
    X.tofile(tmp_path / "x.raw")
    zig(tmp_path, "-std=c++11", "-nostdinc++", "-nostdlib++", "-Ione", "main.cpp", "one/libfirst.a",
        "two/libsecond.a", "-o", "both")  # fmt: skip
    done = subprocess.run(["./both"], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = np.array([line.split() for line in done.stdout.splitlines()], np.float32)
    np.testing.assert_array_equal(found[:, 0], linked.ravel())
    np.testing.assert_array_equal(found[:, 1], linked.ravel())


def test_refusals(tmp_path: Path) -> None:
    build = ("build", str(MODEL), "-t", "arm", *SHAPE)
    fails(tmp_path, 2, "legal: linked, inline (--single-file), file", *build, "--weights", "cloud")
    fails(tmp_path, 2, "cannot be given with it", *build, "--single-file", "--weights", "file")


def test_large_weights_do_not_go_into_a_c_file() -> None:
    from edgec.ir.errors import UsageError
    from edgec.targets.c.weights import INLINE_LIMIT, check_inline

    check_inline("m", INLINE_LIMIT)
    with pytest.raises(UsageError, match="1,048,577 bytes, and at most 1,048,576"):
        check_inline("m", INLINE_LIMIT + 1)
