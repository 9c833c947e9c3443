"""Integer forms of operators that are defined on real numbers, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgec.ir import interp
from edgec.onnx_import.importer import import_model

CASES: list[Any] = [
    (helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear"), TensorProto.INT32, np.int32, (1, 1, 4, 4)),
    (helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear"), TensorProto.UINT8, np.uint8, (1, 1, 4, 4)),
    (helper.make_node("ReduceMean", ["x"], ["y"], axes=[1]), TensorProto.INT32, np.int32, (3, 7)),
]


@pytest.mark.parametrize(("node", "code", "dtype", "shape"), CASES, ids=lambda v: str(getattr(v, "op_type", "")))
def test_as_onnxruntime(node: Any, code: int, dtype: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, 1.0, 1.7, 1.7])
    graph = helper.make_graph(
        [node],
        "whole",
        [helper.make_tensor_value_info("x", code, shape)],
        [helper.make_tensor_value_info("y", code, None)],
        [scales] if node.op_type == "Resize" else [],
    )
    path = tmp_path / "whole.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    info = np.iinfo(dtype)
    x = np.random.default_rng(0).integers(max(-100, info.min), 100, shape).astype(dtype)
    (right,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    np.testing.assert_array_equal(interp.run(import_model(path).entries["main"], {"x": x})["y"], right)
