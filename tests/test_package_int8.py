"""W8A8 in packages: what is stored in bytes, on which grid, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import made, written

from edgec.driver import build
from edgec.ir.errors import UsageError, VerifyError
from edgec.options import BuildOptions
from edgec.package_options import PackageOptions
from edgec.receipt_text import render
from edgec.runtime.coreml.package import read_package
from edgec.runtime.coreml.program import Operation


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two convolutions that read one value, and a sum."""
    rng = np.random.default_rng(1)
    weights = {name: rng.standard_normal((8, 4, 3, 3)).astype(np.float32) / 6 for name in ("a", "b")}
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Conv", ["r", "a"], ["p"], pads=[1] * 4),
        helper.make_node("Conv", ["r", "b"], ["q"], pads=[1] * 4),
        helper.make_node("Add", ["p", "q"], ["y"]),
    ]
    return written(made(nodes, weights, {"x": (1, 4, 8, 8)}, {"y": TensorProto.FLOAT}), tmp_path)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    x = np.random.default_rng(2).standard_normal((8, 4, 8, 8)).astype(np.float32)
    x[0, 0, 0, 0] = 5.0
    np.savez(tmp_path / "samples.npz", x=np.minimum(x, 5.0))
    return tmp_path / "samples.npz"


def operators(folder: Path) -> list[Operation]:
    return list(read_package(folder / "model.mlpackage").program.functions["main"].block.operations)


def test_bytes_and_their_grid(model: Path, samples: Path, tmp_path: Path) -> None:
    options = BuildOptions(precision="int8", calib=str(samples), observer="minmax")
    receipt = build(model, "coreml", tmp_path / "out", options).receipt
    assert receipt["quantization"]["macs_share"] == 1.0
    kinds = [op.type for op in operators(tmp_path / "out")]
    assert kinds.count("quantize") == kinds.count("dequantize") == 1, "both read the same bytes"
    assert kinds.count("constexpr_blockwise_shift_scale") == 2
    quantize = next(op for op in operators(tmp_path / "out") if op.type == "quantize")
    package = read_package(tmp_path / "out/model.mlpackage")
    constants = {op.outputs[0].name: op.attributes["val"] for op in operators(tmp_path / "out") if op.type == "const"}
    given = {name: constants[str(quantize.inputs[name][0])] for name in ("scale", "zero_point")}
    from edgec.runtime.coreml.literals import array_of

    scale, zero = (array_of(given[name], package, name) for name in ("scale", "zero_point"))
    assert float(scale) == pytest.approx(5.0 / 255, rel=1e-3), "of the largest of all samples"
    assert int(zero) == -128, "relu leaves nothing below 0"
    noise = receipt["verification"]["against_model"]["signal_to_noise_db"]["y"]
    assert 35 < noise < 60


def test_what_stays_in_floats(tmp_path: Path) -> None:
    """A product of two values between two by weights: it is named, with the reason."""
    rng = np.random.default_rng(5)
    weights = {name: rng.standard_normal((16, 16)).astype(np.float32) for name in ("a", "b")}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["p"], name="first"),
        helper.make_node("MatMul", ["x", "b"], ["q"], name="second"),
        helper.make_node("MatMul", ["p", "q"], ["y"], name="both"),
    ]
    model = written(made(nodes, weights, {"x": (16, 16)}, {"y": TensorProto.FLOAT}), tmp_path)
    receipt = build(model, "coreml", tmp_path / "out", BuildOptions(precision="int8")).receipt
    facts = receipt["quantization"]
    assert [label.split("'")[1] for label in facts["on_bytes"]] == ["first", "second"]
    (kept,) = facts["kept_in_floats"]
    assert "both" in kept["op"]
    assert kept["code"] == "FACTORS_AT_RUN_TIME"
    assert facts["macs_share"] == round(2 / 3, 4)
    assert "  in floats: 1 matmul: both factors are known at run time only" in render(receipt)


def test_bad_use(model: Path, samples: Path, tmp_path: Path) -> None:
    options = BuildOptions(precision="int8", calib=str(samples))
    with pytest.raises(UsageError, match=r"from iOS 17 on: build for coreml:ios17, or with --precision w8"):
        build(model, "coreml:ios16", tmp_path / "out", options)
    states = replace(options, package=PackageOptions(states={"x": "y"}))
    with pytest.raises(UsageError, match="--single-file: a package keeps its weights"):
        build(model, "coreml", tmp_path / "out", BuildOptions(weights="inline"))
    with pytest.raises(UsageError, match="takes ranges of single calls, and a state goes on: leave out --state"):
        build(model, "coreml", tmp_path / "out", states)
    assert not (tmp_path / "out").exists()


def test_a_build_that_is_right_clears_the_one_that_was_not(tmp_path: Path) -> None:
    """Squares beyond what halves hold; only what edgec made is taken away."""
    square = [helper.make_node("Mul", ["x", "x"], ["y"])]
    model = written(made(square, {}, {"x": (4, 8)}, {"y": TensorProto.FLOAT}), tmp_path)
    halves = BuildOptions(precision="fp16", ranges={"x": (1000.0, 2000.0)})
    with pytest.raises(VerifyError, match=r"what was built is in .*out\.failed"):
        build(model, "coreml", tmp_path / "out", halves)
    assert (tmp_path / "out.failed").exists()
    build(model, "coreml", tmp_path / "out", BuildOptions())
    assert not (tmp_path / "out.failed").exists()
    (tmp_path / "out.failed").mkdir()
    build(model, "coreml", tmp_path / "out", BuildOptions(rebuild=True))
    assert (tmp_path / "out.failed").exists()


def test_passes_that_nothing_was_left_for(tmp_path: Path) -> None:
    w = np.random.default_rng(6).standard_normal((64, 64)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    model = written(made(nodes, {"w": w}, {"x": (4, 64)}, {"y": TensorProto.FLOAT}), tmp_path)
    for encode, idle in (("palettize{bits=4},palettize{bits=2}", ["palettize{bits=2}"]),
                         ("sparsify{share=0.5},palettize", [])):  # fmt: skip
        receipt = build(model, "coreml", tmp_path / "out", BuildOptions(precision="fp16", encode=encode)).receipt
        assert receipt["encoded"].get("without_effect", []) == idle
        assert ("nothing was left to encode for palettize{bits=2}" in render(receipt)) == bool(idle)


def test_same_bytes(model: Path, samples: Path, tmp_path: Path) -> None:
    options = BuildOptions(precision="int8", calib=str(samples))
    for name in ("a", "b"):
        build(model, "coreml", tmp_path / name, options)
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name


def test_frames(tmp_path: Path) -> None:
    """Samples are frames as apps give them; ranges are of what the model makes of them."""
    rng = np.random.default_rng(3)
    w = (rng.standard_normal((8, 3, 3, 3)) / 5).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)]
    model = written(made(nodes, {"w": w}, {"x": (1, 3, 8, 8)}, {"y": TensorProto.FLOAT}), tmp_path)
    frames = rng.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "frames.npz", x=frames)
    options = BuildOptions(precision="int8", calib=str(tmp_path / "frames.npz"), images={"x": "rgb8,model=bgr"})
    receipt = build(model, "coreml", tmp_path / "out", options).receipt
    assert receipt["quantization"]["calibration"]["samples"] == 4
    assert receipt["verification"]["against_model"]["signal_to_noise_db"]["y"] > 30


FORMS = {"w8": 1.0, "w4": 0.5, "fp8-e4m3": 1.0, "int8": 1.0}  # bytes a weight, without scales and tables


@pytest.mark.parametrize("precision", FORMS)
def test_models_of_halves(precision: str, tmp_path: Path) -> None:
    """Weights and values of a model in float16 are narrowed as those of one in float32."""
    rng = np.random.default_rng(4)
    w = (rng.standard_normal((64, 64)) / 8).astype(np.float16)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Tanh", ["m"], ["y"])]
    half = TensorProto.FLOAT16
    proto = made(nodes, {"w": w}, {"x": (32, 64)}, {"y": half}, {"x": half})
    model = written(proto, tmp_path)
    receipt = build(model, "coreml:ios26", tmp_path / "out", BuildOptions(precision=precision)).receipt
    size = receipt["package"]["weights_bytes"]
    assert 64 * 64 * FORMS[precision] <= size < 64 * 64 * FORMS[precision] + 1500
    noise = receipt["verification"]["against_model"]["signal_to_noise_db"]["y"]
    assert (15 if precision == "w4" else 25) < noise < 50, "the model's own numbers would have more"
    kinds = [op.type for op in operators(tmp_path / "out")]
    assert kinds.count("quantize") == kinds.count("dequantize") == (precision == "int8")
    if precision == "int8":
        assert receipt["quantization"]["macs_share"] == 1.0
    else:
        assert sum(receipt["encoded"]["weights"].values()) == 1


def test_encoded_weights_of_halves_beside_float32(tmp_path: Path) -> None:
    """Codes times scales are not rounded to halves there, as the model's weights are; outputs keep what halves do."""
    rng = np.random.default_rng(5)
    w = (rng.standard_normal((64, 64)) / 8).astype(np.float16)
    half = TensorProto.FLOAT16
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    proto = made(nodes, {"w": w}, {"x": (32, 64)}, {"y": half}, {"x": half})
    options = BuildOptions(encode="quantize_weights")
    receipt = build(written(proto, tmp_path), "coreml", tmp_path / "out", options).receipt
    assert receipt["encoded"]["weights"] == {"quant": 1}
    assert receipt["package"]["weights_bytes"] < 64 * 64 + 1500
    assert receipt["verification"]["outputs"]["y"]["signal_to_noise_db"] > 50
