"""Architectures without trained weights: written the same each time, sane, and built right for host and ARM."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from architectures.table import ARCHITECTURES
from compiled import assert_close

import edgec
from edgec.ir.types import Type
from edgec.sample_inputs import sample_inputs

FOLDER = Path(__file__).parents[2] / "benchmarks" / "architectures"
INPUTS = 2


def write(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER), str(folder), *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_writes_all_the_same_twice(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        done = write(tmp_path / folder)
        assert done.returncode == 0, done.stderr
    names = {p.name for p in (tmp_path / "first").iterdir()}
    assert names == {f"{name}.onnx" for name in ARCHITECTURES}
    for name in names:
        content = (tmp_path / "first" / name).read_bytes()
        assert content == (tmp_path / "second" / name).read_bytes(), f"{name} differs"
        onnx.checker.check_model(onnx.load_from_string(content), full_check=True)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    done = write(tmp_path / "out", "resnet9")
    assert done.returncode == 2
    assert "there is no architecture 'resnet9'; legal: mobilenet_v1, " in done.stderr
    assert not (tmp_path / "out").exists()


def check(name: str, target: str, folder: Path) -> None:
    architecture = ARCHITECTURES[name]
    path = folder / f"{name}.onnx"
    path.write_bytes(architecture.bytes())
    receipt = edgec.compile(path, target, folder / "out", ranges=architecture.ranges, verify_inputs=INPUTS)
    assert receipt["verification"]["pass"]
    assert receipt["verification"]["inputs"] == INPUTS
    reference = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    with edgec.load(folder / "out") as session:
        names = [t.name for t in session.outputs]
        found = []
        for seed in range(100, 100 + INPUTS):
            feeds = sample_inputs([(t.name, Type(t.dtype, t.shape)) for t in session.inputs], seed, architecture.ranges)
            found.append(session.run(None, feeds))
            for output, a, b in zip(names, found[-1], reference.run(names, feeds), strict=True):
                assert_close(a, b, f"{name} {target} {output}, seed {seed}")
    for output, first, second in zip(names, *found, strict=True):
        assert 1e-3 < np.abs(first).max() < 100, f"{output} is not of a sane size"
        assert np.abs(first - second).max() > 1e-3 * np.abs(first).max(), f"{output} does not depend on the input"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_on_host(name: str, tmp_path: Path) -> None:
    check(name, "host", tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_on_arm(name: str, tmp_path: Path) -> None:
    check(name, "arm", tmp_path)
