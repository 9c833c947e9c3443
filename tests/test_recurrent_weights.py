"""Weights of LSTM, GRU and RNN in few bits: the inputs' and the state's, of both directions, and a model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from quantised import made, written

import edgec
from edgec.narrowed_text import narrowed_lines

SHAPE = (20, 2, 32)  # steps, batch, features
UNITS = 48


def model(folder: Path, codes: bool = False) -> Path:
    """A GRU in both directions, an LSTM backwards with lengths and a first state; `codes`: weights are int8."""
    rng = np.random.default_rng(1)
    constants: dict[str, Any] = {"lens": np.int32([20, 13]), "flat": np.int64([20, 2, 2 * UNITS])}
    nodes: list[onnx.NodeProto] = []

    def weights(name: str, *dims: int) -> str:
        if not codes:
            constants[name] = (rng.standard_normal(dims) / np.sqrt(dims[-1])).astype(np.float32)
            return name
        constants[f"{name}_q"] = rng.integers(-127, 128, dims).astype(np.int8)
        constants[f"{name}_s"] = rng.uniform(0.001, 0.003, dims[1]).astype(np.float32)
        constants[f"{name}_z"] = np.zeros(dims[1], np.int8)
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_{c}" for c in "qsz"], [name], axis=1))
        return name

    constants["B"] = (rng.standard_normal((2, 6 * UNITS)) / 4).astype(np.float32)
    constants["h"] = rng.standard_normal((1, 2, UNITS)).astype(np.float32)
    gru = [weights("W", 2, 3 * UNITS, 32), weights("R", 2, 3 * UNITS, UNITS)]
    lstm = [weights("V", 1, 4 * UNITS, 2 * UNITS), weights("S", 1, 4 * UNITS, UNITS)]
    nodes += [
        helper.make_node("GRU", ["x", *gru, "B"], ["g"], name="gru", hidden_size=UNITS, direction="bidirectional",
                         linear_before_reset=1),
        helper.make_node("Transpose", ["g"], ["t"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["t", "flat"], ["f"]),
        helper.make_node("LSTM", ["f", *lstm, "", "lens", "h"], ["l", "y"], name="lstm", hidden_size=UNITS,
                         direction="reverse"),
    ]  # fmt: skip
    return written(made(nodes, constants, {"x": SHAPE}, {"y": TensorProto.FLOAT}, opset=17), folder)


def built(path: Path, target: str, folder: Path, **options: Any) -> dict[str, Any]:
    receipt: dict[str, Any] = edgec.compile(path, target, folder, **options)
    assert all(output["pass"] for output in receipt["verification"]["outputs"].values())
    return receipt


def level(receipt: dict[str, Any]) -> float:
    return float(receipt["verification"]["against_model"]["signal_to_noise_db"]["y"])


@pytest.mark.parametrize("target", ["host", "arm:cortex-a72"])
@pytest.mark.parametrize(("precision", "bits", "least"), [("w8", 8, 40), ("w4", 4.5, 17), ("fp8-e4m3", 8, 28)])
def test_all_weights_are_coded(precision: str, bits: float, least: float, target: str, tmp_path: Path) -> None:
    path, calib = model(tmp_path), tmp_path / "calib.npz"
    np.savez(calib, x=np.random.default_rng(2).standard_normal((8, *SHAPE)).astype(np.float32))
    receipt = built(path, target, tmp_path / "out", precision=precision, calib=str(calib))
    q = receipt["quantization"]
    assert q["coded_macs_share"] == 1.0
    assert (q["refused"], q["weights_in_floats"]) == ([], [])
    assert sorted(row["op"].partition(" ")[0] for row in q["weights"]) == ["gru"] * 2 + ["lstm"] + ["matmul"] * 3
    kind = {"w8": "i8", "w4": "i4", "fp8-e4m3": "e4m3"}[precision]
    weights = 2 * 3 * UNITS * (32 + UNITS) + 4 * UNITS * 3 * UNITS
    assert 0.99 * weights * bits / 8 < receipt["memory"]["weights_by_kind"][kind] < 1.05 * weights * bits / 8
    assert level(receipt) > least


def test_samples_round_the_states_weights(tmp_path: Path) -> None:
    path, calib = model(tmp_path), tmp_path / "calib.npz"
    np.savez(calib, x=np.random.default_rng(2).standard_normal((8, *SHAPE)).astype(np.float32))
    nearest = built(path, "host", tmp_path / "nearest", precision="w4")
    rounded = built(path, "host", tmp_path / "rounded", precision="w4", calib=str(calib))
    assert level(rounded) > level(nearest) + 2


def test_a_bound(tmp_path: Path) -> None:
    """What disturbs most gets eight bits, state or input."""
    path, calib = model(tmp_path), tmp_path / "calib.npz"
    np.savez(calib, x=np.random.default_rng(2).standard_normal((8, *SHAPE)).astype(np.float32))
    q = built(path, "host", tmp_path / "out", precision="w4", calib=str(calib), max_error="2%")["quantization"]
    assert {row["format"] for row in q["weights"]} == {"i4", "i8"}
    assert q["search"]["measured"]


@pytest.mark.parametrize("target", ["host", "arm:cortex-a76"])
def test_own_codes(target: str, tmp_path: Path) -> None:
    """Both directions have codes with scales of their own, and the artifact the very numbers."""
    receipt = built(model(tmp_path, codes=True), target, tmp_path / "out")
    q = receipt["quantization"]
    assert [row["format"] for row in q["weights"]] == ["i8"] * 6
    assert not q["refused"]
    assert receipt["memory"]["weights_by_kind"]["i8"] > 2 * 3 * UNITS * (32 + UNITS)


def test_weights_of_run_time(tmp_path: Path) -> None:
    """Of two directions by inputs' weights that are not constant, the state's stay floats, and the receipt says why."""
    rng = np.random.default_rng(3)
    constants = {"R": rng.standard_normal((2, 16, 16)).astype(np.float32) / 4}
    nodes = [helper.make_node("RNN", ["x", "W", "R"], ["", "y"], name="rnn", hidden_size=16, direction="bidirectional")]
    shapes = {"x": (3, 1, 4), "W": (2, 16, 4)}
    path = written(made(nodes, constants, shapes, {"y": TensorProto.FLOAT}, opset=17), tmp_path)
    receipt = built(path, "host", tmp_path / "out", precision="w8")
    (row,) = receipt["quantization"]["refused"]
    assert row["code"] == "RECURRENT_WEIGHTS"
    assert any("RECURRENT_WEIGHTS: 1, a recurrent operator" in line for line in narrowed_lines(receipt))
