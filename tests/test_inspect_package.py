"""Facts of packages: of our own artifacts and of bare ones, and what is wrong with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper
from quantised import made, written

from edgec.cli import commands
from edgec.driver import build
from edgec.options import BuildOptions
from edgec.runtime.errors import RunError


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact")
    w = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    model = written(made(nodes, {"w": w}, {"x": (2, 64)}, {"y": TensorProto.FLOAT}), folder)
    build(model, "coreml:ios18", folder / "out", BuildOptions(encode="palettize{bits=4,least=1}"))
    return folder / "out"


def said(path: Path) -> str:
    result = CliRunner().invoke(commands, ["inspect", str(path)])
    assert result.exit_code == 0, result.exception
    return result.output


def test_artifact(artifact: Path) -> None:
    text = said(artifact)
    assert text.startswith("model for coreml:ios18, by edgec ")
    assert "  input  x fp32[2,64]: 'x' of the model" in text
    assert "  output y fp32[2,64]: 'y' of the model" in text
    assert "operators of CoreML8: " in text
    assert "1 steps make weights of codes: 1 lut_to_dense" in text
    assert "arithmetic there is on halves" in text
    assert "  output y: ok" in text
    assert "WRONG" not in text


def test_a_package_that_contradicts_itself(artifact: Path, tmp_path: Path) -> None:
    package = tmp_path / "broken.mlpackage"
    shutil.copytree(artifact / "model.mlpackage", package)
    path = package / "Data/com.apple.CoreML/model.mlmodel"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CoreML8", b"CoreML5"))
    done = CliRunner().invoke(commands, ["inspect", str(package)])
    text = done.output
    assert isinstance(done.exception, RunError), "what a script asks for is the exit code"
    assert "broken.mlpackage contradicts itself in" in str(done.exception)
    assert text.startswith("broken.mlpackage: specification version 9, ")
    assert "WRONG: function 'main': the opset CoreML5 goes with specification version 6, not 9" in text
