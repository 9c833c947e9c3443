"""`--precision int8-dynamic`: what the receipt says of recurrent operators, and what `--force` changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model
from quantised import made, written

import edgec
from edgec.ir.errors import UsageError, VerifyError

STEPS, WIDTH = 12, 16


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution, a GRU of few units, an LSTM of many, and a product of two values."""
    rng = np.random.default_rng(5)

    def weights(name: str, *shape: int) -> Any:
        return numpy_helper.from_array((rng.standard_normal(shape) / shape[-1] ** 0.5).astype(np.float32), name)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "k"], ["wide"], name="conv"),
        node("Transpose", ["wide"], ["steps"], perm=[2, 0, 1]),
        node("GRU", ["steps", "w0", "r0"], ["y0", ""], name="small", hidden_size=8),
        node("Squeeze", ["y0", "one"], ["z0"]),
        node("LSTM", ["z0", "w1", "r1", "b1"], ["y1", "", ""], name="large", hidden_size=96, direction="bidirectional"),
        node("Reshape", ["y1", "flat"], ["z1"]),
        node("Transpose", ["z1"], ["z2"], perm=[1, 0]),
        node("MatMul", ["z1", "z2"], ["y"], name="product"),
    ]
    constants = [
        weights("k", WIDTH, 3, 1), weights("w0", 1, 24, WIDTH), weights("r0", 1, 24, 8), weights("w1", 2, 384, 8),
        weights("r1", 2, 384, 96), weights("b1", 2, 768), numpy_helper.from_array(np.array([1]), "one"),
        numpy_helper.from_array(np.array([STEPS, 192]), "flat"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, STEPS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [STEPS, STEPS])], constants,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("recurrent") / "m.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize("target", ["arm:cortex-a76", "arm:cortex-a72"])
def test_what_stays_in_floats_is_said(target: str, model: Path, tmp_path: Path) -> None:
    plain = edgec.compile(model, target, tmp_path / "f32")
    receipt = edgec.compile(model, target, tmp_path / "bytes", precision="int8-dynamic")
    found = receipt["quantization"]
    codes = {row["op"].split("'")[1]: row["code"] for row in found["kept_in_floats"]}
    assert codes == {"conv": "NO_DYNAMIC_FORM", "small": "STATE_BOUND", "product": "WEIGHTS_AT_RUN_TIME"}
    (small,) = (row for row in found["kept_in_floats"] if row["code"] == "STATE_BOUND")
    assert small["instructions_in_floats"] <= small["instructions_on_bytes"]
    assert found["multiply_adds_in_floats"] == {"conv": 1, "gru": 1, "matmul": 1}
    large = STEPS * 2 * 384 * (8 + 96)  # the LSTM's multiply-adds
    assert found["macs_share"] > large / receipt["macs"]
    assert receipt["memory"]["weights_by_kind"]["i8"] >= 2 * 384 * (8 + 96)
    checked = receipt["verification"]
    assert checked["instructions"] < plain["verification"]["instructions"]
    assert checked["outputs"]["y"]["pass"]
    assert checked["against_model"]["signal_to_noise_db"]["y"] > 35


def test_a_sum_of_too_many_products(tmp_path: Path) -> None:
    """2^15 of them are the most."""
    for k, codes in ((2**15, []), (2**15 + 1, ["SUM_TOO_LONG"])):
        w = np.random.default_rng(0).standard_normal((k, 4)).astype(np.float32)
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
        (tmp_path / str(k)).mkdir()
        model = written(made(nodes, {"w": w}, {"x": (2, k)}, {"y": 1}, opset=17), tmp_path / str(k))
        receipt = edgec.compile(model, "host", tmp_path / f"out{k}", precision="int8-dynamic", verify_inputs=1)
        left = receipt["quantization"]["kept_in_floats"]
        assert [row["code"] for row in left] == codes
        assert all("more than 32768 products" in row["why"] for row in left)


def test_force_has_small_states_on_bytes(model: Path, tmp_path: Path) -> None:
    receipt = edgec.compile(model, "arm:cortex-a76", tmp_path / "out", precision="int8-dynamic", force=True)
    left = [row["code"] for row in receipt["quantization"]["kept_in_floats"]]
    assert sorted(left) == ["NO_DYNAMIC_FORM", "WEIGHTS_AT_RUN_TIME"]
    assert receipt["quantization"]["multiply_adds_in_floats"] == {"conv": 1, "matmul": 1}


def test_force_is_for_bytes(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --precision int8 or int8-dynamic with it"):
        edgec.compile(model, "host", tmp_path / "out", precision="w8", force=True)
    assert not (tmp_path / "out").exists()


def test_a_bound_takes_floats(model: Path, tmp_path: Path) -> None:
    """Half of what all on bytes lose; recurrent operators, with all of their results, are among what is searched."""
    free = edgec.compile(model, "host", tmp_path / "free", precision="int8-dynamic", max_error="50%", calib_samples=8)
    search = free["quantization"]["search"]
    assert search["in_floats"] == 0
    assert {row["op"].split()[0] for row in search["layers"]} == {"gru", "lstm"}
    assert "random inputs" in free["quantization"]["calibration"]["warning"]
    error = search["measured"]["error"]
    bound = f"{0.5 * error:.6f}"
    kept = edgec.compile(model, "host", tmp_path / "kept", precision="int8-dynamic", max_error=bound, calib_samples=8)
    facts = kept["quantization"]
    search = facts["search"]
    assert search["measured"]["error"] <= 0.5 * error
    assert search["in_floats"] == 1
    beyond = [row["op"] for row in facts["kept_in_floats"] if row["code"] == "BEYOND_BOUND"]
    assert beyond == [row["op"] for row in search["layers"] if row["form"] == "f32"]
    assert 0 < facts["macs_share"] < free["quantization"]["macs_share"]
    core = edgec.compile(model, "arm:cortex-a76", tmp_path / "core", precision="int8-dynamic", max_error="50%",
                         calib_samples=8, force=True, verify="none")  # fmt: skip
    assert core["quantization"]["search"]["measured"]["error"] < 2 * error, "a core with halves has the same bytes"
    levels = [r["verification"]["against_model"]["signal_to_noise_db"]["y"] for r in (free, kept)]
    assert levels[1] > levels[0] + 3


def test_a_bound_that_nothing_meets(model: Path, tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="is not met with any narrower operator: the closest was"):
        edgec.compile(model, "host", tmp_path / "out", precision="int8-dynamic", max_error="0.0001%", calib_samples=4)
    assert not (tmp_path / "out").exists()


def test_a_bound_where_nothing_has_a_form_of_bytes(tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    save_model(made, tmp_path / "m.onnx")
    receipt = edgec.compile(tmp_path / "m.onnx", "host", tmp_path / "out", precision="int8-dynamic", max_error="1%")
    assert receipt["quantization"]["search"]["in_floats"] == 0
    assert receipt["quantization"]["search"]["measured"]["error"] == 0.0
