"""`--precision fp16` from ONNX to an artifact: half the bytes, the same answers, and floats where halves do not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_build import EXAMPLES, MODEL

import edgec
from edgec.ir.errors import UsageError, VerifyError
from edgec.receipt_text import render
from edgec.reference import fast_session

CALIB = EXAMPLES / "fashion_mnist_calib.npz"
SHAPES = {"input": (1, 1, 28, 28)}


def built(target: str, folder: Path, **options: Any) -> dict[str, Any]:
    receipt: dict[str, Any] = edgec.compile(MODEL, target, folder, **{"shapes": SHAPES, "precision": "fp16", **options})
    return receipt


# least signal to noise against the model, in dB: sums in halves, and halves that are only stored
@pytest.mark.parametrize(("target", "code", "least"), [
    ("host", "NO_FP16_ARITHMETIC", 60.0),
    ("arm:cortex-a72", "NO_FP16_ARITHMETIC", 60.0),
    ("arm:cortex-a76", None, 48.0),
])  # fmt: skip
def test_the_example(target: str, code: str | None, least: float, labelled: Path, tmp_path: Path) -> None:
    receipt = built(target, tmp_path / "half", data=labelled, calib=str(CALIB))
    wide = edgec.compile(MODEL, target, tmp_path / "float", shapes=SHAPES, verify_inputs=1)
    facts, verification = receipt["halves"], receipt["verification"]
    assert facts["code"] == code
    assert facts["arithmetic"] == ("float32" if code else "fp16")
    assert facts["macs_share"] == 1.0
    assert facts["refused"] == []
    assert facts["calibration"]["samples"] > 100
    assert verification["reference"] == "edgec's interpreter on the same halves"
    assert least < verification["against_model"]["signal_to_noise_db"]["logits"] < 100.0
    accuracy = receipt["accuracy"]
    assert accuracy["images"] == (200 if target.startswith("host") else 40)
    assert accuracy["newly_wrong"] == 0
    assert receipt["memory"]["weights_bytes"] < 0.52 * wide["memory"]["weights_bytes"]
    if target == "arm:cortex-a76":
        assert verification["instructions"] < 0.6 * wide["verification"]["instructions"]
    else:  # Winograd's scratch is as large as a core's cache allows, and halves that are only stored go without
        assert receipt["memory"]["scratch_bytes"] < 0.6 * wide["memory"]["scratch_bytes"]


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        built("arm:cortex-a76", tmp_path / folder, verify="none")
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), f"{path.name} differs"


def test_a_bound_takes_floats(tmp_path: Path) -> None:
    """Of sums in halves: in sums of floats, as this machine has them, no operator would have to be wider."""
    bound = {"calib": str(CALIB), "calib_samples": 32, "max_error": "0.1%", "verify_inputs": 2}
    core = built("arm:cortex-a76", tmp_path / "core", **bound)
    search = core["halves"]["search"]
    assert 0 < search["in_floats"] < len(search["layers"]) == 10, "convolutions and matmuls"
    assert search["measured"]["error"] <= 0.001
    assert [trial["within"] for trial in search["tried"]].count(False) >= 1
    with np.load(CALIB) as arrays, edgec.load(tmp_path / "core") as session:
        samples = list(arrays["input"][::4, None].astype(np.float32))
        found = np.stack([session.run(None, {"input": sample})[0] for sample in samples])
    reference = fast_session(MODEL, 1)
    expected = np.stack([reference.run(None, {"input": sample})[0] for sample in samples])
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error == pytest.approx(search["measured"]["error"], rel=0.1), "this machine finds what the core does"
    floats = sorted(row["op"] for row in search["layers"] if row["form"] == "f32")
    beyond = [row["op"] for row in core["halves"]["refused"] if row["code"] == "BEYOND_BOUND"]
    assert sorted(op for op in beyond if op.split()[0] in ("conv", "matmul")) == floats
    assert "operators in floats: error" in render(core)
    stored = built("arm:cortex-a72", tmp_path / "stored", **bound)
    assert stored["halves"]["search"]["in_floats"] == 0


def test_a_bound_where_nothing_multiplies(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Tanh", ["x"], ["t"]), helper.make_node("Add", ["t", "x"], ["y"])]
    ports = (value(name, TensorProto.FLOAT, [3, 8]) for name in "xy")
    path = tmp_path / "sum.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "sum", *([port] for port in ports)), ir_version=8), path)
    free = edgec.compile(path, "arm:cortex-a76", tmp_path / "free", precision="fp16", max_error="1%", calib_samples=4)
    assert [row["form"] for row in free["halves"]["search"]["layers"]] == ["f16", "f16"]
    assert free["halves"]["calibration"]["warning"]
    with pytest.raises(VerifyError, match=r"0.0001% is not met with any narrower operator: the closest was"):
        edgec.compile(path, "arm:cortex-a76", tmp_path / "out", precision="fp16", max_error="0.0001%", calib_samples=4)
    assert not (tmp_path / "out").exists()


def chain(folder: Path, *factors: float) -> Path:
    """y = x times one number after the other, as matmuls with diagonals, so that nothing folds."""
    nodes, weights, name = [], [], "x"
    for i, factor in enumerate(factors):
        weights.append(numpy_helper.from_array((np.eye(8) * factor).astype(np.float32), f"w{i}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{i}"], [f"y{i}"]))
        nodes.append(helper.make_node("Tanh" if factor == 1.0 else "Neg", [f"y{i}"], [f"z{i}"]))
        name = f"z{i}"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "chain", [value("x", TensorProto.FLOAT, [3, 8])],
                              [value(name, TensorProto.FLOAT, [3, 8])], weights)  # fmt: skip
    path = folder / "chain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("target", ["host", "arm:cortex-a76"])
@pytest.mark.parametrize(("factors", "kinds"), [
    ((70000.0, 1e-4, 1.0), ["matmul", "matmul", "neg"]),  # a weight, and values beyond 65504
    ((1e-9, 1e9, 1.0), ["matmul", "matmul", "neg"]),  # weights and values that underflow
    ((300.0, 300.0, 1e-4, 1.0), ["matmul", "matmul", "neg"]),  # values alone
])  # fmt: skip
def test_what_halves_do_not_hold(factors: tuple[float, ...], kinds: list[str], target: str, tmp_path: Path) -> None:
    receipt = edgec.compile(chain(tmp_path, *factors), target, tmp_path / "out", precision="fp16")
    refused = receipt["halves"]["refused"]
    assert {r["code"] for r in refused} == {"HALF_RANGE"}
    assert sorted(r["op"].split()[0] for r in refused) == sorted(kinds)
    assert receipt["verification"]["against_model"]["signal_to_noise_db"].popitem()[1] > 50.0
    with edgec.load(tmp_path / "out") as session:
        assert np.all(np.isfinite(session.run(None, {"x": np.full((3, 8), 3.0, np.float32)})[0]))


def test_samples_show_which_values_are_beyond(tmp_path: Path) -> None:
    """Random inputs stay below what halves hold; those of --calib do not."""
    model = chain(tmp_path, 100.0, 1.0)
    random = edgec.compile(model, "host", tmp_path / "random", precision="fp16")
    assert random["halves"]["refused"] == []
    np.savez(tmp_path / "calib.npz", x=np.linspace(400.0, 500.0, 96, dtype=np.float32).reshape(4, 3, 8))
    real = edgec.compile(model, "host", tmp_path / "real", precision="fp16", calib=str(tmp_path / "calib.npz"))
    assert {r["code"] for r in real["halves"]["refused"]} == {"HALF_RANGE"}


def test_wrong_options(tmp_path: Path) -> None:
    for options, message in (
        ({"precision": "half"}, "--precision half is not legal; legal: float32, fp16, bf16"),
        ({"calib": "missing.npz"}, "missing.npz"),
    ):
        with pytest.raises(UsageError, match=message):
            built("host", tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
