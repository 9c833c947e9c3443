"""Hostile files: what is no model, and models whose graph is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import onnx
from hostile.kit import (
    BOOL,
    FLOAT,
    INT64,
    added,
    anything,
    array,
    function,
    ints,
    model,
    node,
    number,
    of_kind,
    port,
    relu,
)
from hostile.table import Hostile
from onnx import ModelProto, TensorProto, helper

EXAMPLE = Path(__file__).parents[2] / "examples" / "resnet8_fashion_mnist.onnx"

# -- no models ----------------------------------------------------------------------------------------------------


def empty_file() -> bytes:
    return b""


def zeros() -> bytes:
    return bytes(4096)


def text() -> bytes:
    return b"<!DOCTYPE html><html><body>404</body></html>"


def garbage() -> bytes:
    return random.Random(1).randbytes(1 << 16)


def truncated_in_the_weights() -> bytes:
    return EXAMPLE.read_bytes()[:-1000]


def truncated_in_the_graph() -> bytes:
    return EXAMPLE.read_bytes()[:300]


def endless_varint() -> bytes:
    return b"\x08" + b"\xff" * 500


def length_beyond_the_file() -> bytes:
    return b"\x08\x08\x3a\xff\xff\xff\xff\x07"


def types_nested_a_thousand_times() -> bytes:
    """sequence(sequence(...)) by hand, since protobuf would refuse to write it."""
    kind = b""
    for _ in range(1000):
        inner = b"\x0a" + varint(len(kind)) + kind
        kind = b"\x22" + varint(len(inner)) + inner
    info = b"\x0a\x01x\x12" + varint(len(kind)) + kind
    graph = b"\x5a" + varint(len(info)) + info
    return b"\x08\x08\x3a" + varint(len(graph)) + graph


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def zip_archive() -> bytes:
    return b"PK\x03\x04" + bytes(100)


# -- graphs -------------------------------------------------------------------------------------------------------


def empty_model() -> ModelProto:
    return ModelProto(ir_version=10)


def no_outputs() -> ModelProto:
    return relu(y=[])


def output_that_nothing_makes() -> ModelProto:
    return model([node("Relu", ["x"], ["z"])])


def output_without_a_name() -> ModelProto:
    return relu(y=[port("", 2, 3)])


def operand_that_nothing_makes() -> ModelProto:
    return model([node("Add", ["x", "ghost"], ["y"])])


def cycle_of_two() -> ModelProto:
    return model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Neg", ["b"], ["y"])])


def cycle_of_one() -> ModelProto:
    return model([node("Add", ["x", "y"], ["y"])])


def cycle_of_ten_thousand() -> ModelProto:
    nodes = [node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(10_000)]
    return model([node("Add", ["x", "t10000"], ["t0"]), *nodes, node("Neg", ["t5"], ["y"])])


def cycle_through_a_branch() -> ModelProto:
    branch = helper.make_graph([node("Relu", ["y"], ["b"])], "b", [], [anything("b")])
    return model([node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], [array("c", True, bool)])


def name_made_twice() -> ModelProto:
    return model([node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])])


def node_that_makes_an_input() -> ModelProto:
    return model([node("Relu", ["x"], ["x"]), node("Neg", ["x"], ["y"])])


def two_inputs_of_one_name() -> ModelProto:
    return relu(x=[port("x", 2, 3), port("x", 4)])


def two_outputs_of_one_name() -> ModelProto:
    return relu(y=[port("y", 2, 3), port("y", 2, 3)])


def two_weights_of_one_name() -> ModelProto:
    return added(array("w", [1.0]), array("w", [2.0]))


def unknown_operator() -> ModelProto:
    return model([node("FlyToTheMoon", ["x"], ["y"], name="apollo")])


def unknown_domain() -> ModelProto:
    made = model([node("Relu", ["x"], ["y"], domain="com.example")])
    made.opset_import.add(domain="com.example", version=1)
    return made


def unknown_operators() -> ModelProto:
    nodes = [node(f"Odd{i}", ["x"], [f"t{i}"], name=f"n{i}", domain="com.example") for i in range(3)]
    made = model([*nodes, node("Sum", ["t0", "t1", "t2"], ["y"])])
    made.opset_import.add(domain="com.example", version=1)
    return made


def ten_thousand_unknown_operators() -> ModelProto:
    nodes = [node("Odd", [f"t{i}" if i else "x"], [f"t{i + 1}"], domain="com.example") for i in range(10_000)]
    made = model([*nodes, node("Relu", ["t10000"], ["y"])])
    made.opset_import.add(domain="com.example", version=1)
    return made


def opset_zero() -> ModelProto:
    return relu(opset=0)


def opset_9999() -> ModelProto:
    return relu(opset=9999)


def no_opset() -> ModelProto:
    made = relu()
    del made.opset_import[:]
    return made


def ir_version_from_the_future() -> ModelProto:
    made = relu()
    made.ir_version = 9999
    return made


def shadowed_outer_name() -> ModelProto:
    """A branch makes a name that the graph around it has, too."""
    branch = helper.make_graph([node("Neg", ["x"], ["w"]), node("Relu", ["w"], ["b"])], "b", [], [anything("b")])
    made = node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    return model([made], [array("c", True, bool), array("w", [1.0])])


# -- types --------------------------------------------------------------------------------------------------------


def declared_dtype_differs() -> ModelProto:
    return relu(y=port("y", 2, 3, dtype=INT64))


def declared_shape_differs() -> ModelProto:
    return relu(y=port("y", 2, 4))


def declared_rank_differs() -> ModelProto:
    return relu(y=port("y", 6))


def operands_of_two_types() -> ModelProto:
    return added(ints("w", 1, 2, 3))


def convolution_of_booleans() -> ModelProto:
    weights = [array("w", [[[[True]]]], bool)]
    return model([node("Conv", ["x", "w"], ["y"])], weights, port("x", 1, 1, 4, 4, dtype=BOOL), anything("y", BOOL))


def string_input() -> ModelProto:
    return model([node("Identity", ["x"], ["y"])], x=port("x", 2, dtype=TensorProto.STRING))


def string_weights() -> ModelProto:
    words = helper.make_tensor("w", TensorProto.STRING, [2], [b"a", b"\xff"])
    return model([node("Identity", ["w"], ["y"])], [words], y=anything("y", TensorProto.STRING))


def few_bits(stored: bytes) -> ModelProto:
    """A constant of five numbers of four bits, two in a byte."""
    numbers = TensorProto(name="w", data_type=TensorProto.INT4, dims=[5], raw_data=stored)
    return model([node("Cast", ["w"], ["c"], to=FLOAT), node("Add", ["x", "c"], ["y"])], [numbers], port("x", 5),
                 anything("y"), opset=21)  # fmt: skip


def int4_with_too_few_bytes() -> ModelProto:
    return few_bits(b"12")


def int4_with_a_byte_each() -> ModelProto:
    return few_bits(b"12345")


def sum_of_int4() -> ModelProto:
    few = TensorProto.INT4
    return model([node("Add", ["x", "x"], ["y"])], x=port("x", 2, dtype=few), y=port("y", 2, dtype=few), opset=21)


def float6_input() -> ModelProto:
    return model([node("Cast", ["x"], ["y"], to=FLOAT)], x=port("x", 2, dtype=27), opset=21)


def cast_rounds_sideways() -> ModelProto:
    made = node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E8M0, round_mode="sideways")
    return model([made], x=port("x", 2), y=port("y", 2, dtype=TensorProto.FLOAT8E8M0), opset=24)


def complex_input() -> ModelProto:
    return model([node("Identity", ["x"], ["y"])], x=port("x", 2, dtype=TensorProto.COMPLEX64))


def undefined_element_type() -> ModelProto:
    return relu(x=port("x", 2, dtype=TensorProto.UNDEFINED))


def element_type_99() -> ModelProto:
    return relu(x=port("x", 2, dtype=99))


def input_without_a_type() -> ModelProto:
    return relu(x=onnx.ValueInfoProto(name="x"))


def sequence_input() -> ModelProto:
    kind = onnx.TypeProto.Sequence(elem_type=port("", 2).type)
    return model([node("SequenceLength", ["x"], ["y"])], x=of_kind("x", sequence_type=kind), y=anything("y", INT64))


def optional_input() -> ModelProto:
    kind = onnx.TypeProto.Optional(elem_type=port("", 2).type)
    return model([node("OptionalGetElement", ["x"], ["y"])], x=of_kind("x", optional_type=kind))


def sparse_input() -> ModelProto:
    kind = onnx.TypeProto.SparseTensor(elem_type=FLOAT, shape=port("", 2, 3).type.tensor_type.shape)
    return relu(x=of_kind("x", sparse_tensor_type=kind))


def sequence_output() -> ModelProto:
    kind = onnx.TypeProto.Sequence(elem_type=port("", 2, 3).type)
    return model([node("SequenceConstruct", ["x"], ["y"])], y=of_kind("y", sequence_type=kind))


def attribute_of_a_wrong_type() -> ModelProto:
    return model([node("Softmax", ["x"], ["y"], axis="last")])


def attribute_there_twice() -> ModelProto:
    made = model([node("Softmax", ["x"], ["y"], axis=1)])
    made.graph.node[0].attribute.add().CopyFrom(made.graph.node[0].attribute[0])
    return made


def attribute_nobody_knows() -> ModelProto:
    return model([node("Relu", ["x"], ["y"], speed="fast")])


def attribute_missing() -> ModelProto:
    return model([node("Concat", ["x", "x"], ["y"])])


def reference_to_no_function() -> ModelProto:
    made = model([node("Softmax", ["x"], ["y"])])
    made.graph.node[0].attribute.add(name="axis", ref_attr_name="outer", type=2)
    return made


def name_that_is_not_utf8() -> bytes:
    return model([node("Relu", ["QQ"], ["y"])], x=port("QQ", 2, 3)).SerializeToString().replace(b"QQ", b"\xff\xfe")


def name_with_a_newline() -> ModelProto:
    return model([node("Relu", ["a\nb"], ["y"])], x=port("a\nb", 2, 3))


def name_of_a_hundred_thousand_letters() -> ModelProto:
    return model([node("Relu", ["x"], ["y" * 100_000]), node("Neg", ["y" * 100_000], ["y"])])


def dimension_with_a_newline() -> ModelProto:
    return relu(x=port("x", "a\nb\u202e"))


# -- control flow and functions -----------------------------------------------------------------------------------


def ifs_nested_too_deep() -> ModelProto:
    inner = node("Relu", ["x"], ["d0"])
    for i in range(24):
        then = helper.make_graph([inner], f"t{i}", [], [anything(f"d{i}")])
        other = helper.make_graph([node("Identity", ["x"], [f"d{i}"])], f"e{i}", [], [anything(f"d{i}")])
        inner = node("If", ["c"], [f"d{i + 1}"], then_branch=then, else_branch=other)
    return model([inner, node("Neg", ["d24"], ["y"])], [array("c", True, bool)])


def branches_of_two_shapes() -> ModelProto:
    then = helper.make_graph([node("Identity", ["x"], ["t"])], "t", [], [anything("t")])
    other = helper.make_graph([node("Flatten", ["x"], ["e"], axis=0)], "e", [], [anything("e")])
    nodes = [node("ReduceSum", ["x"], ["s"], keepdims=0), node("Cast", ["s"], ["c"], to=BOOL)]
    return model([*nodes, node("If", ["c"], ["y"], then_branch=then, else_branch=other)])


def counted(*nodes: onnx.NodeProto, state: str = "next") -> onnx.GraphProto:
    """A loop's body with one state `s`."""
    given = [port("i", dtype=INT64), port("alive", dtype=BOOL), anything("s")]
    return helper.make_graph(list(nodes), "body", given, [port("alive", dtype=BOOL), anything(state)])


def loop_of_2_to_62_trips() -> ModelProto:
    made = node("Loop", ["n", "", "x"], ["y"], body=counted(node("Relu", ["s"], ["next"])))
    return model([made], [number("n", 1 << 62)])


def loop_without_an_end() -> ModelProto:
    made = node("Loop", ["", "go", "x"], ["y"], body=counted(node("Relu", ["s"], ["next"])))
    return model([made], [array("go", True, bool)])


def loop_in_a_loop_in_a_loop() -> ModelProto:
    body = counted(node("Relu", ["s"], ["next"]))
    for _ in range(3):
        body = counted(node("Loop", ["n", "", "s"], ["next"], body=body))
    return model([node("Loop", ["n", "", "x"], ["y"], body=body)], [number("n", 5000)])


def loop_that_doubles_its_state() -> ModelProto:
    made = node("Loop", ["n", "", "x"], ["y"], body=counted(node("Concat", ["s", "s"], ["next"], axis=0)))
    return model([made], [number("n", 100)])


def loop_that_doubles_a_constant() -> ModelProto:
    made = node("Loop", ["n", "", "w"], ["big"], body=counted(node("Concat", ["s", "s"], ["next"], axis=0)))
    tail = [node("ReduceSum", ["big"], ["sum"], keepdims=0), node("Add", ["x", "sum"], ["y"])]
    return model([made, *tail], [number("n", 100), array("w", [1.0, 2.0])])


def loop_with_trips_unknown() -> ModelProto:
    made = node("Loop", ["n", "", "x"], ["y"], body=counted(node("Relu", ["s"], ["next"])))
    return model([made], x=[port("x", 2, 3), port("n", dtype=INT64)])


def scan_over_a_million_steps() -> ModelProto:
    body = helper.make_graph([node("Add", ["s", "v"], ["t"])], "b", [anything("s"), anything("v")], [anything("t")])
    nodes = [node("Scan", ["zero", "x"], ["y"], body=body, num_scan_inputs=1)]
    return model(nodes, [array("zero", [0.0])], port("x", 1_000_000, 1))


def scan_of_2_to_40_operands() -> ModelProto:
    body = helper.make_graph([node("Add", ["s", "v"], ["t"])], "b", [anything("s"), anything("v")], [anything("t")])
    return model([node("Scan", ["x", "x"], ["y"], body=body, num_scan_inputs=1 << 40)])


def recursive_function() -> ModelProto:
    body = [node("F", ["a"], ["b"], domain="local")]
    return model([node("F", ["x"], ["y"], domain="local")], functions=[function("F", body, ["a"], ["b"])])


def functions_that_call_each_other() -> ModelProto:
    made = [function(name, [node(other, ["a"], ["b"], domain="local")], ["a"], ["b"]) for name, other in ("FG", "GF")]
    return model([node("F", ["x"], ["y"], domain="local")], functions=made)


def functions_nested_too_deep() -> ModelProto:
    made = [function("F0", [node("Relu", ["a"], ["b"])], ["a"], ["b"])]
    made += [function(f"F{i}", [node(f"F{i - 1}", ["a"], ["b"], domain="local")], ["a"], ["b"]) for i in range(1, 200)]
    return model([node("F199", ["x"], ["y"], domain="local")], functions=made)


def functions_that_multiply() -> ModelProto:
    """A billion laughs: each function calls the one below it thirty times."""
    made = [function("F0", [node("Relu", ["t0"], ["t1"])], ["t0"], ["t1"])]
    for i in range(1, 12):
        calls = [node(f"F{i - 1}", [f"t{k}"], [f"t{k + 1}"], domain="local") for k in range(30)]
        made.append(function(f"F{i}", calls, ["t0"], ["t30"]))
    return model([node("F11", ["x"], ["y"], domain="local")], functions=made)


FILES: tuple[Hostile, ...] = (
    Hostile(empty_file, 3, "is empty"),
    Hostile(zeros, 3, "is not an ONNX model"),
    Hostile(text, 3, "is not an ONNX model"),
    Hostile(garbage, 3, "is not an ONNX model"),
    Hostile(truncated_in_the_weights, 3, "is not an ONNX model"),
    Hostile(truncated_in_the_graph, 3, "is not an ONNX model"),
    Hostile(endless_varint, 3, "is not an ONNX model"),
    Hostile(length_beyond_the_file, 3, "is not an ONNX model"),
    Hostile(types_nested_a_thousand_times, 3, "is not an ONNX model"),
    Hostile(zip_archive, 3, "is not an ONNX model"),
    Hostile(empty_model, 3, "has no graph"),
    Hostile(no_outputs, 3, "has no outputs"),
    Hostile(output_that_nothing_makes, 3, "'y' is read but nothing makes it"),
    Hostile(output_without_a_name, 3, "has no name"),
    Hostile(operand_that_nothing_makes, 3, "'ghost' is read but nothing makes it"),
    Hostile(cycle_of_two, 3, "cyclic"),
    Hostile(cycle_of_one, 3, "cyclic"),
    Hostile(cycle_of_ten_thousand, 3, "cyclic"),
    Hostile(cycle_through_a_branch, 3, "cyclic"),
    Hostile(name_made_twice, 3, "y"),
    Hostile(node_that_makes_an_input, 3, "x"),
    Hostile(two_inputs_of_one_name, 3, "two inputs named 'x'"),
    Hostile(two_outputs_of_one_name, 3, "two outputs named 'y'"),
    Hostile(two_weights_of_one_name, 3, "w"),
    Hostile(unknown_operator, 3, "FlyToTheMoon"),
    Hostile(unknown_domain, 4, "Relu 'y' is not a supported operator of com.example"),
    Hostile(unknown_operators, 4, "3 unsupported: Odd0 'n0'"),
    Hostile(ten_thousand_unknown_operators, 4, "10000 unsupported: Odd 't1' is"),
    Hostile(opset_zero, 3, "opset 0; 7 to"),
    Hostile(opset_9999, 3, "opset 9999; 7 to"),
    Hostile(no_opset, 3, "opset"),
    Hostile(ir_version_from_the_future, 3, "ir_version"),
    Hostile(shadowed_outer_name, 3, "w"),
    Hostile(declared_dtype_differs, 3, "output 'y' is declared as i64 2x3 but is f32[2,3]"),
    Hostile(declared_shape_differs, 3, "output 'y' is declared as f32 2x4 but is f32[2,3]"),
    Hostile(declared_rank_differs, 3, "output 'y' is declared as f32 6 but is f32[2,3]"),
    Hostile(operands_of_two_types, 3, "must be equal"),
    Hostile(convolution_of_booleans, 3, "tensor(bool)"),
    Hostile(string_input, 4, "input 'x' has the element type string"),
    Hostile(string_weights, 4, "tensor 'w' has the element type string"),
    Hostile(int4_with_too_few_bytes, 3, "(tensor name: w) raw_data size (2 bytes) is too small"),
    Hostile(int4_with_a_byte_each, 3, "tensor 'w' has 5 bytes of data; its shape [5] needs 3"),
    Hostile(sum_of_int4, 3, "has an operand 'A' of type tensor(int4), which opset 21 does not allow"),
    Hostile(float6_input, 4, "input 'x' has the element type float6e2m3"),
    Hostile(cast_rounds_sideways, 3, "has the round_mode 'sideways'; legal are up, down, nearest"),
    Hostile(complex_input, 4, "input 'x' has the element type complex64"),
    Hostile(undefined_element_type, 4, "input 'x' has the element type undefined"),
    Hostile(element_type_99, 4, "input 'x' has the element type number 99"),
    Hostile(input_without_a_type, 3, "Field 'type'"),
    Hostile(sequence_input, 4, "input 'x' is not a tensor but a sequence"),
    Hostile(optional_input, 4, "input 'x' is not a tensor but an optional"),
    Hostile(sparse_input, 4, "input 'x' is not a tensor but a sparse tensor"),
    Hostile(sequence_output, 4, "output 'y' is a sequence"),
    Hostile(attribute_of_a_wrong_type, 3, "axis"),
    Hostile(attribute_there_twice, 3, "axis"),
    Hostile(attribute_nobody_knows, 3, "speed"),
    Hostile(attribute_missing, 3, "axis"),
    Hostile(reference_to_no_function, 3, "outer"),
    Hostile(name_that_is_not_utf8, 3, "not UTF-8"),
    Hostile(name_with_a_newline, 3, "control character"),
    Hostile(name_of_a_hundred_thousand_letters, 3, "longer than"),
    Hostile(dimension_with_a_newline, 3, "control character"),
    Hostile(ifs_nested_too_deep, 3, "nested deeper than 16"),
    Hostile(branches_of_two_shapes, 4, "branches differ in type"),
    Hostile(loop_of_2_to_62_trips, 4, "runs more than 10000 times"),
    Hostile(loop_without_an_end, 4, "runs more than 10000 times"),
    Hostile(loop_in_a_loop_in_a_loop, 3, "becomes more than 20000 operators"),
    Hostile(loop_that_doubles_its_state, 3, "elements are allowed"),
    Hostile(loop_that_doubles_a_constant, 3, "elements are allowed"),
    Hostile(loop_with_trips_unknown, 4, "bind it with --const n="),
    Hostile(scan_over_a_million_steps, 4, "runs 1000000 times"),
    Hostile(scan_of_2_to_40_operands, 3, "num_scan_inputs"),
    Hostile(recursive_function, 3, "recursive"),
    Hostile(functions_that_call_each_other, 3, "recursive"),
    Hostile(functions_nested_too_deep, 3, "depth"),
    Hostile(functions_that_multiply, 3, "becomes more than 20000 operators"),
)
