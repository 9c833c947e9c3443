"""`edgec compare-formats`: one row a format, numbers or the reason why there are none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from quantised import made, written
from test_build import EXAMPLES, MODEL, SHAPE, command

from edgec.compare_formats import Row, compare_formats, table, write_json
from edgec.driver import build as real_build
from edgec.ir.errors import ModelError, UsageError, VerifyError
from edgec.options import BuildOptions

DATA = str(EXAMPLES / "fashion_mnist_200.npz")
CALIB = str(EXAMPLES / "fashion_mnist_calib.npz")


def test_the_command(tmp_path: Path) -> None:
    done = command(
        "compare-formats", str(MODEL), "-t", "arm:cortex-a76", *SHAPE, "--calib", CALIB, "--calib-samples", "16",
        "--inputs", "1", "--format", "w8", "--format", "int8", "--json", "table.json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["format", "float32", "w8", "int8"]
    rows = {row["format"]: row for row in json.loads((tmp_path / "table.json").read_text())["formats"]}
    assert rows["w8"]["weights_bytes"] < 0.3 * rows["float32"]["weights_bytes"]
    assert 28 < rows["int8"]["signal_to_noise_db"] < 60
    assert 30 < rows["w8"]["signal_to_noise_db"] < 60
    assert rows["float32"]["signal_to_noise_db"] is None, "it is compared within a tolerance"
    assert rows["int8"]["narrow_share"] > 0.95
    assert rows["int8"]["instructions"] > 100_000
    assert f"{rows['int8']['instructions'] / 1e6:.2f} M" in lines[3]


def test_packages_are_measured_on_the_same_samples(tmp_path: Path) -> None:
    """Numbers of which none is left in halves: each row has lost them, whichever needs samples to be made."""
    w = np.random.default_rng(1).standard_normal((16, 16)).astype(np.float32)
    model = written(made([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": w}, {"x": (8, 16)}, {"y": 1}), tmp_path)
    x = np.random.default_rng(2).standard_normal((4, 8, 16)).astype(np.float32)
    np.savez(tmp_path / "small.npz", x=x * np.float32(1e-6))
    options = BuildOptions(calib=str(tmp_path / "small.npz"))
    rows = {row.format: row for row in compare_formats(model, "coreml", options, ("fp16", "w8"))}
    for format in ("fp16", "w8"):
        level = rows[format].signal_to_noise_db
        assert (level is not None and level < 40) or "beyond the tolerance" in rows[format].reason
    random = compare_formats(model, "coreml", BuildOptions(), ("fp16",))[1]
    assert random.signal_to_noise_db is not None
    assert random.signal_to_noise_db > 60


def test_libraries_are_measured_on_the_same_samples(tmp_path: Path) -> None:
    """Samples and weights that bf16 holds: what is lost on random inputs is not lost on them."""
    rng = np.random.default_rng(1)
    w, x = (rng.integers(-100, 101, shape).astype(np.float32) for shape in ((16, 16), (4, 8, 16)))
    model = written(made([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": w}, {"x": (8, 16)}, {"y": 1}), tmp_path)
    np.savez(tmp_path / "whole.npz", x=x)
    whole, random = (
        compare_formats(model, "host", BuildOptions(calib=calib), ("bf16",))[1]
        for calib in (str(tmp_path / "whole.npz"), None)
    )
    assert whole.signal_to_noise_db is None, "no noise"
    assert random.signal_to_noise_db is not None
    assert random.signal_to_noise_db < 80


def test_a_model_that_is_quantised_already_is_named_for_what_it_is(tmp_path: Path) -> None:
    scale = {"s": np.float32(0.1), "z": np.int8(0), "w": np.eye(16, dtype=np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["v"]),
        helper.make_node("MatMul", ["d", "v"], ["y"]),
    ]
    model = written(made(nodes, scale, {"x": (8, 16)}, {"y": 1}), tmp_path)
    rows = compare_formats(model, "host", BuildOptions(), ("w8",))
    assert [row.format for row in rows] == ["int8, the model's own", "w8"]
    assert "quantised already" in rows[1].reason


def test_a_format_that_does_not_fit_says_why(tmp_path: Path) -> None:
    """Samples that are all alike show no range: what finds none goes on."""
    np.savez(tmp_path / "alike.npz", input=np.ones((4, 1, 28, 28), np.float32))
    options = BuildOptions(shapes={"input": (1, 1, 28, 28)}, calib=str(tmp_path / "alike.npz"), verify="none")
    rows = compare_formats(MODEL, "host", options, ("int8", "bf16"))
    assert [row.format for row in rows] == ["float32", "int8", "bf16"]
    assert "all 4 samples are one and the same" in rows[1].reason
    assert rows[1].weights_bytes is None
    assert rows[2].reason == ""
    assert rows[1].reason in list(table(rows))[2]


def test_samples_that_do_not_fit(tmp_path: Path) -> None:
    """Each format would be compared on them."""
    np.savez(tmp_path / "wrong.npz", input=np.zeros((4, 3, 28, 28), np.float32))
    options = BuildOptions(shapes={"input": (1, 1, 28, 28)}, calib=str(tmp_path / "wrong.npz"), verify="none")
    with pytest.raises(UsageError, match="sample 0 of 'input' has the shape"):
        compare_formats(MODEL, "host", options, ("int8", "bf16"))


def test_what_no_format_can(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match="not an ONNX model"):
        compare_formats(tmp_path / "text.onnx", "host", BuildOptions())
    with pytest.raises(UsageError, match="--format int3 is not legal; legal: float32"):
        compare_formats(MODEL, "host", BuildOptions(), ("int3",))


def test_what_is_beyond_the_tolerance_is_in_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each format is built in a folder that is gone when its sentence is read."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = written(made(nodes, {"w": np.eye(8, dtype=np.float32)}, {"x": (4, 8)}, {"y": 1}, opset=17), tmp_path)
    wrong = ["w8"]

    def build(model: Path, target: str, out: Path, options: BuildOptions) -> Any:
        monkeypatch.setattr("edgec.receipt.TENSOR_TOLERANCE", -1.0 if options.precision in wrong else 1e-4)
        return real_build(model, target, out, options)

    monkeypatch.setattr("edgec.compare_formats.build", build)
    rows = compare_formats(path, "host", BuildOptions(verify_inputs=1), ("w8",))
    assert rows[1].reason == "output 'y' is beyond the tolerance"
    wrong.append("float32")
    with pytest.raises(VerifyError, match=r"^float32: output 'y' is beyond the tolerance; there is nothing to compare"):
        compare_formats(path, "host", BuildOptions(verify_inputs=1), ("w8",))


def test_nothing_but_noise_is_a_word_in_json(tmp_path: Path) -> None:
    """JSON has no infinities, and other programs refuse them."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    write_json([Row("fp16", -math.inf), Row("w8", 40.5), Row("w4")], MODEL, "host", tmp_path / "t.json")
    rows = json.loads((tmp_path / "t.json").read_text(), parse_constant=refuse)["formats"]
    assert [row["signal_to_noise_db"] for row in rows] == ["-inf", 40.5, None]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json([Row("w8", math.nan)], MODEL, "host", tmp_path / "t.json")


def test_columns_without_numbers_are_left_out() -> None:
    lines = list(table([Row("float32", weights_bytes=100, scratch_bytes=20), Row("w8", reason="why not")]))
    assert lines[0].split() == ["format", "weights", "scratch"]
    assert lines[2] == "w8       why not"


def test_dynamic_int8_of_matmuls(tmp_path: Path) -> None:
    """Two dense layers: all multiply-adds on bytes, and little noise."""
    rng = np.random.default_rng(5)
    weights = [rng.standard_normal(s).astype(np.float32) for s in ((64, 96), (96, 10))]
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "dense", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [7, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [7, 10])],
        [onnx.numpy_helper.from_array(w, n) for w, n in zip(weights, "ab", strict=True)],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "dense.onnx")
    rows = compare_formats(tmp_path / "dense.onnx", "host", BuildOptions(), ("int8-dynamic",))
    assert rows[1].narrow_share == 1.0
    assert rows[1].signal_to_noise_db is not None
    assert rows[1].signal_to_noise_db > 35
    assert rows[1].weights_bytes is not None
    assert rows[1].weights_bytes < 0.45 * (rows[0].weights_bytes or 0)
