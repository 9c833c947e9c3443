"""onnxruntime on a single ONNX operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

Array = np.ndarray[Any, Any]


def ort(kind: str, inputs: list[Array | None], outputs: int = 1, **attributes: Any) -> list[Array]:
    """onnxruntime's results of one operator; None leaves an optional input out."""
    names = [f"i{i}" if a is not None else "" for i, a in enumerate(inputs)]
    given = {n: a for n, a in zip(names, inputs, strict=True) if a is not None}
    values = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in given.items()
    ]
    made = [f"o{i}" for i in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(kind, names, made, **attributes)], "g", values, [onnx.ValueInfoProto(name=n) for n in made]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, given))
