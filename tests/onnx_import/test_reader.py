"""Broken and hostile files: one clear sentence, never a traceback, no memory spent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.ir import interp
from edgec.ir.errors import ModelError, UsageError
from edgec.onnx_import import limits
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions


def save(
    path: Path, nodes: list[onnx.NodeProto], initializers: list[TensorProto] | None = None, opset: int = 17
) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], initializers or [])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        import_model(path, ImportOptions())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file"):
        import_model(tmp_path / "none.onnx", ImportOptions())


@pytest.mark.parametrize("content", [b"", b"\x00" * 50, b"not a model at all", b"\x08\x07"])
def test_not_a_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    refusal(tmp_path / "m.onnx")


@pytest.mark.parametrize("opset", [0, 5, 999])
def test_opset_range(tmp_path: Path, opset: int) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], opset=opset)
    assert f"opset {opset}" in refusal(path)


def test_cycle(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["a", "x"], ["b"])]
    nodes.append(helper.make_node("Relu", ["b"], ["y"]))
    assert "cyclic" in refusal(save(tmp_path / "m.onnx", nodes))


def test_unsorted_nodes_are_sorted(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Neg", ["x"], ["a"])]
    module = import_model(save(tmp_path / "m.onnx", nodes), ImportOptions())
    x = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
    np.testing.assert_array_equal(interp.run(module.entries["main"], {"x": x})["y"], np.maximum(-x, 0))


def test_unmade_tensor(tmp_path: Path) -> None:
    assert "'q'" in refusal(save(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "q"], ["y"])]))


def test_types_are_checked(tmp_path: Path) -> None:
    ones = numpy_helper.from_array(np.ones((2, 3), np.int64), "w")
    assert "must be equal" in refusal(save(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [ones]))


@pytest.mark.parametrize("shape", [[1 << 40], [0, 1 << 62], [-1], [1 << 31, 1 << 31], [60000, 60000]])
def test_huge_and_negative_shapes(tmp_path: Path, shape: list[int]) -> None:
    wanted = numpy_helper.from_array(np.array(shape, np.int64), "s")
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["a"]), helper.make_node("Shape", ["a"], ["b"])]
    nodes.append(helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT))
    assert str(shape[0]) in refusal(save(tmp_path / "m.onnx", nodes, [wanted]))


def test_tensor_that_does_not_fit_its_shape(tmp_path: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3], raw_data=b"1234")
    path = save(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [tensor])
    assert "'w'" in refusal(path) or "w" in refusal(path)


@pytest.mark.parametrize("number", [300, -5])
def test_small_integers_that_would_wrap(tmp_path: Path, number: int) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[2], int32_data=[7, number])
    path = save(tmp_path / "m.onnx", [helper.make_node("Add", ["w", "w"], ["y"])], [tensor])
    assert f"tensor 'w' has the number {number}; legal for uint8 are 0 to 255" in refusal(path)


def test_nan_attribute(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("LeakyRelu", ["x"], ["y"], alpha=float("nan"))])
    assert "alpha" in refusal(path)


def test_nesting(tmp_path: Path) -> None:
    inner = [helper.make_node("Relu", ["x"], ["y0"])]
    for i in range(limits.NESTING + 2):
        out = helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None)
        branch = helper.make_graph(inner, f"b{i}", [], [out])
        inner = [helper.make_node("If", ["c"], [f"y{i + 1}"], then_branch=branch, else_branch=branch)]
    inner[0].output[0] = "y"
    true = numpy_helper.from_array(np.array(True), "c")
    assert "nested" in refusal(deep(tmp_path / "m.onnx", inner, true))


def deep(path: Path, nodes: list[onnx.NodeProto], condition: TensorProto) -> Path:
    """Two branches of one graph double at every level, so only one of them is kept."""
    level = nodes[0]
    while level.op_type == "If":
        other = next(a for a in level.attribute if a.name == "else_branch")
        del other.g.node[:]
        other.g.node.append(helper.make_node("Identity", ["x"], [other.g.output[0].name]))
        then = next(a for a in level.attribute if a.name == "then_branch")
        level = then.g.node[0]
    return save(path, nodes, [condition])


def external(location: str, offset: int = 0, length: int | None = None) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    entries = {"location": location, "offset": str(offset)} | ({} if length is None else {"length": str(length)})
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_external_data(tmp_path: Path) -> None:
    weights = np.arange(6, dtype=np.float32)
    (tmp_path / "w.bin").write_bytes(b"\x00" * 64 + weights.tobytes())
    path = save(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [external("w.bin", 64, 24)])
    module = import_model(path, ImportOptions())
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(interp.run(module.entries["main"], {"x": x})["y"], x + weights.reshape(2, 3))


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "", ".", "none.bin", "link"])
def test_external_data_elsewhere(tmp_path: Path, location: str) -> None:
    (tmp_path / "w.bin").write_bytes(b"\x00" * 24)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "w.bin")
    refusal(save(folder / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [external(location)]))


@pytest.mark.parametrize(("offset", "length"), [(8, None), (-4, None), (0, 12), (1 << 62, None)])
def test_external_data_too_short(tmp_path: Path, offset: int, length: int | None) -> None:
    (tmp_path / "w.bin").write_bytes(b"\x00" * 24)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    refusal(save(tmp_path / "m.onnx", [node], [external("w.bin", offset, length)]))


def test_older_opsets_of_unchanged_operators(tmp_path: Path) -> None:
    """Softmax is that of opset 1 still; Add got its broadcasting in 7."""
    nodes = [helper.make_node("Softmax", ["x"], ["t"]), helper.make_node("Add", ["t", "t"], ["y"])]
    words = "opset 6, in which Add was another operator; 7 to"
    assert words in refusal(save(tmp_path / "m.onnx", nodes, opset=6))
    path = save(tmp_path / "m.onnx", [helper.make_node("Softmax", ["x"], ["y"])], opset=1)
    graph = import_model(path).entries["main"]
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(interp.run(graph, {"x": x})["y"].sum(1), 1, rtol=1e-6)
