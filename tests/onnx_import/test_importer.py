"""The importer on small models made here: bindings, order, If, Loop, and every way to be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgec.ir import interp
from edgec.ir.errors import EdgecError, ModelError, UnsupportedError, UsageError
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions

F = TensorProto.FLOAT


def save(path: Path, nodes: list[Any], inputs: Any, outputs: Any, initializers: Any = (), opset: int = 17) -> Path:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs], list(initializers),
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    file = path / "m.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def test_nodes_in_any_order(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["t"], ["y"]), helper.make_node("Neg", ["x"], ["t"])]
    graph = import_model(save(tmp_path, nodes, [("x", F, [2])], [("y", F, [2])])).entries["main"]
    found = interp.run(graph, {"x": np.array([-1, 2], np.float32)})
    np.testing.assert_array_equal(found["y"], [1, 0])


def test_cycle(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]
    with pytest.raises(ModelError, match="cyclic"):
        import_model(save(tmp_path, nodes, [("x", F, [2])], [("a", F, [2])]))


def test_symbolic_dimension(tmp_path: Path) -> None:
    file = save(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [("x", F, ["N", 3])], [("y", F, ["N", 3])])
    with pytest.raises(UsageError, match=r"dimension 0 of input 'x' is symbolic \(N\).*--shape x=1x3"):
        import_model(file)
    graph = import_model(file, ImportOptions(shapes={"x": (4, 3)})).entries["main"]
    assert graph.inputs[0].type.dims == (4, 3)
    with pytest.raises(UsageError, match="dimension 1 is 3 in the model, not 5"):
        import_model(file, ImportOptions(shapes={"x": (4, 5)}))
    with pytest.raises(UsageError, match="no such input; it has x"):
        import_model(file, ImportOptions(shapes={"z": (4, 5)}))


def test_all_unsupported_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["a"], name="r"),
        helper.make_node("StringNormalizer", ["x"], ["b"], name="s"),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    with pytest.raises(UnsupportedError) as caught:
        import_model(save(tmp_path, nodes, [("x", F, [2])], [("y", F, [2])]))
    assert len(caught.value.reasons) == 2
    assert "RandomNormalLike 'r'" in str(caught.value)
    assert "StringNormalizer 's'" in str(caught.value)


def test_if_and_loop(tmp_path: Path) -> None:
    def branch(name: str, op: str) -> Any:
        return helper.make_graph(
            [helper.make_node(op, ["x"], [name])], name, [], [helper.make_tensor_value_info(name, F, [2])]
        )

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["v", "v"], ["w"]),
            helper.make_node("Neg", ["w"], ["scan"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", F, [2]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", F, [2]),
            helper.make_tensor_value_info("scan", F, [2]),
        ],
    )
    nodes = [
        helper.make_node("If", ["c"], ["t"], then_branch=branch("a", "Neg"), else_branch=branch("b", "Relu")),
        helper.make_node("Loop", ["n", "c", "t"], ["y", "z"], body=body),
    ]
    constants = [
        helper.make_tensor("c", TensorProto.BOOL, [], [True]),
        helper.make_tensor("n", TensorProto.INT64, [], [3]),
    ]
    file = save(tmp_path, nodes, [("x", F, [2])], [("y", F, [2]), ("z", F, [3, 2])], constants)
    found = interp.run(import_model(file).entries["main"], {"x": np.array([1, -2], np.float32)})
    np.testing.assert_array_equal(found["y"], [-8, 16])
    np.testing.assert_array_equal(found["z"], [[2, -4], [4, -8], [8, -16]])


def test_const_binding(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    file = save(tmp_path, nodes, [("x", F, [6]), ("s", TensorProto.INT64, [2])], [("y", F, [2, 3])])
    with pytest.raises(UnsupportedError, match="--const"):
        import_model(file)
    graph = import_model(file, ImportOptions(consts={"s": np.array([2, 3])})).entries["main"]
    assert [v.name for v in graph.inputs] == ["x"]
    assert graph.outputs[0][1].type.dims == (2, 3)


def test_external_data_stays_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    for location, ok in (("w.bin", True), ("../secret.bin", False), (str(tmp_path / "secret.bin"), False)):
        tensor = TensorProto(name="w", data_type=F, dims=[4], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=location)
        file = save(folder, [helper.make_node("Add", ["x", "w"], ["y"])], [("x", F, [4])], [("y", F, [4])], [tensor])
        if ok:
            graph = import_model(file).entries["main"]
            np.testing.assert_array_equal(interp.run(graph, {"x": np.zeros(4, np.float32)})["y"], [0, 1, 2, 3])
        else:
            with pytest.raises(ModelError, match="outside the model's folder"):
                import_model(file)


def _small(tmp_path: Path) -> bytes:
    weights = onnx.numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["y"]),
    ]
    return save(tmp_path, nodes, [("x", F, [1, 3, 8, 8])], [("y", F, [1, 4, 1, 1])], [weights]).read_bytes()


def test_mutants_are_refused_in_words(tmp_path: Path) -> None:
    """Broken files end in an error of ours or in a legal graph, never in anything else."""
    whole = _small(tmp_path)
    rng = np.random.default_rng(0)
    file = tmp_path / "mutant.onnx"
    messages = []
    for i in range(300):
        raw = bytearray(whole)
        if i % 3 == 0:
            raw = raw[: int(rng.integers(0, len(raw)))]
        else:
            for _ in range(int(rng.integers(1, 6))):
                raw[int(rng.integers(0, len(raw)))] = int(rng.integers(0, 256))
        file.write_bytes(raw)
        try:
            import_model(file)
        except EdgecError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(m and "\n" not in m for m in messages)
