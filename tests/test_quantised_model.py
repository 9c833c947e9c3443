"""Models that onnxruntime, PyTorch and tf2onnx quantised: on bytes, the same bits everywhere, onnxruntime's answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnxruntime import quantization
from quantised import by_onnxruntime, made, written
from test_build import EXAMPLES, MODEL, command

import edgec
from edgec.ir.errors import UsageError
from edgec.onnx_import.importer import import_model
from edgec.options import BuildOptions
from edgec.paired import signal_to_noise
from edgec.precision import settle
from edgec.targets.host import target as host

SHAPES = {"input": (1, 1, 28, 28)}
U8, I8 = quantization.QuantType.QUInt8, quantization.QuantType.QInt8
FORMS = {
    "qdq_u8_channels": ("QDQ", U8, True),
    "qdq_u8": ("QDQ", U8, False),
    "qdq_i8_channels": ("QDQ", I8, True),
    "qdq_i8": ("QDQ", I8, False),
    "qoperator_u8_channels": ("QOperator", U8, True),
    "qoperator_i8": ("QOperator", I8, False),
}


class Feeder(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Any) -> None:
        self._feeds: Iterator[Any] = iter({"input": image[None].astype(np.float32)} for image in images)

    def get_next(self) -> Any:
        return next(self._feeds, None)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The example quantised by onnxruntime."""
    folder = tmp_path_factory.mktemp("quantised")
    with np.load(EXAMPLES / "fashion_mnist_calib.npz") as arrays:
        calib = arrays["input"][:50]
    prepared = folder / "prepared.onnx"
    quantization.shape_inference.quant_pre_process(str(MODEL), str(prepared), skip_symbolic_shape=True)
    for name, (form, activations, channels) in FORMS.items():
        quantization.quantize_static(
            str(prepared), str(folder / f"{name}.onnx"), Feeder(calib), quant_format=quantization.QuantFormat[form],
            activation_type=activations, weight_type=I8, per_channel=channels,
        )  # fmt: skip
    return {name: folder / f"{name}.onnx" for name in FORMS}


def images() -> Any:
    with np.load(EXAMPLES / "fashion_mnist_200.npz") as arrays:
        return arrays["input"].astype(np.float32)


@pytest.mark.parametrize("name", FORMS)
def test_onnxruntime_quantised_the_example(name: str, models: dict[str, Path], tmp_path: Path) -> None:
    receipt = edgec.compile(models[name], "host", tmp_path / "out", shapes=SHAPES)
    facts = receipt["quantization"]
    assert facts["precision"] == "int8, the model's own"
    assert facts["macs_share"] == 1.0
    assert facts["refused"] == []
    assert facts["channels_rounded_again"] == 0
    verification = receipt["verification"]
    assert verification["reference"] == "edgec's interpreter on the same integers"
    assert verification["outputs"]["logits"]["max_abs_error"] == 0.0
    assert receipt["memory"]["weights_bytes"] < 90_000
    x = images()
    with edgec.load(tmp_path / "out") as session:
        found = np.concatenate([session.run(None, {"input": one[None]})[0] for one in x])
    right = np.concatenate([by_onnxruntime(models[name], {"input": one[None]})[0] for one in x[:100]])
    assert (found[:100].argmax(1) == right.argmax(1)).sum() >= 99
    assert signal_to_noise(found[:100], right) > 38.0  # 84 % of the logits are the same, the others are a step off


@pytest.mark.parametrize("name", ["qdq_u8_channels", "qoperator_i8"])
def test_the_same_bits_on_every_target(name: str, models: dict[str, Path], tmp_path: Path) -> None:
    """With unsigned bytes and vpdpbusd, with sdot, and with neither."""
    found = []
    for target in ("host", "arm:cortex-a76", "arm:cortex-a72"):
        folder = tmp_path / target.replace(":", "-")
        edgec.compile(models[name], target, folder, shapes=SHAPES, verify_inputs=1)
        with edgec.load(folder) as session:
            found.append([session.run(None, {"input": image[None]})[0] for image in images()[:5]])
    for outputs in found[1:]:
        np.testing.assert_array_equal(np.stack(outputs), np.stack(found[0]))
    assert len({out.tobytes() for out in found[0]}) == 5


def test_the_command_says_what_it_did(models: dict[str, Path], tmp_path: Path) -> None:
    path, data = str(models["qdq_u8"]), str(EXAMPLES / "fashion_mnist_200.npz")
    done = command("build", path, "-t", "host", "-o", "out", "--shape", "input=1x1x28x28", "--data", data, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "int8, the model's own: 15 operators with 100.0% of the multiply-adds work on bytes" in done.stdout
    done = command(
        "build", path, "-t", "host", "-o", "out", "--shape", "input=1x1x28x28", "--precision", "int8", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "--precision int8: the model is quantised already, by scales of its own; leave it out" in done.stderr


def tf_style(signed: bool) -> Any:
    """As tf2onnx writes it: NHWC between transposes, weights and an i32 bias through DequantizeLinear, negative axes,
    ReLU6 as a clip, bytes at the border, and a dense layer behind a reshape."""
    rng = np.random.default_rng(3)
    kind, middle = (np.int8, -128) if signed else (np.uint8, 0)
    wide = TensorProto.INT8 if signed else TensorProto.UINT8
    w, dense = rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8), rng.integers(-127, 128, (32, 6)).astype(np.int8)
    ws, ds = rng.uniform(0.002, 0.01, 8).astype(np.float32), rng.uniform(0.002, 0.01, 6).astype(np.float32)
    s = {"xs": 0.02, "hs": 6 / 255, "ps": 6 / 255, "ys": 0.15}
    z = {"xz": 128 + middle, "hz": middle, "pz": middle, "yz": 128 + middle}
    constants = {
        **{k: np.float32(v) for k, v in s.items()}, **{k: kind(v) for k, v in z.items()},
        "w": w, "ws": ws, "wz": np.zeros(8, np.int8), "d": dense, "ds": ds, "dz": np.zeros(6, np.int8),
        "b": rng.integers(-4000, 4000, 8).astype(np.int32), "bs": (np.float32(0.02) * ws).astype(np.float32),
        "c": rng.integers(-4000, 4000, 6).astype(np.int32), "cs": (np.float32(6 / 255) * ds).astype(np.float32),
        "lo": np.float32(0), "hi": np.float32(6), "flat": np.array([1, 32]), "one": np.array([2, 2]),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("DequantizeLinear", ["x", "xs", "xz"], ["x1"]),
        node("Transpose", ["x1"], ["x2"], perm=[0, 3, 1, 2]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["w1"], axis=-4),
        node("DequantizeLinear", ["b", "bs"], ["b1"], axis=-1),
        node("Conv", ["x2", "w1", "b1"], ["h1"], pads=[0, 0, 1, 1], strides=[2, 2], name="conv"),
        node("Clip", ["h1", "lo", "hi"], ["h2"]),
        node("QuantizeLinear", ["h2", "hs", "hz"], ["h3"]),
        node("MaxPool", ["h3"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("DequantizeLinear", ["p1", "ps", "pz"], ["p2"]),
        node("Transpose", ["p2"], ["p3"], perm=[0, 2, 3, 1]),
        node("Reshape", ["p3", "flat"], ["p4"]),
        node("DequantizeLinear", ["d", "ds", "dz"], ["d1"], axis=-1),
        node("MatMul", ["p4", "d1"], ["y1"]),
        node("DequantizeLinear", ["c", "cs"], ["c1"], axis=0),
        node("Add", ["y1", "c1"], ["y2"]),
        node("QuantizeLinear", ["y2", "ys", "yz"], ["y"]),
    ]
    return made(nodes, constants, {"x": (1, 8, 8, 3)}, {"y": wide}, {"x": wide}, opset=13)


@pytest.mark.parametrize("signed", [False, True], ids=["u8", "i8"])
def test_a_graph_as_tf2onnx_writes_it(signed: bool, tmp_path: Path) -> None:
    path = written(tf_style(signed), tmp_path)
    info = np.iinfo(np.int8 if signed else np.uint8)
    x = np.random.default_rng(7).integers(info.min, info.max + 1, (1, 8, 8, 3)).astype(info.dtype)
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    found = []
    for target in ("host", "arm:cortex-a72"):
        folder = tmp_path / target.replace(":", "-")
        receipt = edgec.compile(path, target, folder)
        assert receipt["quantization"]["macs_share"] == 1.0
        assert receipt["quantization"]["refused"] == []
        assert receipt["quantization"]["operators_in_floats"] == {}
        with edgec.load(folder) as session:
            found.append(session.run(None, {"x": x})[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].dtype == right.dtype
    assert np.abs(found[0].astype(int) - right).max() <= 1
    assert np.unique(right).size > 3


def pytorch_style() -> Any:
    """As PyTorch exports it: floats of weights through QuantizeLinear, float biases, -128 among bytes of weights, a
    transpose behind their DequantizeLinear, and nothing around the flatten."""
    rng = np.random.default_rng(6)
    dense = rng.integers(-127, 128, (6, 8)).astype(np.int8)
    dense[2, 3] = -128
    constants = {
        "w": rng.standard_normal((8, 3, 3, 3)).astype(np.float32), "ws": np.full(8, 0.025, np.float32),
        "wz": np.zeros(8, np.int8), "b": rng.standard_normal(8).astype(np.float32),
        "d": dense, "ds": rng.uniform(0.004, 0.01, 6).astype(np.float32), "dz": np.zeros(6, np.int8),
        "c": rng.standard_normal(6).astype(np.float32), "xs": np.float32(0.03), "xz": np.uint8(128),
        "hs": np.float32(0.04), "hz": np.uint8(0), "ps": np.float32(0.015), "ys": np.float32(0.05), "yz": np.uint8(130),
    }  # fmt: skip
    node = helper.make_node

    def rounded(x: str, y: str, scale: str, zero: str) -> list[Any]:
        return [
            node("QuantizeLinear", [x, scale, zero], [f"{y}_q"], axis=0),
            node("DequantizeLinear", [f"{y}_q", scale, zero], [y], axis=0),
        ]

    nodes = [
        *rounded("x", "x1", "xs", "xz"),
        *rounded("w", "w1", "ws", "wz"),
        node("Conv", ["x1", "w1", "b"], ["h1"], pads=[1, 1, 1, 1]),
        node("Relu", ["h1"], ["h2"]),
        *rounded("h2", "h3", "hs", "hz"),
        node("GlobalAveragePool", ["h3"], ["p1"]),
        *rounded("p1", "p2", "ps", "hz"),
        node("Flatten", ["p2"], ["p3"]),
        node("DequantizeLinear", ["d", "ds", "dz"], ["d1"], axis=0),
        node("Transpose", ["d1"], ["d2"], perm=[1, 0]),
        node("MatMul", ["p3", "d2"], ["y1"]),
        node("Add", ["y1", "c"], ["y2"]),
        *rounded("y2", "y", "ys", "yz"),
    ]
    return made(nodes, constants, {"x": (1, 3, 8, 8)}, {"y": TensorProto.FLOAT}, opset=17)


def test_a_graph_as_pytorch_exports_it(tmp_path: Path) -> None:
    path = written(pytorch_style(), tmp_path)
    receipt = edgec.compile(path, "host", tmp_path / "out")
    facts = receipt["quantization"]
    assert facts["macs_share"] == 1.0
    assert facts["refused"] == []
    assert facts["operators_in_floats"] == {}
    assert facts["channels_rounded_again"] == 1
    assert receipt["verification"]["outputs"]["y"]["max_abs_error"] == 0.0
    x = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})[0]
    assert np.abs(np.rint((found - right) / 0.05)).max() <= 1
    assert np.unique(right).size > 3


def pair(x: str, y: str, scale: str, zero: str, bounds: tuple[str, ...] = ()) -> list[Any]:
    """Q and DQ, with Clip between them where there are bounds."""
    node = helper.make_node
    clamp = [node("Clip", [f"{y}_q", *bounds], [f"{y}_c"])] if bounds else []
    last = f"{y}_c" if bounds else f"{y}_q"
    quantize = node("QuantizeLinear", [x, scale, zero], [f"{y}_q"])
    return [quantize, *clamp, node("DequantizeLinear", [last, scale, zero], [y])]


def test_seven_bits_of_pytorch_are_clamps(tmp_path: Path) -> None:
    """Bytes between 0 and 127: the bounds become those of the operators before them."""
    rng = np.random.default_rng(8)
    constants = {
        "w": rng.integers(-63, 64, (4, 3, 3, 3)).astype(np.int8), "ws": np.float32(0.01), "lo": np.uint8(0),
        "hi": np.uint8(127), "xs": np.float32(0.03), "xz": np.uint8(64), "hs": np.float32(0.004), "hz": np.uint8(0),
        "d": rng.integers(-63, 64, (4, 4, 1, 1)).astype(np.int8), "ys": np.float32(0.01), "yz": np.uint8(60),
    }  # fmt: skip
    node, seven = helper.make_node, ("lo", "hi")
    nodes = [
        *pair("x", "x1", "xs", "xz", seven),
        node("DequantizeLinear", ["w", "ws"], ["w1"]),
        node("Conv", ["x1", "w1"], ["h1"]),
        node("Relu", ["h1"], ["h2"]),
        *pair("h2", "h3", "hs", "hz", seven),
        node("DequantizeLinear", ["d", "ws"], ["d1"]),
        node("Conv", ["h3", "d1"], ["y1"]),
        *pair("y1", "y2", "ys", "yz", seven),
        node("Add", ["y2", "h3"], ["y3"]),
        *pair("y3", "y", "ys", "yz", seven),
    ]
    path = written(made(nodes, constants, {"x": (1, 3, 8, 8)}, {"y": TensorProto.FLOAT}, opset=17), tmp_path)
    receipt = edgec.compile(path, "host", tmp_path / "out")
    facts = receipt["quantization"]
    assert facts["macs_share"] == 1.0
    assert facts["refused"] == []
    assert facts["operators_in_floats"] == facts["operators_in_plain_integers"] == {}
    x = rng.uniform(-4, 4, (1, 3, 8, 8)).astype(np.float32)
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})[0]
    assert np.abs(np.rint((found - right) / 0.01)).max() <= 1
    assert np.rint(found.max() / 0.01) == 127 - 60  # the bound is met
    assert (found == found.max()).mean() > 0.05


def test_scales_one_behind_the_other_and_transposed_convolutions(tmp_path: Path) -> None:
    """A value that is rounded twice, by two scales; a DQ by another scale than its Q; weights with an axis of 1."""
    rng = np.random.default_rng(9)
    constants = {
        "w": rng.integers(-127, 128, (3, 4, 2, 2)).astype(np.int8), "b": rng.integers(-500, 500, 4).astype(np.int32),
        "ws": np.array([0.01, 0.02, 0.005, 0.01], np.float32), "wz": np.zeros(4, np.int8), "xs": np.float32(0.02),
        "bs": np.array([2e-4, 4e-4, 1e-4, 2e-4], np.float32), "bz": np.zeros(4, np.int32), "xz": np.uint8(100),
        "hs": np.float32(0.05), "hz": np.uint8(128), "ys": np.float32(0.07), "yz": np.int8(3),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        *pair("x", "x1", "xs", "xz"),
        node("DequantizeLinear", ["w", "ws", "wz"], ["w1"], axis=1),
        node("DequantizeLinear", ["b", "bs", "bz"], ["b1"], axis=0),
        node("ConvTranspose", ["x1", "w1", "b1"], ["h1"], strides=[2, 2]),
        *pair("h1", "h2", "hs", "hz"),
        *pair("h2", "h3", "ys", "yz"),
        node("QuantizeLinear", ["h3", "ys", "yz"], ["h4"]),
        node("DequantizeLinear", ["h4", "hs", "yz"], ["y"]),
    ]
    path = written(made(nodes, constants, {"x": (1, 3, 6, 5)}, {"y": TensorProto.FLOAT}, opset=17), tmp_path)
    receipt = edgec.compile(path, "host", tmp_path / "out")
    assert receipt["quantization"]["macs_share"] == 1.0
    assert receipt["quantization"]["refused"] == []
    x = rng.uniform(-2, 3, (1, 3, 6, 5)).astype(np.float32)
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})[0]
    steps = np.rint((found - right) / 0.05)
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() < 0.05
    assert np.unique(right).size > 30


def test_what_stays_in_floats_says_why(tmp_path: Path) -> None:
    """A residual between two scales, and a result that is read as it is."""
    rng = np.random.default_rng(10)
    constants = {"w": rng.integers(-127, 128, (3, 3)).astype(np.int8), "ws": np.float32(0.01), "xs": np.float32(0.02),
                 "xz": np.uint8(100), "c": np.float32(3.0)}  # fmt: skip
    node = helper.make_node
    nodes = [
        *pair("x", "x1", "xs", "xz"),
        node("DequantizeLinear", ["w", "ws"], ["w1"]),
        node("MatMul", ["x1", "w1"], ["h1"]),
        node("Add", ["h1", "x1"], ["h2"]),
        node("Mul", ["x1", "c"], ["h3"]),
        node("Sub", ["h2", "h3"], ["y1"]),
        node("Tanh", ["y1"], ["y"]),
    ]
    path = written(made(nodes, constants, {"x": (4, 3)}, {"y": TensorProto.FLOAT}, opset=17), tmp_path)
    facts = edgec.compile(path, "host", tmp_path / "out")["quantization"]
    codes = {row["op"].split()[0]: row["code"] for row in facts["refused"]}
    assert codes == {"add": "OPERAND_IN_FLOATS", "mul": "RESULT_IN_FLOATS"}
    assert facts["operators_in_floats"] == {"sub": 1, "tanh": 1}


CONSTANTS = {
    "channels first": ("Mul", (1, 2, 16, 16), [[[1.0]], [[-150.0]]], 0.1, []),
    "channels last": ("Sub", (256, 3), [1.0, 20.0, 100.0], 0.1, []),
    "taken from": ("Sub", (256, 3), [1.0, 20.0, 100.0], 0.1, []),
    "a mask": ("Add", (1, 2, 16, 16), [[[1.0]], [[-3e9]]], 0.1, []),
    "so small that bytes do": ("Add", (1, 2, 16, 16), [[[1.0]], [[-1.0]]], 0.1, []),
    "a result much finer": ("Mul", (1, 2, 16, 16), [[[1.0]], [[400.0]]], 0.1, ["REQUANT_RANGE"]),
    "larger than a table of it": (
        "Mul", (1, 256, 80), np.exp(np.linspace(-4.0, 4.0, 256 * 80)).reshape(256, 80).tolist(), 0.1, ["CONSTANT_STEP"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", CONSTANTS)
def test_constants_of_floats_are_not_rounded_to_bytes(way: str, tmp_path: Path) -> None:
    """Each channel of a constant is met by every byte; no result is a step off."""
    kind, shape, constant, step, refused = CONSTANTS[way]
    constants = {"k": np.array(constant, np.float32), "xs": np.float32(0.02), "xz": np.uint8(140),
                 "ys": np.float32(step), "yz": np.uint8(100)}  # fmt: skip
    inputs = ["k", "xd"] if way == "taken from" else ["xd", "k"]
    node = helper.make_node
    nodes = [node("DequantizeLinear", ["x", "xs", "xz"], ["xd"]), node(kind, inputs, ["c"]),
             node("QuantizeLinear", ["c", "ys", "yz"], ["y"])]  # fmt: skip
    types = {"x": TensorProto.UINT8}
    path = written(made(nodes, constants, {"x": shape}, {"y": TensorProto.UINT8}, types), tmp_path)
    facts = edgec.compile(path, "host", tmp_path / "out")["quantization"]
    assert [row["code"] for row in facts["refused"]] == refused
    x = np.broadcast_to(np.arange(256).reshape((1, 1, 16, 16) if len(shape) == 4 else (256, 1)), shape)
    x = x.astype(np.uint8)
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})[0]
    off = np.abs(found.astype(int) - right)
    assert off.max() <= 1
    assert (off > 0).mean() < 0.01
    assert np.unique(right).size > 40


@pytest.mark.parametrize("width", [2, 3, 8])
def test_epsilon_of_short_rows(width: int, tmp_path: Path) -> None:
    """A row of two that differ by a step has a variance of a few epsilons."""
    rng = np.random.default_rng(width)
    gain, offset = rng.normal(size=(2, width)).astype(np.float32)
    x = rng.integers(100, 105, (400, width)).astype(np.uint8)
    constants = {"g": gain, "o": offset, "xs": np.float32(0.005), "xz": np.uint8(120), "ys": np.float32(0.03),
                 "yz": np.uint8(128)}  # fmt: skip
    node = helper.make_node
    nodes = [node("DequantizeLinear", ["x", "xs", "xz"], ["xd"]),
             node("LayerNormalization", ["xd", "g", "o"], ["c"], axis=-1),
             node("QuantizeLinear", ["c", "ys", "yz"], ["y"])]  # fmt: skip
    types = {"x": TensorProto.UINT8}
    path = written(made(nodes, constants, {"x": x.shape}, {"y": TensorProto.UINT8}, types), tmp_path)
    facts = edgec.compile(path, "host", tmp_path / "out")["quantization"]
    assert facts["refused"] == []
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})[0]
    assert np.abs(found.astype(int) - right).max() <= 1
    assert np.unique(right).size > 7


@pytest.mark.parametrize(("scale", "zero"), [(1 / 256, 0), (1 / 255, 0), (1 / 1000, 0), (1 / 3000, 7), (0.02, 0)])
def test_a_softmax_has_the_scale_that_the_model_says(scale: float, zero: int, tmp_path: Path) -> None:
    """As observers make them, finer than 1/256 where no share is large."""
    rng = np.random.default_rng(12)
    constants = {"xs": np.float32(0.02), "xz": np.uint8(120), "ys": np.float32(scale), "yz": np.uint8(zero)}
    softmax = helper.make_node("Softmax", ["x1"], ["h"], axis=-1)
    nodes = [*pair("x", "x1", "xs", "xz"), softmax, *pair("h", "y", "ys", "yz")]
    path = written(made(nodes, constants, {"x": (6, 200)}, {"y": TensorProto.FLOAT}, opset=17), tmp_path)
    x = rng.normal(0.0, 0.6, (6, 200)).astype(np.float32)
    x[5, :3] += 2.0
    assert edgec.compile(path, "host", tmp_path / "out")["quantization"]["refused"] == []
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})[0]
    (right,) = by_onnxruntime(path, {"x": x}, plain=True)
    steps = np.rint((found - right) / np.float32(scale))
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() < 0.01


def test_three_axes_and_no_channels_are_floats(tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    constants = {"xs": np.float32(0.02), "xz": np.uint8(120), "ws": np.float32(0.01),
                 "w": rng.integers(-127, 128, (4, 2, 2, 2, 2)).astype(np.int8),
                 "n": np.zeros((5, 0), np.int8)}  # fmt: skip
    nodes = [
        *pair("x", "x1", "xs", "xz"), helper.make_node("DequantizeLinear", ["w", "ws"], ["w1"]),
        helper.make_node("Conv", ["x1", "w1"], ["h"]), *pair("h", "y", "ws", "xz"),
        helper.make_node("DequantizeLinear", ["n", "ws"], ["n1"]), helper.make_node("MatMul", ["x1", "n1"], ["z"]),
    ]  # fmt: skip
    path = written(made(nodes, constants, {"x": (1, 2, 5, 5, 5)}, {"y": 1, "z": 1}, opset=17), tmp_path)
    x = rng.standard_normal((1, 2, 5, 5, 5)).astype(np.float32)
    facts = edgec.compile(path, "host", tmp_path / "out")["quantization"]
    assert {(row["op"].split()[0], row["code"]) for row in facts["refused"]} == {
        ("conv", "NO_INTEGER_FORM"), ("matmul", "NO_INTEGER_FORM"),
    }  # fmt: skip
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})
    for mine, theirs in zip(found, by_onnxruntime(path, {"x": x}, plain=True), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize(("encoded", "code"), [(True, "NO_INTEGER_FORM"), (False, "NO_CODED_KERNEL")])
def test_a_convolution_of_no_channels(encoded: bool, code: str, tmp_path: Path) -> None:
    constants = {"w": np.zeros((0, 4, 3, 3), np.int8), "ws": np.float32(0.01), "xs": np.float32(0.02),
                 "xz": np.uint8(100)}  # fmt: skip
    node = helper.make_node
    weights = node("DequantizeLinear", ["w", "ws"], ["w1"])
    nodes = [*pair("x", "x1", "xs", "xz"), weights, node("Conv", ["x1", "w1"], ["h"]), *pair("h", "y", "ws", "xz")]
    nodes = nodes if encoded else [weights, node("Conv", ["x", "w1"], ["y"])]
    path = written(made(nodes, constants, {"x": (1, 4, 6, 6)}, {"y": TensorProto.FLOAT}), tmp_path)
    facts = edgec.compile(path, "host", tmp_path / "out")["quantization"]
    assert [row["code"] for row in facts["refused"]] == [code]
    with edgec.load(tmp_path / "out") as session:
        assert session.run(None, {"x": np.ones((1, 4, 6, 6), np.float32)})[0].shape == (1, 0, 4, 4)


def product_of_zeros(kind: str) -> tuple[Any, Any]:
    """ConvInteger with a zero point a channel, MatMulInteger with one a row of A; and what it is for an x of ones."""
    z = np.array([3, 9], np.uint8)
    if kind == "ConvInteger":
        constants: dict[str, Any] = {"w": np.full((2, 5, 1, 1), 7, np.uint8), "o": np.uint8(0), "z": z}
        return made([helper.make_node(kind, ["x", "w", "o", "z"], ["y"])], constants, {"x": (1, 5, 1, 1)},
                    {"y": TensorProto.INT32}, {"x": TensorProto.UINT8}), [[[[20]], [[-10]]]]  # fmt: skip
    constants = {"w": np.full((5, 1), 7, np.uint8), "o": np.uint8(0), "z": z}
    return made([helper.make_node(kind, ["x", "w", "z", "o"], ["y"])], constants, {"x": (2, 5)},
                {"y": TensorProto.INT32}, {"x": TensorProto.UINT8}), [[-70], [-280]]  # fmt: skip


@pytest.mark.parametrize("kind", ["ConvInteger", "MatMulInteger"])
def test_zero_points_that_onnxruntime_has_no_kernel_for(kind: str, tmp_path: Path) -> None:
    model, right = product_of_zeros(kind)
    verification = edgec.compile(written(model, tmp_path), "host", tmp_path / "out")["verification"]
    sentence = f"edgec's interpreter (onnxruntime has no kernel for {kind} 'y' with 2 zero points 'z')"
    assert verification["reference"] == sentence
    assert verification["pass"]
    with edgec.load(tmp_path / "out") as session:
        shape = session.inputs[0].shape
        np.testing.assert_array_equal(session.run(None, {"x": np.ones(shape, np.uint8)})[0], right)


@pytest.mark.parametrize("bounds", [(np.nan, 0.7), (-0.5, np.nan), (np.nan, np.nan)])
def test_a_bound_that_is_nan_bounds_nothing(bounds: tuple[float, float], tmp_path: Path) -> None:
    constants = {"lo": np.float32(bounds[0]), "hi": np.float32(bounds[1]), "s": np.float32(0.02), "z": np.uint8(100)}
    nodes = [*pair("x", "x1", "s", "z"), helper.make_node("Clip", ["x1", "lo", "hi"], ["h"]), *pair("h", "y", "s", "z")]
    path = written(made(nodes, constants, {"x": (40,)}, {"y": TensorProto.FLOAT}), tmp_path)
    edgec.compile(path, "host", tmp_path / "out")
    x = np.linspace(-1, 1, 40, dtype=np.float32)
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})[0]
    np.testing.assert_array_equal(found, by_onnxruntime(path, {"x": x}, plain=True)[0])
    assert np.unique(found).size > 15


def test_biases_are_the_integers_of_the_model(tmp_path: Path) -> None:
    """Beyond 2^24 a float32 would lose them."""
    bias = np.array([16_777_217, -33_554_435], np.int32)
    step = np.float32(0.02) * np.float32(0.01)
    constants = {"xs": np.float32(0.02), "xz": np.uint8(0), "w": np.array([[1, 2], [3, 4]], np.int8),
                 "ws": np.float32(0.01), "b": bias, "bs": step,
                 "ys": np.float32(step * 2**18), "yz": np.int8(0)}  # fmt: skip
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["x1"]),
        node("DequantizeLinear", ["x1", "xs", "xz"], ["x2"]),
        node("DequantizeLinear", ["w", "ws"], ["w1"]),
        node("DequantizeLinear", ["b", "bs"], ["b1"]),
        node("Gemm", ["x2", "w1", "b1"], ["y1"]),
        node("QuantizeLinear", ["y1", "ys", "yz"], ["y"]),
    ]
    path = written(made(nodes, constants, {"x": (1, 2)}, {"y": TensorProto.INT8}), tmp_path)
    module = import_model(path)
    settled = settle(module, host.choose(""), BuildOptions(), {}, lambda _: None)
    (product,) = [op for op in module.entries["main"].ops if op.kind == "qmatmul"]
    graph = module.entries["main"]
    m, s = (graph.array(product.arg(i)).astype(np.int64) for i in (3, 4))
    middle = 0 if product.attrs["to"] == "i8" else 128
    zero = np.rint((middle and 128 - middle) * 2.0**s / m)
    np.testing.assert_array_equal(graph.array(product.arg(2)) - zero, bias)
    assert settled.facts["quantization"]["macs_share"] == 1.0


def test_asymmetric_weights_are_rounded_again_and_counted(tmp_path: Path) -> None:
    """Weights with a zero point: the first channel fits all the same, the second reaches to 205 steps."""
    constants = {"xs": np.float32(0.02), "xz": np.uint8(0), "w": np.array([[1, 255], [120, 57]], np.uint8),
                 "ws": np.float32(0.01), "wz": np.uint8(50), "ys": np.float32(0.05), "yz": np.uint8(10)}  # fmt: skip
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["x1"]),
        node("DequantizeLinear", ["x1", "xs", "xz"], ["x2"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["w1"]),
        node("MatMul", ["x2", "w1"], ["y1"]),
        node("QuantizeLinear", ["y1", "ys", "yz"], ["y2"]),
        node("DequantizeLinear", ["y2", "ys", "yz"], ["y"]),
    ]
    path = written(made(nodes, constants, {"x": (4, 2)}, {"y": TensorProto.FLOAT}), tmp_path)
    receipt = edgec.compile(path, "host", tmp_path / "out")
    assert receipt["quantization"]["channels_rounded_again"] == 1
    assert receipt["quantization"]["macs_share"] == 1.0
    feeds = {"x": np.random.default_rng(0).uniform(0, 5, (4, 2)).astype(np.float32)}
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, feeds)[0]
    np.testing.assert_allclose(found, by_onnxruntime(path, feeds)[0], atol=0.1001)


def test_weights_alone_in_bytes_are_codes_of_a_float_model(tmp_path: Path) -> None:
    constants = {"w": np.arange(-20, 20, dtype=np.int8).reshape(8, 5), "ws": np.float32(0.01)}
    nodes = [helper.make_node("DequantizeLinear", ["w", "ws"], ["w1"]), helper.make_node("MatMul", ["x", "w1"], ["y"])]
    path = written(made(nodes, constants, {"x": (4, 8)}, {"y": TensorProto.FLOAT}), tmp_path)
    receipt = edgec.compile(path, "host", tmp_path / "out")
    assert receipt["quantization"]["precision"] == "few bits, the model's own"
    assert [row["format"] for row in receipt["quantization"]["weights"]] == ["i8"]
    assert receipt["verification"]["reference"].startswith("onnxruntime")


@pytest.mark.parametrize("weights", [quantization.QuantType.QInt8, quantization.QuantType.QUInt8])
@pytest.mark.parametrize("target", ["host", "arm:cortex-a72"])
def test_dynamic_quantisation_multiplies_bytes(target: str, weights: quantization.QuantType, tmp_path: Path) -> None:
    """Scales are found at run time: the integers are onnxruntime's, but where a float's last bit decides a byte. A u8
    less its zero point may take two bytes."""
    path, kinds = tmp_path / "dynamic.onnx", ["MatMul", "Gemm", "Conv"]
    quantization.quantize_dynamic(str(MODEL), str(path), op_types_to_quantize=kinds, weight_type=weights)
    receipt = edgec.compile(path, target, tmp_path / "out", shapes=SHAPES)
    assert receipt["quantization"]["precision"] == "int8, dynamic, the model's own"
    assert receipt["quantization"]["macs_share"] == 1.0
    assert receipt["quantization"]["operators_in_plain_integers"] == {}
    assert receipt["verification"]["float_islands"]["pass"]
    x = images()[:20]
    with edgec.load(tmp_path / "out") as session:
        found = np.concatenate([session.run(None, {"input": one[None]})[0] for one in x])
    right = np.concatenate([by_onnxruntime(path, {"input": one[None]})[0] for one in x])
    assert signal_to_noise(found, right) > 38.0
    assert (found.argmax(1) == right.argmax(1)).all()


def test_another_precision_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the model is quantised already"):
        edgec.compile(models["qdq_u8"], "host", tmp_path / "out", shapes=SHAPES, precision="int8")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("k", "refused"), [(66_000, []), (66_500, ["ACC_BOUND"])])
def test_sums_that_may_not_fit_32_bits_are_floats(k: int, refused: list[str], tmp_path: Path) -> None:
    """66,310 products of 127 by 255 are the most that fit."""
    weights = np.where(np.arange(k)[:, None] % 2, 127, -127) * np.array([1, -1])
    constants = {"w": weights.astype(np.int8), "ws": np.float32(0.01), "xs": np.float32(0.01), "xz": np.uint8(0),
                 "ys": np.float32(7.0), "yz": np.uint8(128)}  # fmt: skip
    node = helper.make_node
    nodes = [*pair("x", "x1", "xs", "xz"), node("DequantizeLinear", ["w", "ws"], ["w1"]),
             node("MatMul", ["x1", "w1"], ["y1"]), *pair("y1", "y", "ys", "yz")]  # fmt: skip
    path = written(made(nodes, constants, {"x": (1, k)}, {"y": TensorProto.FLOAT}), tmp_path)
    facts = edgec.compile(path, "host", tmp_path / "out")["quantization"]
    assert [row["code"] for row in facts["refused"]] == refused
    x = np.random.default_rng(0).uniform(0.0, 2.55, (1, k)).astype(np.float32)
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(found, by_onnxruntime(path, {"x": x}, plain=True)[0], atol=7.001)
    assert np.abs(found).min() > 14.0


def test_weights_of_long_sums_are_not_rounded_again(tmp_path: Path) -> None:
    """A step of 20,000 products of 100 is so fine that 41 of coarser steps would be 2 of the result's off."""
    k = 20_000
    constants = {"w": np.full((k, 2), 100, np.int8), "ws": np.float32(0.01), "xs": np.float32(0.01),
                 "xz": np.uint8(0), "ys": np.float32(k * 2.55 / 220), "yz": np.uint8(3)}  # fmt: skip
    node = helper.make_node
    nodes = [*pair("x", "x1", "xs", "xz"), node("DequantizeLinear", ["w", "ws"], ["w1"]),
             node("MatMul", ["x1", "w1"], ["y1"]), *pair("y1", "y", "ys", "yz")]  # fmt: skip
    path = written(made(nodes, constants, {"x": (6, k)}, {"y": TensorProto.FLOAT}), tmp_path)
    facts = edgec.compile(path, "host", tmp_path / "out")["quantization"]
    assert (facts["refused"], facts["channels_rounded_again"], facts["macs_share"]) == ([], 0, 1.0)
    x = np.linspace(0.3, 2.5, 6, dtype=np.float32)[:, None] * np.ones((1, k), np.float32)
    with edgec.load(tmp_path / "out") as session:
        found = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(found, by_onnxruntime(path, {"x": x}, plain=True)[0], rtol=1e-5)
    assert np.unique(found).size == 6
