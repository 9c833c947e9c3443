"""Builds of packages with what apps see: labels, pictures, metadata, states, several shapes, several functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tree_sitter
import tree_sitter_swift
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper, save

import edgec
from edgec.cli import commands
from edgec.cli_package import package_options
from edgec.ir.errors import EdgecError, UsageError
from edgec.options import BuildOptions, check_options
from edgec.package_verify import spread
from edgec.runtime.session import load

EXAMPLES = Path(__file__).parent.parent / "examples"
MODEL = EXAMPLES / "resnet8_fashion_mnist.onnx"
LABELS = EXAMPLES / "fashion_mnist_labels.txt"
Array = np.ndarray[Any, Any]


def built(folder: Path, model: Path, *options: str) -> Path:
    """The artifact; AssertionError with what the build said where it failed."""
    done = CliRunner().invoke(commands, ["build", str(model), "-t", "coreml", "-o", str(folder / "out"), *options])
    assert done.exit_code == 0, done.exception
    for path in (folder / "out").glob("*.swift"):
        parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))
        assert not parser.parse(path.read_bytes()).root_node.has_error, path
    return folder / "out"


def refused(folder: Path, model: Path, *options: str) -> str:
    """The sentence of a build that fails, and makes nothing."""
    done = CliRunner().invoke(commands, ["build", str(model), "-t", "coreml", "-o", str(folder / "out"), *options])
    assert isinstance(done.exception, EdgecError), done.exception
    assert not (folder / "out").exists()
    return str(done.exception)


def receipt(artifact: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifact / "receipt.json").read_text())
    return found


def cached(folder: Path) -> Path:
    """y = tanh((past + x) w), all = [past, x] of rows, past and x of symbolic lengths P and T."""
    w = np.random.default_rng(3).standard_normal((16, 16)).astype(np.float32) / 4
    nodes = [
        helper.make_node("Concat", ["past", "x"], ["all"], axis=1),
        helper.make_node("ReduceMean", ["all"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Add", ["x", "mean"], ["sum"]),
        helper.make_node("MatMul", ["sum", "w"], ["product"]),
        helper.make_node("Tanh", ["product"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "cached",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, d, 16]) for n, d in (("past", "P"), ("x", "T"))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "T", 16]),
         helper.make_tensor_value_info("all", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    save(model, folder / "cached.onnx")
    return folder / "cached.onnx"


def boots(count: int = 1) -> Array:
    """Bytes of examples, as a camera would give them."""
    with np.load(EXAMPLES / "fashion_mnist_200.npz") as data:
        chosen = data["input"][np.flatnonzero(data["y"] == 9)[:count], 0]
    return np.clip(np.rint((chosen * 0.353 + 0.286) * 255), 0, 255).astype(np.uint8)


def test_a_classifier_of_pictures(tmp_path: Path) -> None:
    options = ("--shape", "input=1x1x28x28", "--labels", str(LABELS), "--image", "input:gray8,mean=0.286,std=0.353")
    artifact = built(tmp_path, MODEL, *options, "--metadata", "author=Ada", "--metadata", "team=x=y")
    assert receipt(artifact)["verification"]["pass"]
    frame = boots().reshape(1, 28, 28, 1)
    with edgec.load(artifact) as session:
        scores = session.run(None, {"input": frame})[0]
        assert (scores.shape, scores.dtype, session.labels[9]) == ((1, 10), np.float32, "Ankle boot")
        assert int(np.argmax(scores)) == 9
    with load(artifact / "resnet8_fashion_mnist.mlpackage") as session:
        label, probabilities = session.run(None, {"input": frame[0, ..., 0]})
        metadata = session.runner.package.description.metadata  # type: ignore[attr-defined]
    assert label == ["Ankle boot"]
    np.testing.assert_allclose(probabilities, scores[0], rtol=1e-6)
    assert (metadata["author"], metadata["team"]) == ("Ada", "x=y")
    assert metadata["edgec.model.sha256"] == receipt(artifact)["model"]["sha256"]
    swift = (artifact / "Resnet8FashionMnistModel.swift").read_text()
    assert "input: CVPixelBuffer" in swift
    test = (artifact / "Resnet8FashionMnistModelTests.swift").read_text()
    assert "picture(0, height: 28, width: 28, channels: 1)" in test
    blob = (artifact / "Resnet8FashionMnistGolden.bin").read_bytes()
    assert len(blob) == 28 * 28 + 10 * 4


def test_a_range_of_batches(tmp_path: Path) -> None:
    artifact = built(tmp_path, MODEL, "--shape", "input=1..3x1x28x28")
    outputs = receipt(artifact)["verification"]["outputs"]
    assert list(outputs) == ["logits", "logits (input=2x1x28x28)", "logits (input=3x1x28x28)"]
    x = (boots(3).astype(np.float32)[:, None] / 255 - 0.286) / 0.353
    with edgec.load(artifact) as session:
        (three,) = session.run(None, {"input": x})
        each = [session.run(None, {"input": x[i : i + 1]})[0][0] for i in range(3)]
    np.testing.assert_allclose(three, each, rtol=1e-4, atol=1e-4)


def test_a_cache_as_a_state(tmp_path: Path) -> None:
    model = cached(tmp_path)
    shapes = ("--shape", "past=1x4x16", "--shape", "x=1x1x16", "--precision", "fp16")
    artifact = built(tmp_path, model, *shapes, "--state", "past=all:last")
    manifest = json.loads((artifact / "manifest.json").read_text())
    assert manifest["carried"] == {"past": "all:last"}
    assert [p["name"] for p in (*manifest["inputs"], *manifest["outputs"], *manifest["states"])] == ["x", "y", "past"]
    assert (artifact / "CachedModelTests.swift").read_text().count("using: state)") == 3
    done = CliRunner().invoke(commands, ["verify", str(artifact), "--model", str(model)])
    assert done.exit_code == 0, done.output


def test_no_states_before_ios_18(tmp_path: Path) -> None:
    shapes = ("--shape", "past=1x4x16", "--shape", "x=1x1x16", "--precision", "fp16")
    artifact = built(tmp_path, cached(tmp_path), *shapes, "--state", "past=all:last", "-t", "coreml:ios17")
    assert [p["name"] for p in json.loads((artifact / "manifest.json").read_text())["inputs"]] == ["past", "x"]
    note = "iOS 17, macOS 14 has no states: what --state names stays an input and an output"
    assert note in receipt(artifact)["notes"]


def test_two_functions_with_common_weights(tmp_path: Path) -> None:
    functions = ("--function", "decode:x=1x1x16", "--function", "prefill:x=1x6x16")
    artifact = built(tmp_path, cached(tmp_path), "--shape", "past=1x4x16", *functions)
    assert set(receipt(artifact)["verification"]["outputs"]) == {"y", "all", "y (prefill)", "all (prefill)"}
    assert 1024 < receipt(artifact)["package"]["weights_bytes"] < 1536  # 16 x 16 floats, once
    with load(artifact / "cached.mlpackage", function="prefill") as session:
        assert session.run(None, {"past": np.zeros((1, 4, 16), np.float32), "x": np.ones((1, 6, 16), np.float32)})[
            0
        ].shape == (1, 6, 16)
    swift = (artifact / "CachedModel.swift").read_text()
    assert "class CachedDecodeModel" in swift
    assert "class CachedPrefillModel" in swift


def test_builds_that_cannot_be(tmp_path: Path) -> None:
    model = cached(tmp_path)
    one = ("--shape", "past=1x4x16", "--shape", "x=1x1x16")
    assert "build with --precision fp16" in refused(tmp_path, model, *one, "--state", "past=all:last")
    assert "write all:last to keep its last entries" in refused(tmp_path, model, *one, "--state", "past=all")
    both = ("--function", "a:x=1x1x16", "--function", "b:x=1x2x16")
    assert "one function up to iOS 17" in refused(tmp_path, model, *one, *both, "-t", "coreml:ios16")
    assert "are for packages" in refused(tmp_path, model, *one, *both, "-t", "host")
    assert "--fix looks at one shape" in refused(tmp_path, model, *one, *both, "--precision", "fp16", "--fix")
    assert "keys are not empty" in refused(tmp_path, model, *one, "--metadata", "edgec.model=z")


@pytest.mark.parametrize(
    ("shapes", "functions", "sentence"),
    [
        (("x=1x8..4",), (), "the smaller length first"),
        (("x=1..2x3..4",), (), "write one range"),
        (("x=1x1..999",), (), "at most 256 lengths"),
        (("x=1..3x4", "x=7x4"), (), "a range or several shapes, not both"),
        (("x=1..3x4", "z=7x4", "z=8x4"), (), "the others cannot have several shapes"),
        (("x=1x4", "x=2x4", "x=1x4"), (), "stands twice"),
        (("x=1x4", "x=2x4", "z=1", "z=2", "z=3"), (), "need equally many"),
        ((), ("a:x=1", "a:x=2"), "each name once"),
        ((), ("a",), "write NAME:INPUT=1x3x8"),
    ],
)
def test_options_that_cannot_be(shapes: tuple[str, ...], functions: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        package_options(shapes, functions, (), ())


def test_one_function_is_no_choice() -> None:
    _, package = package_options((), ("a:x=1",), (), ())
    with pytest.raises(UsageError, match="one function is the model itself"):
        check_options(BuildOptions(package=package), "coreml")


def test_what_is_run_of_a_range() -> None:
    names = {str(i): {"shape": i} for i in range(20)}
    assert list(spread(names)) == ["0", "2", "5", "8", "10", "13", "16", "19"]
    assert list(spread({"main": {}})) == ["main"]
    assert spread(dict(list(names.items())[:3])) == dict(list(names.items())[:3])


def test_shapes_that_go_together() -> None:
    first, options = package_options(("x=1x4..6", "z=4..6", "w=9"), (), (), ())
    assert first == {"x": (1, 4), "z": (4,), "w": (9,)}
    assert options.variants == ({"x": (1, 5), "z": (5,), "w": (9,)}, {"x": (1, 6), "z": (6,), "w": (9,)})
    assert options.ranged
    first, options = package_options(("x=2", "z=9"), ("a:x=1", "b:x=8,y=3"), (), ())
    assert first == {"x": (1,), "z": (9,)}
    assert options.functions == {"a": {"x": (1,), "z": (9,)}, "b": {"x": (8,), "z": (9,), "y": (3,)}}
