"""Packages through the command line: what is delivered, what is refused and with which sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import made, written

from edgec.compare_formats import compare_formats
from edgec.driver import build
from edgec.inspect_model import inspect_model
from edgec.ir.errors import UnsupportedError, UsageError, VerifyError
from edgec.layer_values import layer_facts
from edgec.onnx_import.options import ImportOptions
from edgec.options import BuildOptions
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import read_manifest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    w = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32) / 8
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Gelu", ["h"], ["y"])]
    return written(made(nodes, {"w": w}, {"x": (2, 64)}, {"y": TensorProto.FLOAT}), tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("precision", ["float32", "fp16", "w8", "w4", "fp8-e4m3"])
def test_same_input_same_bytes(precision: str, model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        build(model, "coreml", tmp_path / name, BuildOptions(precision=precision))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    receipt = json.loads((tmp_path / "a/receipt.json").read_bytes())
    assert receipt["verification"]["executed_on"] == "evaluator (numpy)"
    assert receipt["package"]["compute"] == ("float32" if precision == "float32" else "fp16")
    assert receipt["artifact"]["sha256"]


def test_unchanged(model: Path, tmp_path: Path) -> None:
    assert not build(model, "coreml:ios17", tmp_path / "out", BuildOptions()).cached
    assert build(model, "coreml:ios17", tmp_path / "out", BuildOptions()).cached
    assert not build(model, "coreml:ios18", tmp_path / "out", BuildOptions()).cached


@pytest.mark.parametrize(
    ("target", "options", "sentence"),
    [
        ("coreml:ios14", {}, "there is no such deployment target; legal: ios15, ios16, ios17, ios18, ios26"),
        ("coreml", {"precision": "bf16"}, "--precision bf16 is not for packages; legal: float32, fp16, w8"),
        ("coreml", {"verify": "qemu"}, "--verify qemu is not for packages; legal: auto, evaluate, coreml, none"),
        ("coreml", {"weights": "file"}, "a package keeps its weights in weight.bin"),
        ("coreml", {"layers": True}, "--layers is for CPU targets"),
        ("coreml", {"encode": "palettize", "precision": "w8"}, "and so does --precision w8: give one"),
        ("coreml", {"encode": "palletize"}, "palletize: no pass of this name encodes weights; legal: palettize"),
        ("coreml", {"encode": "palettize,to_channels_last"}, "--encode to_channels_last: no pass of this name"),
        ("coreml", {"os": "ios"}, "--os is for CPU targets"),
        ("coreml", {"threads": 2}, "--threads is for CPU targets"),
        ("coreml", {"force": True}, "--force is for CPU targets"),
        ("coreml", {"precision": "int8", "whole": True}, "--integers-only is for CPU targets"),
        ("coreml", {"precision": "int8", "max_error": "1%"}, "--max-error is for CPU targets"),
        ("coreml", {"precision": "w8", "low_rank": 4}, "--low-rank is for CPU targets"),
        ("arm", {"encode": "palettize"}, "--encode is for packages"),
    ],
)
def test_wrong_options(target: str, options: dict[str, Any], sentence: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        build(model, target, tmp_path / "out", BuildOptions(**options))  # type: ignore[arg-type]
    assert sentence in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_form_that_the_system_lacks(model: Path, tmp_path: Path) -> None:
    """An older artifact survives."""
    build(model, "coreml:ios18", tmp_path / "out", BuildOptions())
    before = files(tmp_path / "out")
    with pytest.raises(UnsupportedError, match="iOS 16"):
        build(model, "coreml:ios15", tmp_path / "out", BuildOptions(precision="w8"))
    assert files(tmp_path / "out") == before


def test_a_wrong_package_is_not_delivered(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Emission that makes another function of an operator is caught by the package's own numbers."""
    from edgec.targets.coreml import routes

    monkeypatch.setitem(routes.ROUTES, "gelu", lambda e, op: e.mil("relu", x=e.operand(op, 0)))
    with pytest.raises(VerifyError, match="output 'y' is beyond the tolerance"):
        build(model, "coreml", tmp_path / "out", BuildOptions())
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.failed/receipt.json").exists()


def test_other_commands(model: Path, tmp_path: Path) -> None:
    rows = {r.format: r for r in compare_formats(model, "coreml", BuildOptions(), ["fp16", "w8", "bf16"])}
    assert rows["bf16"].reason.startswith("--precision bf16 is not for packages")
    assert 64 * 64 <= (rows["w8"].weights_bytes or 0) < (rows["fp16"].weights_bytes or 0)
    assert (rows["fp16"].weights_bytes or 0) < (rows["float32"].weights_bytes or 0)
    assert (rows["w8"].signal_to_noise_db or 0.0) > 30
    said = list(inspect_model(model, ImportOptions(), "coreml:ios17"))
    assert any(line.startswith("for iOS 17, macOS 14, computing in halves: ") for line in said)
    build(model, "coreml", tmp_path / "out", BuildOptions())
    with pytest.raises(RunError, match="holds a Core ML package, and layers are compared of libraries"):
        layer_facts(read_manifest(tmp_path / "out"))


def test_without_coremltools(model: Path, tmp_path: Path) -> None:
    """One sentence, exit code 6, nothing written; other targets do not miss it."""
    script = "import sys; sys.modules['coremltools'] = None; from edgec.cli import main; main()"
    out = tmp_path / "out"
    command = [sys.executable, "-c", script, "build", str(model), "-o", str(out), "-t"]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    refused = subprocess.run([*command, "coreml"], capture_output=True, text=True, env=env, check=False)
    assert refused.returncode == 6
    assert "pip install 'edgec[coreml]'" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not out.exists()
    built = subprocess.run([*command, "host"], capture_output=True, text=True, env=env, check=False)
    assert built.returncode == 0, built.stderr
