"""`--image`: a frame of bytes in, and the answers that the model gives for the prepared floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from test_build import MODEL, command
from test_cli import fails

import edgec
from edgec.image import parse_image
from edgec.ir.errors import UsageError

RGB = "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def write_model(path: Path, shape: tuple[int, ...], pads: list[int]) -> None:
    """A convolution, 3x3, of an image that lies as `shape` says."""
    rng = np.random.default_rng(5)
    nodes, source = [], "x"
    if shape[-1] == 3:
        nodes.append(helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]))
        source = "t"
    nodes.append(helper.make_node("Conv", [source, "w", "b"], ["y"], pads=pads))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(rng.standard_normal((4, 3, 3, 3)).astype(np.float32), "w"),
         onnx.numpy_helper.from_array(rng.standard_normal(4).astype(np.float32), "b")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.mark.parametrize(
    ("form", "model_shape", "pads"),
    [
        (f"rgb8,nhwc,{RGB}", (1, 3, 9, 11), [0, 0, 0, 0]),  # all of it folds into the weights
        (f"rgb8,{RGB}", (1, 3, 9, 11), [1, 1, 1, 1]),  # the shift stays: its padding would not be 0
        (f"bgr8,nchw,{RGB}", (1, 3, 9, 11), [0, 1, 0, 1]),
        (f"bgr8,nhwc,{RGB},model=bgr", (1, 3, 9, 11), [0, 0, 0, 0]),
        (f"rgb8,nchw,{RGB},model=bgr", (1, 9, 11, 3), [0, 0, 0, 0]),
        ("rgb8,range=255,mean=127.5,std=127.5", (1, 9, 11, 3), [1, 1, 1, 1]),
        ("bgr8", (1, 3, 9, 11), [1, 1, 1, 1]),
    ],
)
def test_frames(form: str, model_shape: tuple[int, ...], pads: list[int], tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_model(path, model_shape, pads)
    edgec.compile(path, "host", tmp_path / "out", verify="none", images={"x": form})
    frame = np.random.default_rng(1).integers(0, 256, (9, 11, 3), np.uint8)  # as the camera gives it
    # what a careful user would do by hand
    model_order = frame[..., ::-1] if form.startswith("bgr8") != ("model=bgr" in form) else frame
    if "range=255" in form:
        seen = (model_order - 127.5) / 127.5
    else:
        seen = (model_order / 255.0 - (MEAN if "mean" in form else 0)) / (STD if "std" in form else 1)
    fed = seen if model_shape[-1] == 3 else seen.transpose(2, 0, 1)
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"x": fed[None].astype(np.float32)})[0]
    given = frame.transpose(2, 0, 1) if "nchw" in form else frame
    with edgec.load(tmp_path / "out") as session:
        assert session.inputs[0].dtype == "u8"
        found = session.run(None, {"x": np.ascontiguousarray(given)[None]})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_the_folded_frame_costs_one_cast(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_model(path, (1, 3, 9, 11), [0, 0, 0, 0])
    plain = edgec.compile(path, "host", tmp_path / "plain", verify="none")["operators"]["calls"]
    form = f"bgr8,nhwc,{RGB}"
    framed = edgec.compile(path, "host", tmp_path / "framed", verify="none", images={"x": form})["operators"]["calls"]
    # the plain model transposes its NCHW input; the framed one casts its NHWC bytes instead
    assert framed <= plain


def test_commands(tmp_path: Path) -> None:
    form = "input:gray8,nhwc,mean=0.286,std=0.353"
    options = ("-t", "host", "-o", "out", "--shape", "input=1x1x28x28")
    done = command("build", str(MODEL), *options, "--image", form, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = command("verify", "out", "--model", str(MODEL), cwd=tmp_path)
    assert "logits: ok" in again.stdout, again.stderr
    np.save(tmp_path / "float.npy", np.zeros((1, 28, 28, 1), np.float32))
    fails(tmp_path, 7, "is float32", "run", "out", "-i", "float.npy")
    np.savez(tmp_path / "d.npz", input=np.zeros((2, 28, 28, 1), np.float32), labels=np.zeros(2, np.int64))
    fails(tmp_path, 2, "give integers", "verify", "out", "--model", str(MODEL), "--data", "d.npz")
    fails(tmp_path, 2, "no such input", "build", str(MODEL), *options, "--image", "picture:gray8")
    fails(tmp_path, 2, "needs a float input", "build", str(MODEL), *options, "--image", "input:rgb8")
    fails(tmp_path, 2, "write NAME:rgb8", "build", str(MODEL), *options, "--image", "input")


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("rgba8", "cannot be 'rgba8'"),
        ("rgb8,hwc", "'hwc' is not a part"),
        ("rgb8,mean=a/b/c", "write numbers"),
        ("rgb8,mean=1/2", "one for each of the 3"),
        ("rgb8,std=0", "above 0"),
        ("rgb8,mean=nan", "finite"),
        ("rgb8,mean=123.7/116.3/103.5", "add range=255"),
        ("rgb8,range=2", "range=1"),
        ("rgb8,model=gray", "model=bgr"),
        ("rgb8,mean=0.5,mean=0.5", "not a part"),
    ],
)
def test_bad_forms(form: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_image("x", form)
