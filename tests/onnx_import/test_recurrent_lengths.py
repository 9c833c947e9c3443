"""Lengths of batch entries in LSTM, GRU and RNN, against onnxruntime: shorter than the sequence, and 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model
from quantised import by_onnxruntime

import edgec
from edgec.ir import interp
from edgec.onnx_import.importer import import_model

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
def test_as_onnxruntime(op: str, direction: str, tmp_path: Path) -> None:
    """An entry of length 0 has first states, and zeros as its last ones."""
    rng, d, h = np.random.default_rng(6), 2 if direction == "bidirectional" else 1, 5
    states = ["h0", "c0"] if op == "LSTM" else ["h0"]
    x: dict[str, Any] = {"x": rng.standard_normal((4, 3, 3)), **{n: rng.standard_normal((d, 3, h)) for n in states}}
    x = {n: v.astype(np.float32) for n, v in x.items()} | {"lens": np.array([2, 0, 3], np.int32)}
    weights = {"w": rng.standard_normal((d, GATES[op] * h, 3)), "r": rng.standard_normal((d, GATES[op] * h, h))}
    results = ["y", *(f"last{n}" for n in states)]
    node = helper.make_node(op, ["x", "w", "r", "", "lens", *states], results, hidden_size=h, direction=direction)
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in x.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in results],
        [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()],
    )  # fmt: skip
    path = tmp_path / "m.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    right = by_onnxruntime(path, x)
    meant = interp.run(import_model(path).entries["main"], x)
    edgec.compile(path, "host", tmp_path / "out", ranges={"lens": (0, 4)})
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {n: x[n] for n in (t.name for t in session.inputs)})
    for name, y, own in zip(results, right, found, strict=True):
        np.testing.assert_allclose(meant[name], y, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(own, y, rtol=1e-5, atol=1e-6, err_msg=name)
    assert not right[1][:, 1].any()
