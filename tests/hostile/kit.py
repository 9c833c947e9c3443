"""Pieces that hostile files are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
OPSET = 18

node = helper.make_node


def array(name: str, values: Any, dtype: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def ints(name: str, *values: int) -> TensorProto:
    return array(name, values, np.int64)


def number(name: str, value: int) -> TensorProto:
    return array(name, value, np.int64)


def bare(name: str, dtype: int, *dims: int) -> TensorProto:
    """A tensor that says how large it is and holds nothing."""
    return TensorProto(name=name, data_type=dtype, dims=dims, raw_data=b"")


def port(name: str, *dims: int | str, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, dims)


def anything(name: str, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    """Of unknown rank."""
    return helper.make_tensor_value_info(name, dtype, None)


def of_kind(name: str, **kind: Any) -> onnx.ValueInfoProto:
    return onnx.ValueInfoProto(name=name, type=onnx.TypeProto(**kind))


def model(
    nodes: Sequence[NodeProto],
    weights: Sequence[TensorProto] = (),
    x: onnx.ValueInfoProto | Sequence[onnx.ValueInfoProto] | None = None,
    y: onnx.ValueInfoProto | Sequence[onnx.ValueInfoProto] | None = None,
    opset: int = OPSET,
    functions: Sequence[onnx.FunctionProto] = (),
) -> ModelProto:
    """`x` float[2,3] to `y`, whose type is float and whose shape nobody knows, unless told otherwise."""
    inputs = [port("x", 2, 3)] if x is None else [x] if isinstance(x, onnx.ValueInfoProto) else list(x)
    outputs = [anything("y")] if y is None else [y] if isinstance(y, onnx.ValueInfoProto) else list(y)
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, list(weights))
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(d, 1) for d in sorted({f.domain for f in functions})]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)


def relu(
    x: onnx.ValueInfoProto | Sequence[onnx.ValueInfoProto] | None = None,
    y: onnx.ValueInfoProto | Sequence[onnx.ValueInfoProto] | None = None,
    opset: int = OPSET,
) -> ModelProto:
    return model([node("Relu", ["x"], ["y"])], x=x, y=y, opset=opset)


def added(*weights: TensorProto) -> ModelProto:
    """The input and weights `w`."""
    return model([node("Add", ["x", "w"], ["y"])], weights)


def constant_in_a_function(value: TensorProto) -> ModelProto:
    """The input and a constant, added by a function of the model."""
    body = [node("Constant", [], ["w"], value=value), node("Add", ["a", "w"], ["b"])]
    return model([node("F", ["x"], ["y"], domain="local")], functions=[function("F", body, ["a"], ["b"])])


def resized(
    sizes: Sequence[int] = (), scales: Sequence[float] = (), roi: Sequence[float] = (), **attributes: Any
) -> ModelProto:
    """An image float[1,4,8,8]."""
    given = [array("r", roi), array("s", scales), ints("n", *sizes)]
    names = [t.name if t.dims[0] else "" for t in given]
    weights = [t for t in given if t.dims[0]]
    return model([node("Resize", ["x", *names], ["y"], **attributes)], weights, port("x", 1, 4, 8, 8))


def image_model(kind: str, *weights: TensorProto, **attributes: Any) -> ModelProto:
    """One operator on an image float[1,4,8,8]."""
    operands = ["x", *(w.name for w in weights)]
    return model([node(kind, operands, ["y"], **attributes)], weights, port("x", 1, 4, 8, 8))


def folded(kind: str, *operands: TensorProto, dtype: int = FLOAT, **attributes: Any) -> ModelProto:
    """One operator on constants, added to the input."""
    nodes = [node(kind, [t.name for t in operands], ["folded"], **attributes)]
    if dtype != FLOAT:
        nodes.append(node("Cast", ["folded"], ["f"], to=FLOAT))
    return model([*nodes, node("Add", ["x", "f" if dtype != FLOAT else "folded"], ["y"])], operands)


def function(name: str, nodes: Sequence[NodeProto], inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, list(inputs), list(outputs), list(nodes), opsets)
