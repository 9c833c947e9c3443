"""Bindings, refusals and names: what a user sees of the importer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.ir import interp
from edgec.ir.errors import ModelError, UnsupportedError, UsageError
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions

Shape = list[int | str]


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    initializers: list[TensorProto] | None = None,
) -> Path:
    def infos(shapes: dict[str, Shape]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    graph = helper.make_graph(nodes, "g", infos(inputs), infos(outputs), initializers or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
    return path


def test_unbound_dimension_names_the_input_and_the_option(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"], name="r")], {"x": ["N", 3]}, {"y": ["N", 3]}
    )
    with pytest.raises(UsageError) as caught:
        import_model(path, ImportOptions())
    assert all(part in str(caught.value) for part in ("'x'", "(N)", "--shape x=1x3"))
    module = import_model(path, ImportOptions(shapes={"x": (4, 3)}))
    graph = module.entries["main"]
    assert [str(v.type) for _, v in graph.outputs] == ["f32[4,3]"]
    assert [op.source for op in graph.ops] == ["Relu 'r'"]


def test_one_binding_serves_all_inputs_of_that_dimension(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["a", "b"], ["y"])
    path = save(tmp_path / "m.onnx", [node], {"a": ["N", 2], "b": ["N", 2]}, {"y": ["N", 2]})
    graph = import_model(path, ImportOptions(shapes={"a": (5, 2)})).entries["main"]
    assert [v.type.dims for v in graph.inputs] == [(5, 2), (5, 2)]
    with pytest.raises(UsageError, match="both 5 and 6"):
        import_model(path, ImportOptions(shapes={"a": (5, 2), "b": (6, 2)}))


@pytest.mark.parametrize("shapes", [{"q": (1, 3)}, {"x": (1, 4)}, {"x": (1, 3, 1)}])
def test_bindings_that_do_not_fit(tmp_path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": ["N", 3]}, {"y": ["N", 3]})
    with pytest.raises(UsageError):
        import_model(path, ImportOptions(shapes=shapes))


def test_all_unsupported_nodes_at_once_but_no_dead_ones(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["a"], name="first"),
        helper.make_node("RandomUniformLike", ["a"], ["b"], name="second"),
        helper.make_node("Bernoulli", ["x"], ["dead"], name="dead"),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    with pytest.raises(UnsupportedError) as caught:
        import_model(save(tmp_path / "m.onnx", nodes, {"x": [2]}, {"y": [2]}), ImportOptions())
    assert [reason.split()[1] for reason in caught.value.reasons] == ["'first'", "'second'"]


def test_const_input_folds_the_condition(tmp_path: Path) -> None:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [2])
        return helper.make_graph([helper.make_node(op, ["x"], ["o"])], op, [], [out])

    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    nodes = [
        helper.make_node("Greater", ["k", "half"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Bernoulli")),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"x": [2], "k": []}, {"y": [2]}, [half])
    graph = import_model(path, ImportOptions(consts={"k": np.float32(1)})).entries["main"]
    assert [op.kind for op in graph.ops] == ["neg"]
    assert [v.name for v in graph.inputs] == ["x"]
    with pytest.raises(UnsupportedError, match="Bernoulli"):
        import_model(path, ImportOptions())


def test_unknown_condition_selects(tmp_path: Path) -> None:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [2])
        return helper.make_graph([helper.make_node(op, ["x"], ["o"])], op, [], [out])

    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    nodes = [
        helper.make_node("Greater", ["k", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Abs")),
    ]
    graph = import_model(save(tmp_path / "m.onnx", nodes, {"x": [2], "k": []}, {"y": [2]}, [zero])).entries["main"]
    x = np.array([1, -2], np.float32)
    for k, right in ((1, -x), (-1, abs(x))):
        np.testing.assert_array_equal(interp.run(graph, {"x": x, "k": np.array(k, np.float32)})["y"], right)


def test_declared_output_must_fit(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [2, 3]}, {"y": [2, 4]})
    with pytest.raises(ModelError, match="'y' is declared as"):
        import_model(path)


def test_endless_loop_is_refused(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Relu", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]),
        ],
    )
    trips = numpy_helper.from_array(np.array(2**62, np.int64), "n")
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    with pytest.raises(ModelError, match="runs more than"):
        import_model(save(tmp_path / "m.onnx", [node], {"x": [2]}, {"y": [2]}, [trips]))


def test_functions_of_the_model(tmp_path: Path) -> None:
    scale = helper.make_node("Constant", [], ["s"])
    scale.attribute.add(name="value_float", ref_attr_name="by", type=onnx.AttributeProto.FLOAT)
    function = helper.make_function(
        "own", "Scaled", ["a"], ["b"], [scale, helper.make_node("Mul", ["a", "s"], ["b"])],
        [helper.make_opsetid("", 17)], ["by"],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Scaled", ["x"], ["y"], domain="own", by=3.0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    made = import_model(tmp_path / "m.onnx").entries["main"]
    x = np.array([1, 2], np.float32)
    np.testing.assert_array_equal(interp.run(made, {"x": x})["y"], 3 * x)
