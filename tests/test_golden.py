"""A run that an artifact must reproduce: what is held against it, and by how much."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from test_build import command
from test_cli import fails

import edgec
from edgec.golden import check_golden, golden_feeds, golden_file
from edgec.ir.types import DTYPES


class Session:
    outputs = (SimpleNamespace(name="y"),)

    def __init__(self, off: float) -> None:
        self.off = off

    def reset(self) -> None:
        pass

    def run(self, names: Any, feeds: Any) -> list[np.ndarray]:
        return [feeds["x"] * 2 + np.float32(self.off)]


@pytest.mark.parametrize(("off", "least", "passes"), [(0, np.inf, True), (0.05, np.inf, False), (0.05, 20.0, True),
                                                      (0.5, 20.0, False)])  # fmt: skip
def test_what_passes(off: float, least: float, passes: bool, tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 12, dtype=np.float32)
    content = golden_file({"x": x}, {"y": x * 2}, least)
    assert content == golden_file({"x": x}, {"y": x * 2}, least)
    (tmp_path / "golden.npz").write_bytes(content)
    found = check_golden(Session(off), tmp_path / "golden.npz")  # type: ignore[arg-type]
    assert found["y"]["pass"] == passes


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_sixteen_bits(dtype: str, tmp_path: Path) -> None:
    """numpy reads bfloat16 back as raw bytes."""
    x = np.linspace(-1, 1, 12).astype(DTYPES[dtype])
    (tmp_path / "golden.npz").write_bytes(golden_file({"x": x}, {"y": x}, np.inf))
    (given,) = golden_feeds(tmp_path / "golden.npz").values()
    assert given.tobytes() == x.tobytes()

    class Same(Session):
        def run(self, names: Any, feeds: Any) -> list[np.ndarray]:
            return [x + DTYPES[dtype].type(self.off)]

    assert check_golden(Same(0.0), tmp_path / "golden.npz")["y"]["pass"]  # type: ignore[arg-type]
    wrong = check_golden(Same(0.25), tmp_path / "golden.npz")["y"]  # type: ignore[arg-type]
    assert not wrong["pass"]
    assert wrong["max_abs_error"] == pytest.approx(0.25, rel=0.02)


def sixteen(path: Path, code: int, dtype: Any) -> None:
    """A product and a Relu in 16 bits, from x to y."""
    weights = (np.random.default_rng(0).standard_normal((64, 24)) / 4).astype(dtype)
    constant = helper.make_tensor("w", code, weights.shape, weights.tobytes(), raw=True)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["a"], name="times"), helper.make_node("Relu", ["a"], ["y"])], "g",
        [helper.make_tensor_value_info("x", code, [1, 64])], [helper.make_tensor_value_info("y", code, [1, 24])],
        [constant],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.mark.parametrize("precision", ["int8", "fp16", "w4"])
@pytest.mark.parametrize(("code", "dtype"), [(TensorProto.FLOAT16, np.float16),
                                             (TensorProto.BFLOAT16, ml_dtypes.bfloat16)])  # fmt: skip
def test_models_of_sixteen_bits(code: int, dtype: Any, precision: str, tmp_path: Path) -> None:
    """Calibrated, scored and verified by files of such numbers, which give the bits that the build computed."""
    sixteen(tmp_path / "m.onnx", code, dtype)
    x = np.random.default_rng(1).standard_normal((4, 1, 64)).astype(dtype)
    np.savez(tmp_path / "calib.npz", x=x)
    np.savez(tmp_path / "data.npz", x=x, labels=np.arange(4))
    calib = str(tmp_path / "calib.npz")
    receipt = edgec.compile(tmp_path / "m.onnx", "host", tmp_path / "out", precision=precision, calib=calib,
                            force=precision == "int8", data=tmp_path / "data.npz")  # fmt: skip
    assert receipt["accuracy"]["images"] == 4
    (golden,) = golden_feeds(tmp_path / "out" / "golden.npz").values()
    assert golden.tobytes() == x[0].tobytes()
    done = command("verify", "out", "--model", "m.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "y: ok" in done.stdout
    np.save(tmp_path / "x.npy", x[0])
    done = command("run", "out", "--input", "x.npy", "--output", "y.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with edgec.load(tmp_path / "out") as session:
        expected = session.run(None, {"x": x[0]})[0]
    with np.load(tmp_path / "y.npz") as found:
        assert found["y"].tobytes() == expected.tobytes()


def test_raw_bytes_are_no_numbers(tmp_path: Path) -> None:
    sixteen(tmp_path / "m.onnx", TensorProto.FLOAT16, np.float16)
    raw = np.zeros((4, 1, 64), ml_dtypes.bfloat16)
    np.savez(tmp_path / "raw.npz", x=raw, labels=np.arange(4))
    build = ("build", "m.onnx", "-t", "host", "-o", "out")
    fails(tmp_path, 2, "of 'x' is |V2, and the model takes f16[1,64]: give numbers", *build, "--data", "raw.npz")
    fails(tmp_path, 2, "of 'x' is |V2, and the model takes f16[1,64]: give numbers", *build, "--precision", "int8",
          "--calib", "raw.npz")  # fmt: skip
    assert not (tmp_path / "out").exists()
