"""`--layers`: each result beside the tensor of the model that it is, in onnxruntime, or beside the interpreter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_build import EXAMPLES, MODEL, command
from test_cli import fails

import edgec
from edgec.ir.errors import ToolError
from edgec.ir.types import Type
from edgec.layers import INTERPRETER
from edgec.narrowed import SAME_HALVES, SAME_INTEGERS
from edgec.sample_inputs import sample_inputs

SHAPES = {"input": (1, 1, 28, 28)}
ORT = f"onnxruntime {onnxruntime.__version__}"


def save(path: Path, nodes: list[onnx.NodeProto], shape: list[int], **arrays: np.ndarray) -> None:
    """A model from x to y."""
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def test_the_shipped_model(tmp_path: Path) -> None:
    receipt = edgec.compile(MODEL, "host", tmp_path / "out", shapes=SHAPES, layers=True)
    layers = receipt["layers"]
    assert [(layer["op"].split(" ")[0], layer["against"]) for layer in layers] == [
        ("reshape", INTERPRETER), *[("conv", ORT)] * 9, ("reduce_mean", ORT), ("matmul", ORT)
    ]  # fmt: skip
    # seven convolutions stand for the Relu behind them, two of which also took in an addition; two for themselves
    tensors = [layer["tensor"] for layer in layers[1:]]
    assert sum("Relu" in t for t in tensors) == 7
    assert sum("Conv" in t for t in tensors) == 2
    assert all(t.endswith(" transpose(0,2,3,1)") for t in tensors[:9])
    assert tensors[-1] == "logits"
    assert layers[-1]["type"] == "f32[1,10]"
    assert all(layer["pass"] and layer["relative_to_max"] < 1e-5 for layer in layers)
    assert any(layer["max_abs_error"] > 0 for layer in layers)
    plain = edgec.compile(MODEL, "host", tmp_path / "plain", shapes=SHAPES)
    assert "layers" not in plain
    assert plain["artifact"]["files"] == receipt["artifact"]["files"]
    library = f"lib{MODEL.stem}.so"
    assert (tmp_path / "out" / library).read_bytes() == (tmp_path / "plain" / library).read_bytes()


def test_the_figure_is_that_of_the_tensor(tmp_path: Path) -> None:
    """Against onnxruntime by hand: the second of two outputs is the layer, and the artifact gives it, too."""
    rng = np.random.default_rng(2)
    weights = {"w": rng.standard_normal((5, 3, 3, 3)), "v": rng.standard_normal((4, 5, 1, 1))}
    arrays = {n: a.astype(np.float32) for n, a in weights.items()}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Tanh", ["a"], ["t"]),
             helper.make_node("Conv", ["t", "v"], ["y"])]  # fmt: skip
    save(tmp_path / "m.onnx", nodes, [1, 3, 8, 9], **arrays)
    layers = edgec.compile(tmp_path / "m.onnx", "host", tmp_path / "out", layers=True)["layers"]
    (row,) = [layer for layer in layers if layer.get("tensor") == "t transpose(0,2,3,1)"]
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.output.append(helper.make_tensor_value_info("t", TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "both.onnx")
    edgec.compile(tmp_path / "both.onnx", "host", tmp_path / "both")
    with edgec.load(tmp_path / "both") as session:
        feeds = sample_inputs([("x", Type("f32", (1, 3, 8, 9)))], 0, {})
        found = session.run(["t"], feeds)[0]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    expected = onnxruntime.InferenceSession(tmp_path / "both.onnx", options).run(["t"], feeds)[0]
    again = edgec.compile(tmp_path / "m.onnx", "host", tmp_path / "again", layers=True)
    assert again["layers"] == layers
    for name in ("receipt.json", "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert row["max_abs_error"] == float(np.abs(found.astype(np.float64) - expected).max()) > 0


def cancelling(path: Path, size: float = 1e4) -> None:
    """A sum of large terms that nearly cancel, so that the order of adding shows; the output hardly depends on it."""
    rng = np.random.default_rng(3)
    half = rng.standard_normal((2048, 8)) * size
    weights = np.concatenate([half, -half[rng.permutation(2048)]]).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Sin", ["t"], ["s"]),
             helper.make_node("Mul", ["s", "tiny"], ["u"]), helper.make_node("Add", ["u", "one"], ["y"])]  # fmt: skip
    save(path, nodes, [1, 4096], w=weights, tiny=np.array(1e-6, np.float32), one=np.array(1, np.float32))


def test_a_layer_beyond_the_tolerance_is_told(tmp_path: Path) -> None:
    cancelling(tmp_path / "m.onnx")
    done = command("build", "m.onnx", "-t", "host", "-o", "out", "--layers", "--range", "x=1:1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    layers = json.loads((tmp_path / "out" / "receipt.json").read_text())["layers"]
    verdicts = {layer["tensor"]: layer["pass"] for layer in layers}
    assert verdicts["t"] is False
    assert verdicts["y"] is True
    assert "layers are beyond the tolerance that outputs must keep, the first is matmul MatMul" in done.stdout


def test_a_failing_output_names_the_first_layer(tmp_path: Path) -> None:
    cancelling(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.output[0].name = "s"
    onnx.save(model, tmp_path / "m.onnx")
    arguments = ("build", "m.onnx", "-t", "host", "-o", "out", "--layers", "--range", "x=1:1")
    fails(tmp_path, 8, "output 's' is beyond the tolerance, first in matmul MatMul", *arguments)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.failed" / "receipt.json").is_file()


def test_frames_and_weights_beside_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["r"]),
             helper.make_node("GlobalAveragePool", ["r"], ["y"])]  # fmt: skip
    save(tmp_path / "m.onnx", nodes, [1, 3, 9, 9], w=rng.standard_normal((4, 3, 3, 3)).astype(np.float32))
    model = onnx.load(tmp_path / "m.onnx")
    (tmp_path / "beside").mkdir()
    path = tmp_path / "beside" / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    receipt = edgec.compile(path, "host", tmp_path / "out", layers=True, images={"x": "rgb8,nhwc"})
    found = {layer.get("tensor", layer["op"]): layer for layer in receipt["layers"]}
    assert found["r transpose(0,2,3,1)"]["against"] == ORT
    assert found["y"]["against"] == ORT
    assert {layer["against"] for layer in receipt["layers"]} == {ORT, INTERPRETER}
    assert all(layer["pass"] for layer in receipt["layers"])


def test_too_many_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgec.layers.VERIFY_BYTES", 1000)
    with pytest.raises(ToolError, match=r"--layers keeps [0-9]+ bytes of results; at most 1000"):
        edgec.compile(MODEL, "host", tmp_path / "out", shapes=SHAPES, layers=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["host", "arm:cortex-a76"])
def test_halves_are_judged_as_halves(target: str, tmp_path: Path) -> None:
    """By the interpreter on the same halves, at 30 dB; the model's tensors are further away than floats may be."""
    receipt = edgec.compile(MODEL, target, tmp_path / "out", shapes=SHAPES, layers=True, precision="fp16")
    layers = receipt["layers"]
    assert {layer["against"] for layer in layers} == {SAME_HALVES}
    halves = [layer for layer in layers if layer["type"].startswith("f16")]
    assert len(halves) >= 11
    assert all(layer["pass"] for layer in layers)
    # which floats would not be allowed
    assert sum(layer["relative_to_max"] > 1e-4 for layer in halves) > 4
    assert all(layer.get("signal_to_noise_db", 30) >= 30 for layer in layers)
    known = [layer["against_model_db"] for layer in halves if layer.get("tensor")]
    assert len(known) >= 10
    assert all(40 < level < 80 for level in known)


def test_bytes_are_judged_as_bytes(tmp_path: Path) -> None:
    calib = str(EXAMPLES / "fashion_mnist_calib.npz")
    receipt = edgec.compile(MODEL, "host", tmp_path / "out", shapes=SHAPES, layers=True, precision="int8", calib=calib,
                            calib_samples=8, observer="minmax", force=True)  # fmt: skip
    layers = receipt["layers"]
    assert {layer["against"] for layer in layers} == {SAME_INTEGERS}
    assert all(layer["pass"] for layer in layers)
    assert all(layer["different"] == 0 for layer in layers if layer["type"].startswith(("u8", "i32")))
    (logits,) = [layer for layer in layers if layer.get("tensor") == "logits"]
    assert logits["against_model_db"] > 25
    # bytes stand for tensors of the model, which calibration has compared with floats on its way
    model = {layer["op"].split(" ", 1)[1]: layer["against_model_db"] for layer in layers if "against_model_db" in layer}
    floats = {row["op"].split(" ", 1)[1]: row["signal_to_noise_db"] for row in receipt["quantization"]["layers"]}
    assert set(model) == set(floats)
    assert len(model) >= 11
    assert all(abs(model[node] - floats[node]) < 2 for node in model)


def test_halves_beyond_their_tolerance_are_told(tmp_path: Path) -> None:
    """Sums that cancel, in an order of their own."""
    cancelling(tmp_path / "m.onnx", 30.0)
    done = command("build", "m.onnx", "-t", "arm:cortex-a76", "-o", "out", "--layers", "--range", "x=1:1",
                   "--precision", "fp16", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    layers = {x.get("tensor"): x for x in json.loads((tmp_path / "out" / "receipt.json").read_text())["layers"]}
    assert layers["t"]["type"] == "f16[1,8]"
    assert layers["t"]["pass"] is False
    assert layers["t"]["signal_to_noise_db"] < 30
    assert layers["y"]["pass"] is True
    assert "the first is matmul MatMul" in done.stdout
    assert f"signal to noise {layers['t']['signal_to_noise_db']} dB" in done.stdout
