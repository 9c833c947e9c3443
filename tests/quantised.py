"""Small quantised ONNX models, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
MICROSOFT = "com.microsoft"


def made(
    nodes: Sequence[NodeProto], constants: Mapping[str, Any], inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, int], types: Mapping[str, int] | None = None, opset: int = 21,
) -> ModelProto:  # fmt: skip
    """A model over float inputs, but where `types` says another; constants are arrays or tensors."""
    stored = [
        numpy_helper.from_array(np.asarray(a), name) if not isinstance(a, TensorProto) else a
        for name, a in constants.items()
    ]
    graph = helper.make_graph(
        list(nodes), "quantised",
        [helper.make_tensor_value_info(n, (types or {}).get(n, TensorProto.FLOAT), s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, code, None) for n, code in outputs.items()],
        stored,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def written(model: ModelProto, folder: Path, name: str = "model") -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def by_onnxruntime(path: Path, feeds: Mapping[str, Array], plain: bool = False) -> list[Array]:
    """The outputs; `plain`: without onnxruntime's fusions, which are Q, DQ and floats then."""
    options = onnxruntime.SessionOptions()
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return list(onnxruntime.InferenceSession(str(path), options).run(None, dict(feeds)))
