"""Tensors of 8-bit floats, of 4 and of 2 bits through every operator that ONNX lets take them, against onnx's own
evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgec.ir import interp
from edgec.ir.errors import ModelError
from edgec.ir.ops.cast import cast
from edgec.ir.types import DTYPES, NARROW
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.tensors import CODES

OPSET = helper.make_opsetid("", 26)
# operator -> attributes, constants behind its operand x [2, 3, 1, 4]
MOVES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "Identity": ({}, []),
    "Flatten": ({"axis": 2}, []),
    "Transpose": ({"perm": [3, 1, 0, 2]}, []),
    "Reshape": ({}, [np.array([4, -1])]),
    "Squeeze": ({}, [np.array([2])]),
    "Unsqueeze": ({}, [np.array([0, 5])]),
    "Pad": ({}, [np.array([0, 1, 0, 0, 1, 0, 0, 2])]),
    "Dropout": ({}, []),
}
FLOAT8 = ("f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz")
CASES = [(name, dtype) for name in MOVES for dtype in (FLOAT8 if name == "Dropout" else sorted(NARROW))]


def written(
    nodes: list[Any], inputs: dict[str, tuple[str, list[int]]], y: str, folder: Path, constants: Any = ()
) -> Path:
    """A model whose output y is of a type and of any shape."""
    ports = [helper.make_tensor_value_info(n, CODES[dtype], dims) for n, (dtype, dims) in inputs.items()]
    graph = helper.make_graph(nodes, "g", ports, [helper.make_tensor_value_info("y", CODES[y], None)], list(constants))
    path = folder / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[OPSET], ir_version=13).SerializeToString())
    return path


def numbers(dtype: str, dims: tuple[int, ...]) -> np.ndarray:
    return cast(np.random.default_rng(3).integers(-7, 8, dims).astype(np.float32), dtype)


def both(path: Path, feeds: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    graph = import_model(path).entries["main"]
    return interp.run(graph, feeds)["y"], ReferenceEvaluator(str(path)).run(None, feeds)[0]  # type: ignore[return-value]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_moves(name: str, dtype: str, tmp_path: Path) -> None:
    attributes, given = MOVES[name]
    names = [f"c{i}" for i in range(len(given))]
    nodes = [helper.make_node(name, ["x", *names], ["y"], **attributes)]
    constants = [numpy_helper.from_array(a, n) for n, a in zip(names, given, strict=True)]
    x = numbers(dtype, (2, 3, 1, 4))
    found, right = both(written(nodes, {"x": (dtype, [2, 3, 1, 4])}, dtype, tmp_path, constants), {"x": x})
    assert found.dtype == right.dtype == DTYPES[dtype]
    np.testing.assert_array_equal(found.view(np.uint8), right.view(np.uint8))


@pytest.mark.parametrize("dtype", sorted(NARROW))
def test_constants(dtype: str, tmp_path: Path) -> None:
    """Of a node, of a shape, and the branches of an If."""
    own = helper.make_tensor("v", CODES[dtype], [1], [1.0])
    filled = helper.make_node("ConstantOfShape", ["s"], ["f"], value=own)
    known = helper.make_node("Constant", [], ["k"], value=helper.make_tensor("v", CODES[dtype], [3], [1.0, 0.0, 1.0]))
    outputs = {n: helper.make_tensor_value_info(n, CODES[dtype], [3]) for n in ("f", "k")}
    branches = [helper.make_graph([node], node.output[0], [], [outputs[node.output[0]]]) for node in (filled, known)]
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    path = written([choice], {"c": ("bool", [])}, dtype, tmp_path, [numpy_helper.from_array(np.array([3]), "s")])
    for condition in (True, False):
        found, right = both(path, {"c": np.array(condition)})
        np.testing.assert_array_equal(found.view(np.uint8), np.asarray(right).view(np.uint8))
        assert found.dtype == DTYPES[dtype]


@pytest.mark.parametrize(("source", "to"), [("i4", "u4"), ("u2", "i2"), ("f4e2m1", "i4"), ("f8e5m2", "u8")])
def test_bits_stay(source: str, to: str, tmp_path: Path) -> None:
    x = numbers(source, (5,))
    path = written([helper.make_node("BitCast", ["x"], ["y"], to=CODES[to])], {"x": (source, [5])}, to, tmp_path)
    found = interp.run(import_model(path).entries["main"], {"x": x})["y"]
    assert found.dtype == DTYPES[to]
    np.testing.assert_array_equal(found.view(np.uint8), x.view(np.uint8))


def test_bits_of_another_width(tmp_path: Path) -> None:
    path = written([helper.make_node("BitCast", ["x"], ["y"], to=TensorProto.INT8)], {"x": ("i4", [5])}, "i8", tmp_path)
    with pytest.raises(ModelError, match="BitCast 'y' goes from i4 to i8, which differ in size"):
        import_model(path)


@pytest.mark.parametrize("name", ["IsNaN", "IsInf"])
def test_special_numbers(name: str, tmp_path: Path) -> None:
    x = np.array([1, np.nan, np.inf, -np.inf], np.float32).astype(DTYPES["f8e5m2"])
    path = written([helper.make_node(name, ["x"], ["y"])], {"x": ("f8e5m2", [4])}, "bool", tmp_path)
    found = interp.run(import_model(path).entries["main"], {"x": x})["y"]
    assert found.tolist() == [False, name == "IsNaN", name == "IsInf", name == "IsInf"]


@pytest.mark.parametrize("stored", ["f4e2m1", "f8e4m3fn", "i4"])
def test_microscaling(stored: str, tmp_path: Path) -> None:
    """Blocks of 32 with powers of two as scales, all known at run time only: there and back."""
    attributes = {"axis": 1, "block_size": 32}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"], output_dtype=CODES[stored], **attributes),
        helper.make_node("DequantizeLinear", ["q", "s"], ["y"], output_dtype=TensorProto.FLOAT, **attributes),
    ]
    path = written(nodes, {"x": ("f32", [3, 64]), "s": ("f8e8m0", [3, 2])}, "f32", tmp_path)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 64)).astype(np.float32)
    scales = cast(2.0 ** rng.integers(-3, 2, (3, 2)), "f8e8m0")
    found = interp.run(import_model(path).entries["main"], {"x": x, "s": scales})["y"]
    wide = np.repeat(scales.astype(np.float32), 32, axis=1)
    steps = x / wide
    rounded = np.clip(np.rint(steps), -8, 7) if stored == "i4" else cast(steps, stored).astype(np.float32)
    np.testing.assert_array_equal(found, rounded * wide)


@pytest.mark.parametrize("name", ["Add", "MatMul", "Relu", "Where"])
def test_nothing_is_computed_in_them(name: str, tmp_path: Path) -> None:
    operands = {"Relu": ["x"], "Where": ["c", "x", "x"]}.get(name, ["x", "x"])
    inputs = {"x": ("i4", [2, 2]), "c": ("bool", [2, 2])}
    path = written([helper.make_node(name, operands, ["y"])], inputs, "i4", tmp_path)
    with pytest.raises(ModelError, match=r"of type tensor\(int4\), which opset 26 does not allow"):
        import_model(path)
