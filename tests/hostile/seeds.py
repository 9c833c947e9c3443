"""Sound models that mutants are made of: the shipped example, small models with every kind of structure that the
importer treats in its own way, and ONNX's operator cases."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

EXAMPLE = Path(__file__).parents[2] / "examples" / "resnet8_fashion_mnist.onnx"
OPSET = 18


@dataclass(frozen=True)
class Seed:
    """`shapes` bind what is symbolic."""

    name: str
    model: ModelProto
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def floats(name: str, *shape: int) -> TensorProto:
    """Seeded by the shape: the same weights in every run."""
    rng = np.random.default_rng(sum(shape) + len(shape))
    return numpy_helper.from_array((0.3 * rng.standard_normal(shape)).astype(np.float32), name)


def ints(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def info(name: str, *shape: int | str | None, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def untyped(name: str, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, None)


def model(
    nodes: list[NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: list[TensorProto],
    functions: list[onnx.FunctionProto] | None = None,
    opset: int = OPSET,
) -> ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", opset)]
    if functions:
        opsets.append(helper.make_opsetid("local", 1))
    return helper.make_model(graph, opset_imports=opsets, functions=functions or [], ir_version=10)


def branches() -> ModelProto:
    """An If that is decided by a constant inside one that is decided at run time."""
    inner = [
        helper.make_graph([helper.make_node(kind, ["x"], [f"i{kind}"])], kind, [], [untyped(f"i{kind}")])
        for kind in ("Relu", "Neg")
    ]
    decided = helper.make_node("If", ["always"], ["t"], then_branch=inner[0], else_branch=inner[1])
    then = helper.make_graph([decided], "then", [], [untyped("t")])
    other = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["e"])], "else", [], [untyped("e")])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
    ]
    constants = [numpy_helper.from_array(np.array(True), "always"), numpy_helper.from_array(np.float32(0), "zero")]
    return model(nodes, [info("x", 2, 3)], [info("y", 2, 3)], [*constants, floats("w", 3)])


def loop() -> ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "x"], ["next"]),
            helper.make_node("Identity", ["alive"], ["again"]),
            helper.make_node("ReduceMean", ["next", "axes"], ["seen"], keepdims=0),
        ],
        "body",
        [info("i", dtype=TensorProto.INT64), info("alive", dtype=TensorProto.BOOL), info("state", 2, 3)],
        [info("again", dtype=TensorProto.BOOL), info("next", 2, 3), info("seen", 2)],
    )
    start = helper.make_node("Identity", ["x"], ["start"])
    node = helper.make_node("Loop", ["trips", "go", "start"], ["y", "z"], body=body)
    weights = [numpy_helper.from_array(np.int64(4), "trips"), numpy_helper.from_array(np.array(True), "go")]
    return model([start, node], [info("x", 2, 3)], [info("y", 2, 3), info("z", 4, 2)], [*weights, ints("axes", 1)])


def scan() -> ModelProto:
    body = helper.make_graph(
        [helper.make_node("Mul", ["s", "v"], ["t"]), helper.make_node("Tanh", ["t"], ["o"])],
        "body", [info("s", 3), info("v", 3)], [info("t", 3), info("o", 3)],
    )  # fmt: skip
    node = helper.make_node("Scan", ["w", "x"], ["last", "y"], body=body, num_scan_inputs=1)
    return model([node], [info("x", 5, 3)], [info("last", 3), info("y", 5, 3)], [floats("w", 3)])


def recurrent(kind: str, gates: int) -> Callable[[], ModelProto]:
    def make() -> ModelProto:
        node = helper.make_node(kind, ["x", "w", "r", "b"], ["y", "h"], hidden_size=4, direction="bidirectional")
        weights = [floats("w", 2, gates * 4, 3), floats("r", 2, gates * 4, 4), floats("b", 2, 2 * gates * 4)]
        tail = helper.make_node("Reshape", ["y", "flat"], ["z"])
        outputs = [info("z", 6, 8), info("h", 2, 1, 4)]
        return model([node, tail], [info("x", 6, 1, 3)], outputs, [*weights, ints("flat", 0, -1)])

    return make


def dynamic_lstm() -> ModelProto:
    """As onnxruntime's quantize_dynamic writes it: W and R are bytes with inputs first."""
    rng = np.random.default_rng(3)
    codes = {n: rng.integers(-127, 128, (2, k, 16)).astype(np.int8) for n, k in (("w", 3), ("r", 4))}
    scales = {f"{n}s": np.full((2, 16), 0.01, np.float32) for n in codes}
    zeros = {f"{n}z": np.zeros((2, 16), np.int8) for n in codes}
    names = ["x", "w", "r", "b", "lens", "", "", "", "ws", "wz", "rs", "rz"]
    node = helper.make_node("DynamicQuantizeLSTM", names, ["y", "h"], domain="com.microsoft", hidden_size=4,
                            direction="bidirectional")  # fmt: skip
    weights = [numpy_helper.from_array(a, n) for n, a in {**codes, **scales, **zeros}.items()]
    lens = numpy_helper.from_array(np.array([4], np.int32), "lens")
    outputs = [info("y", 6, 2, 1, 4), info("h", 2, 1, 4)]
    made = model([node], [info("x", 6, 1, 3)], outputs, [*weights, lens, floats("b", 2, 32)])
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def quantized() -> ModelProto:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
        helper.make_node("DequantizeLinear", ["wq", "sw", "zw"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c", "sx", "zx"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "sx", "zx"], ["y"]),
    ]
    wq = np.random.default_rng(1).integers(-128, 128, (4, 2, 3, 3)).astype(np.int8)
    weights = [
        numpy_helper.from_array(np.float32(0.05), "sx"),
        numpy_helper.from_array(np.uint8(128), "zx"),
        numpy_helper.from_array(wq, "wq"),
        numpy_helper.from_array(np.full(4, 0.01, np.float32), "sw"),
        numpy_helper.from_array(np.zeros(4, np.int8), "zw"),
        floats("b", 4),
    ]
    return model(nodes, [info("x", 1, 2, 6, 6)], [info("y", 1, 4, 6, 6)], weights)


def few_bits() -> ModelProto:
    """8-bit floats and 4 bits that come in, leave and stand in constants, in blocks with powers of two as scales."""
    kinds = {"x": TensorProto.FLOAT8E5M2, "w": TensorProto.INT4, "sw": TensorProto.FLOAT8E8M0, "y": TensorProto.UINT4}
    nodes = [
        helper.make_node("Cast", ["x"], ["xf"], to=TensorProto.FLOAT),
        helper.make_node("DequantizeLinear", ["w", "sw"], ["wf"], axis=0, block_size=4, output_dtype=TensorProto.FLOAT),
        helper.make_node("MatMul", ["xf", "wf"], ["p"]),
        helper.make_node("Cast", ["p"], ["q"], to=TensorProto.FLOAT8E4M3FN, saturate=0),
        helper.make_node("CastLike", ["q", "like"], ["r"]),
        helper.make_node("Transpose", ["r"], ["y"], perm=[1, 0]),
    ]
    weights = [
        helper.make_tensor("w", kinds["w"], [8, 3], np.arange(-8, 16) % 8),
        helper.make_tensor("sw", kinds["sw"], [2, 3], np.full(6, 0.5)),
        helper.make_tensor("like", kinds["y"], [1], [0]),
    ]
    ports = [info("x", 2, 8, dtype=kinds["x"])], [info("y", 3, 2, dtype=kinds["y"])]
    return model(nodes, *ports, weights, opset=26)


def attention() -> ModelProto:
    """As exporters write it: shapes are computed from the input's."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["qkv"]),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["n"], axis=0),
        helper.make_node("Concat", ["batch", "n", "three", "heads", "rest"], ["split"], axis=0),
        helper.make_node("Reshape", ["qkv", "split"], ["parts"]),
        helper.make_node("Transpose", ["parts"], ["moved"], perm=[2, 0, 3, 1, 4]),
        helper.make_node("Split", ["moved"], ["q1", "k1", "v1"], axis=0, num_outputs=3),
        *(helper.make_node("Squeeze", [f"{p}1", "axis0"], [p]) for p in "qkv"),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"]),
        helper.make_node("Mul", ["scores", "scale"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["mixed"]),
        helper.make_node("Transpose", ["mixed"], ["back"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["back", "flat"], ["joined"]),
        helper.make_node("LayerNormalization", ["joined", "g", "b"], ["y"], axis=-1),
    ]
    weights = [
        floats("w", 8, 24), ints("one", 1), ints("batch", 1), ints("three", 3), ints("heads", 2), ints("rest", 4),
        ints("axis0", 0), numpy_helper.from_array(np.float32(0.5), "scale"), ints("flat", 0, 0, -1), floats("g", 8),
        floats("b", 8),
    ]  # fmt: skip
    return model(nodes, [info("x", 1, 5, 8)], [info("y", 1, 5, 8)], weights)


def resize() -> ModelProto:
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["up"], mode="linear"),
        helper.make_node("ConvTranspose", ["up", "w"], ["t"], strides=[2, 2], kernel_shape=[2, 2]),
        helper.make_node("MaxPool", ["t"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Pad", ["p", "pads"], ["padded"], mode="reflect"),
        helper.make_node("Resize", ["padded", "", "", "sizes"], ["y"], mode="cubic"),
    ]
    scales = numpy_helper.from_array(np.array([1, 1, 2, 1.5], np.float32), "scales")
    weights = [scales, floats("w", 3, 2, 2, 2), ints("pads", 0, 0, 1, 1, 0, 0, 1, 1), ints("sizes", 1, 2, 7, 9)]
    return model(nodes, [info("x", 1, 3, 4, 4)], [info("y", 1, 2, 7, 9)], weights)


def shapes() -> ModelProto:
    """Everything that folds: Range, Tile, Expand, OneHot, ConstantOfShape, Where, NonZero, CumSum, TopK."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["zeros"]),
        helper.make_node("Range", ["c0", "c6", "c2"], ["r"]),
        helper.make_node("Tile", ["r", "twos"], ["tiled"]),
        helper.make_node("OneHot", ["tiled", "depth", "values"], ["hot"]),
        helper.make_node("Expand", ["hot", "wide"], ["e"]),
        helper.make_node("NonZero", ["hot"], ["nz"]),
        helper.make_node("Gather", ["nz", "one"], ["column"], axis=1),
        helper.make_node("Slice", ["e", "starts", "ends"], ["cut"]),
        helper.make_node("ReduceSum", ["cut"], ["total"], keepdims=0),
        helper.make_node("CumSum", ["tiled", "c0"], ["sums"]),
        helper.make_node("TopK", ["sums", "one"], ["top", "at"]),
        helper.make_node("Cast", ["top"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "zeros"], ["a"]),
        helper.make_node("Mul", ["a", "f"], ["b"]),
        helper.make_node("Add", ["b", "total"], ["y"]),
    ]
    weights = [
        *(numpy_helper.from_array(np.int64(i), f"c{i}") for i in (0, 2, 6)),
        ints("twos", 2), ints("depth", 5), floats("values", 2), ints("wide", 2, 6, 5), ints("one", 1),
        ints("starts", 0, 1), ints("ends", 1, 4),
    ]  # fmt: skip
    return model(nodes, [info("x", 2, 3)], [info("y", 2, 3)], weights)


def functions() -> ModelProto:
    inner = helper.make_function(
        "local", "Inner", ["a"], ["b"], [helper.make_node("Sigmoid", ["a"], ["b"])], [helper.make_opsetid("", OPSET)]
    )
    call = helper.make_node("Inner", ["a"], ["m"], domain="local")
    outer = helper.make_function(
        "local", "Outer", ["a", "w"], ["y"], [call, helper.make_node("Gemm", ["m", "w"], ["y"])],
        [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Outer", ["x", "w"], ["h"], domain="local"),
        helper.make_node("SequenceConstruct", ["h", "h"], ["list"]),
        helper.make_node("ConcatFromSequence", ["list"], ["y"], axis=0),
    ]
    return model(nodes, [info("x", 2, 3)], [info("y", 4, 4)], [floats("w", 3, 4)], [inner, outer])


MADE: dict[str, Callable[[], ModelProto]] = {
    "attention": attention,
    "branches": branches,
    "dynamic_lstm": dynamic_lstm,
    "few_bits": few_bits,
    "functions": functions,
    "gru": recurrent("GRU", 3),
    "loop": loop,
    "lstm": recurrent("LSTM", 4),
    "quantized": quantized,
    "resize": resize,
    "scan": scan,
    "shapes": shapes,
}


def made() -> list[Seed]:
    """The example and the small models."""
    example = Seed("example", onnx.load(EXAMPLE), {"input": (1, 1, 28, 28)})
    return [example, *(Seed(name, make()) for name, make in sorted(MADE.items()))]


@lru_cache(maxsize=1)
def cases() -> list[Seed]:
    """ONNX's operator cases. Small integer inputs become constants, since they are what shapes and axes come from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = sorted(collect_testcases(), key=lambda case: case.name)
    return [Seed(case.name, constant_operands(case)) for case in found if case.data_sets]


def constant_operands(case: Any) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(case.model)
    named = dict(zip([i.name for i in copy.graph.input if i.name], case.data_sets[0][0], strict=False))
    for name, data in named.items():
        array = numpy_helper.to_array(data) if isinstance(data, TensorProto) else data
        if isinstance(array, np.ndarray) and array.dtype in (np.int64, np.int32) and array.size <= 64:
            copy.graph.initializer.append(numpy_helper.from_array(array, name))
    return copy
