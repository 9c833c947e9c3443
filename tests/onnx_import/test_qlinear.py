"""QLinear operators of the standard and of onnxruntime, against onnxruntime: not more than a step off, and rarely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import MICROSOFT, by_onnxruntime, made, written

from edgec.ir import interp
from edgec.onnx_import.importer import import_model

RNG = np.random.default_rng(4)
X, Y = ("x", "xs", "xz"), ("ys", "yz")
SCALES = {"xs": np.float32(0.021), "xz": np.uint8(120), "ys": np.float32(0.034), "yz": np.uint8(99)}
SIGNED = {**SCALES, "xz": np.int8(-8), "yz": np.int8(-29)}
W, B = RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), RNG.integers(-900, 900, 4).astype(np.int32)
WEIGHTS = {"w": W, "ws": RNG.uniform(0.004, 0.02, 4).astype(np.float32), "wz": np.zeros(4, np.int8), "b": B}
MATRIX = RNG.integers(0, 256, (6, 5)).astype(np.uint8)
OTHER = {"w": MATRIX, "ws": np.float32(0.01), "wz": np.uint8(130), "b": RNG.integers(-900, 900, 5).astype(np.int32)}


def case(op: str, operands: Any, shape: Any, extra: Any = None, domain: str = MICROSOFT, **attrs: Any) -> Any:
    return pytest.param(op, operands, shape, extra or {}, domain, attrs, id=f"{op}-{len(operands)}-{len(attrs)}")


CASES = [
    case("QLinearConv", (*X, "w", "ws", "wz", *Y, "b"), (1, 3, 6, 6), WEIGHTS, "", pads=[1, 1, 1, 1]),
    case("QLinearConv", (*X, "w", "ws", "wz", *Y), (1, 3, 6, 6), WEIGHTS, ""),
    case("QLinearConv", (*X, "w", "ws", "wz", *Y, "b"), (1, 6, 6, 3), WEIGHTS, channels_last=1),
    case("QLinearMatMul", (*X, "w", "ws", "wz", *Y), (3, 6), OTHER, ""),
    case("QGemm", (*X, "w", "ws", "wz", "b", *Y), (3, 6), OTHER),
    case("QGemm", (*X, "w", "ws", "wz", "b", *Y), (3, 6), OTHER, alpha=0.5),
    case("QLinearAdd", (*X, *X, *Y), (2, 3, 4)),
    case("QLinearMul", (*X, *X, *Y), (2, 3, 4)),
    case("QLinearAveragePool", (*X, *Y), (1, 3, 6, 6), kernel_shape=[2, 2], strides=[2, 2]),
    case("QLinearGlobalAveragePool", (*X, *Y), (1, 30, 4, 4)),
    case("QLinearGlobalAveragePool", (*X, *Y), (1, 4, 4, 30), channels_last=1),
    case("QLinearConcat", (*Y, *X, *X), (2, 3, 4), axis=1),
    case("QLinearLeakyRelu", (*X, *Y), (2, 3, 4), alpha=0.2),
    case("QLinearSigmoid", (*X, *Y), (2, 3, 4)),
    case("QLinearSoftmax", (*X, *Y), (2, 3, 4), axis=-1, opset=13),
]


@pytest.mark.parametrize("scales", [SCALES, SIGNED], ids=["u8", "i8"])
@pytest.mark.parametrize(("op", "operands", "shape", "extra", "domain", "attrs"), CASES)
def test_as_onnxruntime(
    op: str, operands: Any, shape: Any, extra: Any, domain: str, attrs: Any, scales: Any, tmp_path: Path
) -> None:
    if scales is SIGNED and extra is OTHER:
        extra = {**OTHER, "w": MATRIX.view(np.int8), "wz": np.int8(2)}
    if op == "QLinearSoftmax":
        zero = scales["yz"].dtype.type(0 if scales is SCALES else -128)
        scales = {**scales, "ys": np.float32(1 / 256), "yz": zero}
    nodes = [
        helper.make_node("QuantizeLinear", ["f", "xs", "xz"], ["x"]),
        helper.make_node(op, list(operands), ["y"], domain=domain, name="it", **attrs),
        helper.make_node("DequantizeLinear", ["y", *Y], ["z"]),
    ]
    path = written(made(nodes, {**scales, **extra}, {"f": shape}, {"z": TensorProto.FLOAT}), tmp_path)
    feeds = {"f": RNG.standard_normal(shape).astype(np.float32)}
    (right,) = by_onnxruntime(path, feeds)
    graph = import_model(path).entries["main"]
    assert {op.kind for op in graph.ops} >= {"quantize", "dequantize"}
    assert "cast" not in {op.kind for op in graph.ops}
    found = np.rint((interp.run(graph, feeds)["z"] - right) / scales["ys"])
    assert np.abs(found).max() <= 1
    assert (found != 0).mean() <= 0.05
    assert np.unique(right).size > 3


def test_where_chooses_between_two_tensors(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["f", "xs", "xz"], ["x"]),
        helper.make_node("QLinearWhere", ["c", *X, *X, *Y], ["y"], domain=MICROSOFT),
    ]
    chosen = np.array([True, False, True])
    path = written(made(nodes, {**SCALES, "c": chosen}, {"f": (2, 3)}, {"y": TensorProto.UINT8}), tmp_path)
    feeds = {"f": RNG.standard_normal((2, 3)).astype(np.float32)}
    (right,) = by_onnxruntime(path, feeds)
    np.testing.assert_array_equal(interp.run(import_model(path).entries["main"], feeds)["y"], right)


@pytest.mark.parametrize("op", ["MatMulIntegerToFloat", "DynamicQuantizeMatMul"])
def test_dynamic_forms_of_onnxruntime(op: str, tmp_path: Path) -> None:
    dynamic = op == "DynamicQuantizeMatMul"
    operands = ["f", "w", "ws", "wz", "bias"] if dynamic else ["x", "w", "xs", "ws", "xz", "wz", "bias"]
    nodes = [
        helper.make_node("QuantizeLinear", ["f", "xs", "xz"], ["x"]),
        helper.make_node(op, operands, ["y"], domain=MICROSOFT),
    ]
    bias = RNG.standard_normal(5).astype(np.float32)
    model = made(nodes, {**SCALES, **OTHER, "bias": bias}, {"f": (3, 6)}, {"y": TensorProto.FLOAT})
    path = written(model, tmp_path)
    feeds = {"f": RNG.standard_normal((3, 6)).astype(np.float32)}
    (right,) = by_onnxruntime(path, feeds)
    np.testing.assert_allclose(interp.run(import_model(path).entries["main"], feeds)["y"], right, atol=1e-5)
