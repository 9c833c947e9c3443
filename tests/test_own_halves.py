"""Models of float16: halves are rounded after every operator, where onnxruntime leaves roundings out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper
from quantised import made, written

from edgec.cli_artifacts import verify
from edgec.driver import build
from edgec.options import BuildOptions

LAYERS = 6


def halves(folder: Path, stronger: float, name: str) -> Path:
    """Convolutions with ReLU behind each other, all of halves; a filter of one is `stronger`."""
    rng = np.random.default_rng(0)
    weights = {f"w{i}": (rng.standard_normal((16, 16, 3, 3)) / 8).astype(np.float16) for i in range(LAYERS)}
    weights["w2"][3] *= np.float16(stronger)
    nodes = []
    for i in range(LAYERS):
        nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"]))
    x, y = "x0", f"x{LAYERS}"
    types = {x: TensorProto.FLOAT16}
    return written(made(nodes, weights, {x: (1, 16, 12, 12)}, {y: TensorProto.FLOAT16}, types), folder, name)


@pytest.mark.parametrize("target", ["host", "arm"])
def test_noise_of_roundings_is_no_failure(target: str, tmp_path: Path) -> None:
    receipt = build(halves(tmp_path, 1.0, "model"), target, tmp_path / "out", BuildOptions()).receipt["verification"]
    (output,) = receipt["outputs"].values()
    assert receipt["reference"].startswith("onnxruntime")
    assert output["relative_to_max"] > 1e-4, "a float's tolerance would be missed"
    assert output["signal_to_noise_db"] > 50


def test_what_is_wrong_still_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of one layer is half as strong again in the other model, which verify would refuse by its hash."""
    monkeypatch.setattr("edgec.verify_artifact.check_built_from", lambda artifact, model: None)
    build(halves(tmp_path, 1.0, "same"), "host", tmp_path / "out", BuildOptions())
    halves(tmp_path, 1.5, "other")
    said = {}
    for name in ("same", "other"):
        command = [str(tmp_path / "out"), "--model", str(tmp_path / f"{name}.onnx")]
        said[name] = CliRunner().invoke(verify, command)
    assert said["same"].exit_code == 0
    assert said["other"].exit_code != 0
    assert "FAILED, max error" in said["other"].output
