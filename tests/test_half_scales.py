"""Models that other tools quantised by float16 scales: encodings end to end, as with float32 scales. onnxruntime rounds
to halves between, so that a byte may be a step off; what is a tie there is none here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from quantised import by_onnxruntime, made, written
from test_build import EXAMPLES, MODEL, command

import edgec
from edgec.ir.errors import ModelError
from edgec.ir.graph import Graph
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.paired import signal_to_noise
from edgec.passes import QUANTISED
from edgec.pipeline import run_pipeline

HALF = TensorProto.FLOAT16
SHAPE = ("--shape", "input=1x1x28x28")
Array = np.ndarray[Any, Any]
node = helper.make_node


class Feeder(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Array) -> None:
        self._feeds: Iterator[Any] = iter({"input": image[None].astype(np.float32)} for image in images)

    def get_next(self) -> Any:
        return next(self._feeds, None)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with float16 in the place of float32: scales, biases, inputs, outputs and what is between."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = HALF
    del model.graph.value_info[:]
    return model


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, convolutions with residuals and a dense layer, quantised by onnxruntime per channel, then halved."""
    folder = tmp_path_factory.mktemp("halves")
    with np.load(EXAMPLES / "fashion_mnist_calib.npz") as arrays:
        calib = arrays["input"][:50]
    prepared = folder / "prepared.onnx"
    quantization.shape_inference.quant_pre_process(str(MODEL), str(prepared), skip_symbolic_shape=True)
    onnx.save(onnx.version_converter.convert_version(onnx.load(prepared), 21), prepared)
    quantization.quantize_static(
        str(prepared), str(folder / "floats.onnx"), Feeder(calib), quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8, per_channel=True,
    )  # fmt: skip
    return written(halved(onnx.load(folder / "floats.onnx")), folder, "halves")


def images() -> Array:
    with np.load(EXAMPLES / "fashion_mnist_200.npz") as arrays:
        return np.asarray(arrays["input"].astype(np.float16))


def test_the_command_makes_integers_of_it_on_every_target(example: Path, tmp_path: Path) -> None:
    x, found = images()[:100], []
    for target, count in (("host", 100), ("arm", 5), ("arm:cortex-a72", 5)):
        done = command("build", str(example), "-t", target, "-o", target, *SHAPE, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "operators with 100.0% of the multiply-adds work on bytes; by its own scales" in done.stdout
        assert "in floats between bytes" not in done.stdout
        assert "float islands" not in done.stdout
        assert "output logits: ok, max error 0 " in done.stdout
        assert "output logits against onnxruntime" in done.stdout
        with edgec.load(tmp_path / target) as session:
            found.append(np.concatenate([session.run(None, {"input": one[None]})[0] for one in x[:count]]))
    right = np.concatenate([by_onnxruntime(example, {"input": one[None]}, plain=True)[0] for one in x])
    assert found[0].dtype == right.dtype == np.float16
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0][:5])
    assert (found[0].argmax(1) == right.argmax(1)).sum() >= 99
    assert signal_to_noise(found[0], right) > 38.0  # what its float32 twin has, too


def encoded(graph: Graph) -> dict[str, set[str]]:
    """By kind, how results are stored."""
    found: dict[str, set[str]] = {}
    for op in graph.ops:
        for v in op.results:
            found.setdefault(op.kind, set()).add(v.type.stored.dtype)
    return found


def test_its_values_are_encoded_and_nothing_else_is_left(example: Path) -> None:
    """Bytes from the input's cast to the output's; weights and biases are the model's integers."""
    module = import_model(example, ImportOptions(shapes={"input": (1, 1, 28, 28)}))
    (graph,) = module.entries.values()
    given = {numpy_helper.to_array(t).tobytes() for t in onnx.load(example).graph.initializer}
    run_pipeline(module, QUANTISED)
    assert not [op for op in graph.ops if op.kind in ("quantize", "dequantize")]
    assert encoded(graph) == {"cast": {"u8", "f16"}, "transpose": {"u8"}, "conv": {"u8"}, "add": {"u8"},
                              "reduce_mean": {"u8"}, "matmul": {"u8"}}  # fmt: skip
    products = [op for op in graph.ops if op.kind in ("conv", "matmul")]
    assert len(products) == 10
    for op in products:
        assert op.arg(1).type.stored.dtype == "i8"
        assert graph.stored(op.arg(2)).tobytes() in given


def rounded(x: str, y: str, scale: str, zero: str) -> list[Any]:
    """Q and DQ."""
    first = node("QuantizeLinear", [x, scale, zero], [f"{y}_q"])
    return [first, node("DequantizeLinear", [f"{y}_q", scale, zero], [y])]


def residual() -> tuple[list[Any], dict[str, Any]]:
    """Two convolutions, the first of weights that the model quantises itself, a residual, a dense layer behind a
    transpose of its weights, a clamp."""
    rng = np.random.default_rng(4)
    constants = {
        "w": rng.standard_normal((8, 3, 3, 3)).astype(np.float16), "ws": np.full(8, 0.025, np.float16),
        "wz": np.zeros(8, np.int8), "b": rng.standard_normal(8).astype(np.float16),
        "v": rng.integers(-127, 128, (8, 8, 3, 3)).astype(np.int8),
        "vs": rng.uniform(0.002, 0.01, 8).astype(np.float16),
        "a": rng.integers(-4000, 4000, 8).astype(np.int32), "as": np.full(8, 2e-4, np.float16),
        "d": rng.integers(-127, 128, (6, 8)).astype(np.int8), "ds": rng.uniform(0.004, 0.01, 6).astype(np.float16),
        "xs": np.float16(0.03), "xz": np.uint8(128), "hs": np.float16(0.04), "hz": np.uint8(0), "is": np.float16(0.1),
        "iz": np.uint8(120), "ps": np.float16(0.03), "ys": np.float16(0.05), "yz": np.uint8(130),
        "axes": np.array([2, 3]), "lo": np.float16(-4), "hi": np.float16(4),
    }  # fmt: skip
    nodes = [
        *rounded("x", "x1", "xs", "xz"),
        node("QuantizeLinear", ["w", "ws", "wz"], ["w0"], axis=0),
        node("DequantizeLinear", ["w0", "ws", "wz"], ["w1"], axis=0),
        node("Conv", ["x1", "w1", "b"], ["h1"], pads=[1, 1, 1, 1]),
        node("Relu", ["h1"], ["h2"]),
        *rounded("h2", "h3", "hs", "hz"),
        node("DequantizeLinear", ["v", "vs"], ["v1"], axis=0),
        node("DequantizeLinear", ["a", "as"], ["a1"], axis=0),
        node("Conv", ["h3", "v1", "a1"], ["i1"], pads=[1, 1, 1, 1]),
        *rounded("i1", "i2", "is", "iz"),
        node("Add", ["i2", "h3"], ["i3"]),
        *rounded("i3", "i4", "is", "iz"),
        node("ReduceMean", ["i4", "axes"], ["p1"], keepdims=0),
        *rounded("p1", "p2", "ps", "iz"),
        node("DequantizeLinear", ["d", "ds"], ["d1"], axis=0),
        node("Transpose", ["d1"], ["d2"], perm=[1, 0]),
        node("MatMul", ["p2", "d2"], ["y1"]),
        node("Clip", ["y1", "lo", "hi"], ["y2"]),
    ]
    return nodes, constants


@pytest.mark.parametrize("opset", [19, 21, 23])
@pytest.mark.parametrize("target", ["host", "arm:cortex-a76"])
def test_bytes_are_a_step_from_onnxruntimes_at_most(opset: int, target: str, tmp_path: Path) -> None:
    """From opset 23 on, onnxruntime divides in halves: one quotient in fifty is a tie there."""
    nodes, constants = residual()
    nodes.append(node("QuantizeLinear", ["y2", "ys", "yz"], ["y"]))
    model = made(nodes, constants, {"x": (4, 3, 8, 8)}, {"y": TensorProto.UINT8}, {"x": HALF}, opset)
    path = written(model, tmp_path)
    receipt = edgec.compile(path, target, tmp_path / "out")
    facts = receipt["quantization"]
    assert facts["precision"] == "int8, the model's own"
    assert facts["macs_share"] == 1.0
    assert facts["refused"] == []
    assert facts["operators_in_floats"] == facts["operators_in_plain_integers"] == {}
    assert receipt["verification"]["outputs"]["y"] == {"pass": True, "different": 0, "elements": 24}
    x = np.random.default_rng(1).standard_normal((4, 3, 8, 8)).astype(np.float16)
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    with edgec.load(tmp_path / "out") as session:
        (found,) = session.run(None, {"x": x})
    assert found.dtype == right.dtype
    assert np.abs(found.astype(int) - right).max() <= 1
    assert np.unique(right).size > 12


def test_halves_by_casts_beside_float32_scales(tmp_path: Path) -> None:
    """What tools write for opsets in which scales are float32 alone."""
    nodes, constants = residual()
    floats = {name: a.astype(np.float32) if a.dtype == np.float16 and name[-1] == "s" else a
              for name, a in ((n, np.asarray(a)) for n, a in constants.items())}  # fmt: skip
    cast: list[Any] = []
    for one in nodes:
        if one.op_type == "DequantizeLinear":
            result, one.output[0] = one.output[0], f"{one.output[0]}_f"
            cast += [one, node("Cast", [f"{result}_f"], [result], to=HALF)]
        elif one.op_type == "QuantizeLinear":
            source, one.input[0] = one.input[0], f"{one.output[0]}_f"
            cast += [node("Cast", [source], [f"{one.output[0]}_f"], to=TensorProto.FLOAT), one]
        else:
            cast.append(one)
    cast += [node("Cast", ["y2"], ["y3"], to=TensorProto.FLOAT), *rounded("y3", "y", "ys", "yz")]
    model = made(cast, floats, {"x": (4, 3, 8, 8)}, {"y": TensorProto.FLOAT}, {"x": HALF}, opset=18)
    receipt = edgec.compile(written(model, tmp_path), "host", tmp_path / "out")
    facts = receipt["quantization"]
    assert facts["macs_share"] == 1.0
    assert facts["refused"] == []
    assert facts["operators_in_floats"] == facts["operators_in_plain_integers"] == {}
    assert receipt["verification"]["against_model"]["signal_to_noise_db"]["y"] > 30


def attention(constants: dict[str, Any]) -> list[Any]:
    """Softmax of halves between products of bytes; a norm that reads and leaves halves."""
    rng = np.random.default_rng(2)
    for name in ("q", "k", "o"):
        constants[name] = rng.integers(-127, 128, (16, 16)).astype(np.int8)
        constants[f"{name}s"] = rng.uniform(0.001, 0.004, 16).astype(np.float16)
    constants |= {"xs": np.float16(0.03), "xz": np.uint8(128), "hs": np.float16(0.02),
                  "one": np.ones(16, np.float16), "ss": np.float16(1 / 256), "sz": np.uint8(0)}  # fmt: skip
    nodes = rounded("x", "x1", "xs", "xz")
    for name in ("q", "k", "o"):
        nodes.append(node("DequantizeLinear", [name, f"{name}s"], [f"{name}1"], axis=1))
    return [
        *nodes,
        node("MatMul", ["x1", "q1"], ["q2"]),
        *rounded("q2", "q3", "hs", "xz"),
        node("MatMul", ["x1", "k1"], ["k2"]),
        *rounded("k2", "k3", "hs", "xz"),
        node("Transpose", ["k3"], ["k4"], perm=[0, 2, 1]),
        node("MatMul", ["q3", "k4"], ["s1"]),
        node("Softmax", ["s1"], ["s2"]),
        *rounded("s2", "s3", "ss", "sz"),
        node("MatMul", ["s3", "x1"], ["a1"]),
        *rounded("a1", "a2", "hs", "xz"),
        node("MatMul", ["a2", "o1"], ["y1"]),
        node("LayerNormalization", ["y1", "one"], ["y"]),
    ]


@pytest.mark.parametrize("target", ["host", "arm"])
def test_islands_of_halves_are_a_step_off_at_most(target: str, tmp_path: Path) -> None:
    constants: dict[str, Any] = {}
    nodes = attention(constants)
    model = made(nodes, constants, {"x": (1, 12, 16)}, {"y": HALF}, {"x": HALF})
    path = written(model, tmp_path)
    receipt = edgec.compile(path, target, tmp_path / "out")
    verification = receipt["verification"]
    assert verification["pass"]
    assert verification["float_islands"]["pass"]
    assert verification["float_islands"]["islands"] == 2
    assert verification["float_islands"]["largest_step"] <= 1
    assert receipt["quantization"]["operators_in_floats"] == {"cast": 1, "layer_norm": 1}  # at the end
    x = np.random.default_rng(3).standard_normal((1, 12, 16)).astype(np.float16)
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    with edgec.load(tmp_path / "out") as session:
        (found,) = session.run(None, {"x": x})
    assert found.dtype == np.float16
    assert signal_to_noise(found, right) > 30


@pytest.mark.parametrize("target", ["host", "arm:cortex-a72"])
def test_weights_alone_are_codes_of_a_model_in_halves(target: str, tmp_path: Path) -> None:
    """A scale a result channel, for a convolution and a matmul; nothing between is quantised."""
    rng = np.random.default_rng(5)
    constants = {"w": rng.integers(-127, 128, (16, 8, 3, 3)).astype(np.int8), "axes": np.array([2, 3]),
                 "ws": rng.uniform(0.002, 0.01, 16).astype(np.float16), "b": np.arange(16, dtype=np.float16),
                 "d": rng.integers(-127, 128, (16, 64)).astype(np.int8),
                 "ds": rng.uniform(0.002, 0.01, 64).astype(np.float16)}  # fmt: skip
    nodes = [
        node("DequantizeLinear", ["w", "ws"], ["w1"], axis=0),
        node("Conv", ["x", "w1", "b"], ["h"]),
        node("ReduceMean", ["h", "axes"], ["p"], keepdims=0),
        node("DequantizeLinear", ["d", "ds"], ["d1"], axis=1),
        node("MatMul", ["p", "d1"], ["y"]),
    ]
    model = made(nodes, constants, {"x": (1, 8, 9, 9)}, {"y": HALF}, {"x": HALF})
    receipt = edgec.compile(written(model, tmp_path), target, tmp_path / "out")
    facts = receipt["quantization"]
    assert facts["precision"] == "few bits, the model's own"
    assert facts["numbers_in_the_model"] == {"int8": 16 * 72 + 16 * 64}
    assert [row["format"] for row in facts["weights"]] == ["i8", "i8"]
    assert receipt["memory"]["weights_bytes"] < 3500
    assert receipt["verification"]["against_model"]["signal_to_noise_db"]["y"] > 60  # halves alone leave as much


CODES = {
    "int4": (TensorProto.INT4, -8, 7, 32, None), "uint4": (TensorProto.UINT4, 0, 15, 32, 8),
    "int4 channels": (TensorProto.INT4, -8, 7, 0, None), "uint4 channels": (TensorProto.UINT4, 0, 15, 0, 5),
    "int8": (TensorProto.INT8, -128, 127, 32, None), "uint8": (TensorProto.UINT8, 0, 255, 16, 128),
}  # fmt: skip


@pytest.mark.parametrize("target", ["host", "coreml"])
@pytest.mark.parametrize("name", CODES)
def test_weights_in_blocks_stay_codes(name: str, target: str, tmp_path: Path) -> None:
    """By halves a block of products, or a channel; the transpose in front of the product moves them."""
    code, low, high, block, zero = CODES[name]
    rng = np.random.default_rng(6)
    shape, scales = (96, 64), (96, 64 // block) if block else (96,)
    weights = rng.integers(low, high + 1, shape)
    constants = {"w": helper.make_tensor("w", code, shape, weights.ravel()),
                 "s": rng.uniform(0.01, 0.03, scales).astype(np.float16)}  # fmt: skip
    names = ["w", "s"]
    if zero is not None:
        constants["z"] = helper.make_tensor("z", code, scales, np.full(scales, zero).ravel())
        names.append("z")
    blocks = {"axis": 1, "block_size": block} if block else {"axis": 0}
    nodes = [
        node("DequantizeLinear", names, ["w1"], **blocks),
        node("Transpose", ["w1"], ["w2"], perm=[1, 0]),
        node("MatMul", ["x", "w2"], ["y"]),
    ]
    path = written(made(nodes, constants, {"x": (4, 64)}, {"y": HALF}, {"x": HALF}), tmp_path)
    receipt = edgec.compile(path, target, tmp_path / "out")
    assert receipt["verification"]["pass"]
    assert receipt["verification"]["reference"] == "edgec's interpreter with the same weights"
    assert receipt["verification"]["against_model"]["signal_to_noise_db"]["y"] > 60
    codes = weights.size * (4 if "4" in name else 8) // 8
    with_scales = codes + (96 if not block else 96 * 64 // block) * 8 + 1024
    assert (receipt["package"] if target == "coreml" else receipt["memory"])["weights_bytes"] < with_scales
    x = rng.standard_normal((4, 64)).astype(np.float16)
    with edgec.load(tmp_path / "out") as session:
        (found,) = session.run(None, {"x": x})
    assert signal_to_noise(found, by_onnxruntime(path, {"x": x}, plain=True)[0]) > 60


def test_four_bits_beside_bytes_are_multiplied_as_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    constants = {"w": helper.make_tensor("w", TensorProto.INT4, (32, 12), rng.integers(-8, 8, (32, 12)).ravel()),
                 "ws": rng.uniform(0.01, 0.05, 12).astype(np.float16), "xs": np.float16(0.03), "xz": np.uint8(128),
                 "ys": np.float16(0.1), "yz": np.uint8(128)}  # fmt: skip
    nodes = [*rounded("x", "x1", "xs", "xz"), node("DequantizeLinear", ["w", "ws"], ["w1"], axis=1),
             node("MatMul", ["x1", "w1"], ["y1"]), *rounded("y1", "y", "ys", "yz")]  # fmt: skip
    path = written(made(nodes, constants, {"x": (5, 32)}, {"y": HALF}, {"x": HALF}), tmp_path)
    receipt = edgec.compile(path, "host", tmp_path / "out")
    assert receipt["quantization"]["macs_share"] == 1.0
    assert receipt["quantization"]["refused"] == []
    x = rng.standard_normal((5, 32)).astype(np.float16)
    with edgec.load(tmp_path / "out") as session:
        (found,) = session.run(None, {"x": x})
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    assert np.abs(np.rint((found - right) / np.float16(0.1))).max() <= 1
    assert np.unique(right).size > 20


def test_a_package_has_the_encodings_too(tmp_path: Path) -> None:
    nodes, constants = residual()
    nodes += rounded("y2", "y", "ys", "yz")
    model = made(nodes, constants, {"x": (4, 3, 8, 8)}, {"y": HALF}, {"x": HALF})
    receipt = edgec.compile(written(model, tmp_path), "coreml", tmp_path / "out")
    assert receipt["verification"]["pass"]
    assert receipt["verification"]["reference"] == "edgec's interpreter on the same integers"
    assert receipt["verification"]["against_model"]["signal_to_noise_db"]["y"] > 30
    assert receipt["package"]["weights_bytes"] < 2400


@pytest.mark.parametrize("wrong", [0.0, np.inf, -0.5])
def test_scales_that_are_no_steps_are_refused(wrong: float, tmp_path: Path) -> None:
    """A scale that underflows in halves is the likely one."""
    constants = {"s": np.float16(wrong), "z": np.uint8(3)}
    model = made(rounded("x", "y", "s", "z"), constants, {"x": (2,)}, {"y": HALF}, {"x": HALF})
    with pytest.raises(ModelError, match=r"has a scale of .*; legal are positive finite numbers"):
        import_model(written(model, tmp_path))
