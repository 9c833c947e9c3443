"""All of a model's refusals at once: each names its operator and node, and says what would be legal."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edgec.ir.errors import UnsupportedError
from edgec.onnx_import.importer import import_model

F32, STRING = TensorProto.FLOAT, TensorProto.STRING


def test_every_refusal_of_a_model_is_told(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"], name="draw"),
        helper.make_node("NonMaxSuppression", ["boxes", "scores"], ["kept"], name="nms"),
        helper.make_node("Reshape", ["x", "shape"], ["flat"], name="late"),
        helper.make_node("Wavelet", ["x"], ["waves"], name="own", domain="com.example"),
        helper.make_node("Identity", ["words"], ["same"], name="copy"),
        helper.make_node("Add", ["noise", "x"], ["sum"], name="fine"),
    ]
    inputs = [("x", F32, [4]), ("boxes", F32, [1, 6, 4]), ("scores", F32, [1, 1, 6]),
              ("shape", TensorProto.INT64, [2]), ("words", STRING, [2])]  # fmt: skip
    outputs = [("sum", F32), ("kept", TensorProto.INT64), ("flat", F32), ("waves", F32), ("same", STRING)]
    graph = helper.make_graph(
        nodes,
        "several",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(name, type, None) for name, type in outputs],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    path = tmp_path / "several.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    with pytest.raises(UnsupportedError) as caught:
        import_model(path)
    reasons = caught.value.reasons
    assert len(reasons) == 5, reasons
    for culprit, legal in (
        ("RandomNormalLike 'draw'", "as an input"),
        ("NonMaxSuppression 'nms'", "at boxes and scores"),
        ("Reshape 'late'", "--const shape="),
        ("Wavelet 'own'", "SUPPORTED_OPS.md"),
        ("input 'words' has the element type string", "float"),
    ):
        assert any(reason.startswith(culprit) and legal in reason for reason in reasons), (culprit, reasons)
