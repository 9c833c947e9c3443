"""Weights that stay floats have a code and a reason, whatever the format of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import made, written

import edgec
from edgec.receipt_text import render


@pytest.mark.parametrize("precision", ["w8", "w4", "fp8-e4m3"])
def test_depthwise_weights(precision: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants = {
        name: rng.standard_normal(shape).astype(np.float32) / 4
        for name, shape in {"d": (32, 1, 3, 3), "W": (1, 48, 32), "R": (1, 48, 16), "v": (16, 24)}.items()
    }
    constants["rows"] = np.int64([16, 1, 32])  # type: ignore[assignment]
    nodes = [
        helper.make_node("Conv", ["x", "d"], ["c"], name="depthwise", group=32, pads=[1] * 4),
        helper.make_node("Transpose", ["c"], ["t"], perm=[2, 3, 0, 1]),
        helper.make_node("Reshape", ["t", "rows"], ["s"]),
        helper.make_node("GRU", ["s", "W", "R"], ["", "h"], name="gru", hidden_size=16),
        helper.make_node("MatMul", ["h", "v"], ["y"], name="product"),
    ]
    path = written(made(nodes, constants, {"x": (1, 32, 4, 4)}, {"y": TensorProto.FLOAT}, opset=17), tmp_path)
    calib = str(tmp_path / "calib.npz")
    np.savez(calib, x=rng.standard_normal((6, 1, 32, 4, 4)).astype(np.float32))
    receipt = edgec.compile(path, "host", tmp_path / "out", precision=precision, calib=calib)
    facts = receipt["quantization"]
    (row,) = facts["refused"]
    assert row["op"].startswith("conv")
    assert row["code"] == "DEPTHWISE_WEIGHTS"
    assert [row["op"]] == facts["weights_in_floats"]
    assert sorted(row["op"].partition(" ")[0] for row in facts["weights"]) == ["gru", "matmul", "matmul"]
    assert "weights in floats: DEPTHWISE_WEIGHTS: 1, depthwise weights are" in render(receipt)
