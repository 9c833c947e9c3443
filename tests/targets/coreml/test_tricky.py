"""Models of one operator that converters get wrong, the whole way: import, passes, package, its bytes evaluated,
against onnxruntime without optimisations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from coreml_run import evaluated
from onnx import ModelProto, TensorProto, helper, numpy_helper, save

from edgec.onnx_import.importer import import_model
from edgec.passes import COREML
from edgec.pipeline import run_pipeline

Array = np.ndarray[Any, Any]
FLOAT, INT32 = TensorProto.FLOAT, TensorProto.INT32


def weights(*shape: int) -> Array:
    return (np.random.default_rng(7).standard_normal(shape) * 0.5).astype(np.float32)


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def real(number: float) -> Array:
    return np.float32(number)  # type: ignore[return-value]


def node(kind: str, inputs: str, output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


class Tricky:
    """`shapes` are those of the inputs x and w."""

    def __init__(self, nodes: Any, *shapes: Sequence[int], opset: int = 17, **constants: Any) -> None:
        self.nodes = nodes if isinstance(nodes, list) else [nodes]
        self.inputs = dict(zip(("x", "w"), shapes, strict=False))
        self.opset, self.constants = opset, constants

    def model(self) -> ModelProto:
        inputs = [helper.make_tensor_value_info(n, FLOAT, s) for n, s in self.inputs.items()]
        outputs = [helper.make_tensor_value_info(n, FLOAT, None) for n in self.nodes[-1].output]
        constants = [numpy_helper.from_array(np.asarray(a), n) for n, a in self.constants.items()]
        graph = helper.make_graph(self.nodes, "tricky", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 9
        return model

    def feeds(self) -> dict[str, Array]:
        rng = np.random.default_rng(5)
        return {n: rng.uniform(-2, 2, s).astype(np.float32) for n, s in self.inputs.items()}


SQUARE = [1, 2, 8, 8]
TRICKY = {
    "softmax of opset 11": Tricky(node("Softmax", "x", axis=1), [2, 3, 4], opset=11),
    "max pool, dilated": Tricky(node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 2]), [1, 2, 7, 7]),
    "max pool, ceil": Tricky(node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), SQUARE),
    "average pool, ceil": Tricky(
        node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), SQUARE, opset=19
    ),
    "average pool, padding counted": Tricky(
        node("AveragePool", "x", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1), SQUARE
    ),
    "max pool, same lower": Tricky(
        node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"), [1, 2, 7, 7]
    ),
    "conv, same lower": Tricky(
        node("Conv", "x k", auto_pad="SAME_LOWER", strides=[2, 2]), SQUARE, k=weights(3, 2, 3, 3)
    ),
    "conv, dilated, padded": Tricky(
        node("Conv", "x k", pads=[2, 1, 2, 3], dilations=[2, 2]), SQUARE, k=weights(3, 2, 3, 3)
    ),
    "conv of three axes": Tricky(node("Conv", "x k", pads=[1] * 6), [1, 2, 4, 4, 4], k=weights(3, 2, 3, 3, 3)),
    "conv by an input": Tricky(node("Conv", "x w"), [1, 2, 6, 6], [3, 2, 3, 3]),
    "transposed conv, output padding": Tricky(
        node("ConvTranspose", "x k", strides=[2, 2], pads=[1] * 4, output_padding=[1, 1]), [1, 2, 5, 5],
        k=weights(2, 3, 3, 3),
    ),
    "transposed conv in groups": Tricky(
        node("ConvTranspose", "x k", strides=[2, 2], group=2), [1, 4, 5, 5], k=weights(4, 2, 3, 3)
    ),
    "transposed conv, same": Tricky(
        node("ConvTranspose", "x k", strides=[2, 2], auto_pad="SAME_UPPER"), [1, 2, 5, 5], k=weights(2, 3, 3, 3)
    ),
    "remainder with the dividend's sign": Tricky(node("Mod", "x k", fmod=1), [8], k=real(0.3)),
    "round": Tricky([node("Mul", "x k", "t"), node("Round", "t")], [32], k=real(4)),
    "cast truncates": Tricky(
        [node("Mul", "x k", "t"), node("Cast", "t", "i", to=INT32), node("Cast", "i", to=FLOAT)], [32], k=real(4)
    ),
    "integers divide towards zero": Tricky(
        [node("Mul", "x k", "t"), node("Cast", "t", "i", to=INT32), node("Div", "i d", "q"),
         node("Cast", "q", to=FLOAT)],
        [32], k=real(40), d=np.int32(3),
    ),
    "gemm": Tricky(
        node("Gemm", "x b c", alpha=0.5, beta=2.0, transA=1, transB=1), [4, 3], b=weights(5, 4), c=weights(5)
    ),
    "slice backwards": Tricky(
        node("Slice", "x from to axes step"), [2, 7],
        **{"from": whole(-1), "to": whole(-9), "axes": whole(1), "step": whole(-2)},
    ),
    "gather from the end": Tricky(node("Gather", "x i", axis=1), [2, 5], i=whole(-1, 0, -2)),
    "reshape to [0, -1]": Tricky(node("Reshape", "x s"), [2, 3, 4], s=whole(0, -1)),
    "pad by less than nothing": Tricky(node("Pad", "x p"), [2, 6], p=whole(0, -1, 0, 2)),
    "pad by the edge": Tricky(node("Pad", "x p", mode="edge"), [1, 2, 4, 4], p=whole(0, 0, 1, 2, 0, 0, 0, 1)),
    "pad channels by reflection": Tricky(
        node("Pad", "x p", mode="reflect"), [1, 4, 4, 4], p=whole(0, 1, 0, 0, 0, 1, 0, 0)
    ),
    "reciprocal of small numbers": Tricky([node("Mul", "x k", "t"), node("Reciprocal", "t")], [8], k=real(1e-2)),
    "logarithm of small numbers": Tricky(
        [node("Abs", "x", "t"), node("Mul", "t k", "u"), node("Log", "u")], [8], k=real(1e-3)
    ),
    "gelu by tanh": Tricky(node("Gelu", "x", approximate="tanh"), [8], opset=20),
    "hard sigmoid": Tricky(node("HardSigmoid", "x", alpha=0.3, beta=0.4), [8]),
    "group norm of opset 18": Tricky(
        node("GroupNormalization", "x s b", num_groups=2), [1, 4, 3, 3], opset=18, s=weights(2), b=weights(2)
    ),
    "group norm of opset 21": Tricky(
        node("GroupNormalization", "x s b", num_groups=2), [1, 4, 3, 3], opset=21, s=weights(4), b=weights(4)
    ),
    "instance norm of one axis": Tricky(
        node("InstanceNormalization", "x s b", epsilon=1e-3), [1, 3, 7], s=weights(3), b=weights(3)
    ),
    "batch norm of two axes": Tricky(
        node("BatchNormalization", "x s b m v"), [2, 3], s=weights(3), b=weights(3), m=weights(3),
        v=np.abs(weights(3)) + real(0.1),
    ),
    "layer norm of two axes": Tricky(
        node("LayerNormalization", "x s b", axis=1), [2, 3, 4], s=weights(3, 4), b=weights(3, 4)
    ),
    "prelu by channel": Tricky(node("PRelu", "x s"), [1, 3, 4, 4], s=weights(3, 1, 1)),
    "clip from below": Tricky(node("Clip", "x low"), [8], low=real(-0.1)),
    "where, broadcast": Tricky(
        [node("Greater", "x z", "c"), node("Where", "c x k")], [2, 3], z=real(0), k=weights(2, 1)
    ),
    "matmul of a vector": Tricky(node("MatMul", "x k"), [4], k=weights(4, 3)),
    "matmul, broadcast": Tricky(node("MatMul", "x k"), [2, 3, 4], k=weights(5, 1, 4, 3)),
    "depth to space, columns first": Tricky(
        [node("DepthToSpace", "x", "t", blocksize=2, mode="CRD"), node("Relu", "t")], [1, 8, 2, 2]
    ),
    "argmax, the last": Tricky(
        [node("ArgMax", "x", "t", axis=1, select_last_index=1, keepdims=0), node("Cast", "t", to=FLOAT)], [2, 4]
    ),
    "mean of all": Tricky(node("ReduceMean", "x", keepdims=0), [2, 3]),
    "cubes of negative numbers": Tricky(node("Pow", "x p"), [8], p=real(3)),
    "split unevenly": Tricky(node("Split", "x", "y z", axis=1, num_outputs=2), [1, 5], opset=18),
    "unit length": Tricky(node("LpNormalization", "x", axis=-1, p=2), [2, 4]),
    "log softmax of large numbers": Tricky(
        [node("Mul", "x k", "t"), node("LogSoftmax", "t", axis=-1)], [2, 4], k=real(300)
    ),
}


def reference(model: ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, feeds), strict=True))


@pytest.mark.parametrize("name", ["ios15", "ios18"])
@pytest.mark.parametrize("case", TRICKY)
def test_tricky(case: str, name: str, tmp_path: Path) -> None:
    tricky = TRICKY[case]
    model, feeds = tricky.model(), tricky.feeds()
    if case == "argmax, the last":
        feeds["x"][:, [1, 3]] = 2.5
    save(model, tmp_path / "tricky.onnx")
    module = import_model(tmp_path / "tricky.onnx")
    run_pipeline(module, COREML)
    found = evaluated(module.entries["main"], feeds, name)
    for output, expected in reference(model, feeds).items():
        assert found[output].shape == expected.shape
        largest = float(np.abs(expected).max())
        np.testing.assert_allclose(found[output], expected, rtol=0, atol=2e-6 * largest, err_msg=output)
