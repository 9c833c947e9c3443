"""The shipped example from ONNX to a verified artifact, through the command a user types."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from program import zig

import edgec

EXAMPLES = Path(__file__).parent.parent / "examples"
MODEL = EXAMPLES / "resnet8_fashion_mnist.onnx"
SHAPE = ("--shape", "input=1x1x28x28")


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgec", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize("target", ["host", "arm", "arm:cortex-a76"])
def test_example(target: str, tmp_path: Path) -> None:
    done = command("build", str(MODEL), "-t", target, "-o", "out", *SHAPE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    receipt = json.loads((tmp_path / "out" / "receipt.json").read_text())
    assert receipt["verification"]["pass"]
    assert receipt["verification"]["outputs"]["logits"]["relative_to_max"] < 2e-6
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {f"{MODEL.stem}{s}" for s in (".c", ".h", "_weights.S", "_weights.bin")} <= names
    assert {f"lib{MODEL.stem}.a", "manifest.json", "CMakeLists.txt", "example_main.c", "edgec.h"} <= names
    again = command("build", str(MODEL), "-t", target, "-o", "second", *SHAPE, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    for path in sorted((tmp_path / "out").iterdir()):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), f"{path.name} differs"
    cached = command("build", str(MODEL), "-t", target, "-o", "out", *SHAPE, cwd=tmp_path)
    assert "unchanged" in cached.stdout


def test_accuracy_and_api(tmp_path: Path) -> None:
    data = EXAMPLES / "fashion_mnist_200.npz"
    receipt = edgec.compile(MODEL, "host", tmp_path / "out", shapes={"input": (1, 1, 28, 28)}, data=data)
    assert receipt["accuracy"]["right"] == round(receipt["accuracy"]["reference_accuracy"] * 200)
    assert receipt["accuracy"]["accuracy"] > 0.85
    assert receipt["accuracy"]["flipped"] == []
    with np.load(data) as arrays, edgec.load(tmp_path / "out") as session:
        scores = session.run(None, {"input": arrays["input"][:1]})[0]
        assert scores.shape == (1, 10)
        assert scores.argmax() == arrays["y"][0]


def test_run_writes_what_the_session_computes(tmp_path: Path) -> None:
    edgec.compile(MODEL, "host", tmp_path / "out", shapes={"input": (1, 1, 28, 28)}, verify="none")
    x = np.random.default_rng(0).standard_normal((1, 1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    done = command("run", "out", "--input", "x.npy", "--output", "y.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "y.npz") as found, edgec.load(tmp_path / "out") as session:
        np.testing.assert_array_equal(found["logits"], session.run(None, {"input": x})[0])


def test_c_program_links_and_agrees(tmp_path: Path) -> None:
    """What a user does: compile example_main.c against the library, feed raw bytes, read numbers."""
    edgec.compile(MODEL, "host", tmp_path / "out", shapes={"input": (1, 1, 28, 28)}, verify="none")
    x = np.random.default_rng(1).standard_normal((1, 1, 28, 28)).astype(np.float32)
    x.tofile(tmp_path / "x.raw")
    out = tmp_path / "out"
    zig(out, "example_main.c", f"lib{MODEL.stem}.a", "-o", str(tmp_path / "example"))
    done = subprocess.run(
        [str(tmp_path / "example"), str(tmp_path / "x.raw")], capture_output=True, text=True, check=True
    )
    with edgec.load(out) as session:
        expected = session.run(None, {"input": x})[0].ravel()
    np.testing.assert_allclose([float(v) for v in done.stdout.split()], expected, rtol=1e-5)
