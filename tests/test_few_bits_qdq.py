"""Models that onnxruntime quantised to float8, to 16 bits, and to int4 weights: its answers, and weights as codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime import quantization
from quantised import by_onnxruntime
from test_build import EXAMPLES, MODEL, command
from test_own_codes import TARGETS
from test_quantised_model import SHAPES, Feeder, images

import edgec
from edgec.paired import signal_to_noise

KINDS = quantization.QuantType
WEIGHTS = 77_504  # numbers of the example that are multiplied
# activations, weights, a scale for each channel
FORMS = {
    "float8": (KINDS.QFLOAT8E4M3FN, KINDS.QFLOAT8E4M3FN, False),
    "float8_channels": (KINDS.QFLOAT8E4M3FN, KINDS.QFLOAT8E4M3FN, True),
    "i16_i8": (KINDS.QInt16, KINDS.QInt8, True),
    "u16_u8": (KINDS.QUInt16, KINDS.QUInt8, False),
    "u16_i4": (KINDS.QUInt16, KINDS.QInt4, True),
    "u8_i4": (KINDS.QUInt8, KINDS.QInt4, True),
    "u8_u4": (KINDS.QUInt8, KINDS.QUInt4, False),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("few_bits")
    with np.load(EXAMPLES / "fashion_mnist_calib.npz") as arrays:
        calib = arrays["input"][:20]
    prepared = folder / "prepared.onnx"
    quantization.shape_inference.quant_pre_process(str(MODEL), str(prepared), skip_symbolic_shape=True)
    for name, (activations, weights, channels) in FORMS.items():
        method = quantization.CalibrationMethod
        quantization.quantize_static(
            str(prepared), str(folder / f"{name}.onnx"), Feeder(calib), quant_format=quantization.QuantFormat.QDQ,
            activation_type=activations, weight_type=weights, per_channel=channels,
            calibrate_method=method.Distribution if "float8" in name else method.MinMax,
        )  # fmt: skip
    return {name: folder / f"{name}.onnx" for name in FORMS}


def built(model: Path, target: str, folder: Path) -> tuple[dict[str, Any], Any, Any]:
    """The receipt, and the answers of the artifact and of onnxruntime without fusions."""
    receipt: dict[str, Any] = edgec.compile(model, target, folder, shapes=SHAPES, verify_inputs=1)
    assert receipt["verification"]["pass"]
    x = images()[: 40 if target == "host" else 4]
    with edgec.load(folder) as session:
        found = np.concatenate([session.run(None, {"input": one[None]})[0] for one in x])
    right = np.concatenate([by_onnxruntime(model, {"input": one[None]}, plain=True)[0] for one in x])
    return receipt, found, right


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["float8", "float8_channels"])
def test_float8(name: str, target: str, models: dict[str, Path], tmp_path: Path) -> None:
    """A byte a weight and a value; numbers between two of the format go where onnxruntime's do, nearly all."""
    receipt, found, right = built(models[name], target, tmp_path / "out")
    facts = receipt["quantization"]
    assert (facts["coded_macs_share"], facts["refused"]) == (1.0, [])
    assert {row["format"] for row in facts["weights"]} == {"e4m3"}
    kinds = receipt["memory"]["weights_by_kind"]
    assert WEIGHTS <= kinds["e4m3"] <= WEIGHTS * 1.06
    assert kinds.get("f32", 0) <= 0.02 * WEIGHTS, "biases"
    assert receipt["verification"]["reference"] == "edgec's interpreter with the same 8-bit floats"
    assert signal_to_noise(found, right) > 30.0
    assert (found == right).mean() > 0.5  # all but what a bit of a sum sends to the other neighbour


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["i16_i8", "u16_u8", "u16_i4"])
def test_16_bits(name: str, target: str, models: dict[str, Path], tmp_path: Path) -> None:
    """Products are those of floats, between values of 16 bits, by weights that stay codes."""
    receipt, found, right = built(models[name], target, tmp_path / "out")
    facts, format, each = receipt["quantization"]["coded"], *(("i4", 0.5) if "i4" in name else ("i8", 1.0))
    assert receipt["quantization"]["precision"] == "16 bits, the model's own"
    # what is unsigned has zero points, with which a window of one channel is no smaller
    assert [row["code"] for row in facts["refused"]] == (["FEW_PRODUCTS"] if name == "u16_u8" else [])
    assert facts["coded_macs_share"] >= 0.98
    assert {row["format"] for row in facts["weights"]} == {format}
    kinds = receipt["memory"]["weights_by_kind"]
    assert (WEIGHTS - 144) * each <= kinds[format] <= WEIGHTS * each * 1.21
    assert kinds.get("f32", 0) <= 0.03 * WEIGHTS, "biases, and a window in floats"
    assert signal_to_noise(found, right) > 75.0  # a step of 16 bits is 90 dB below the largest


@pytest.mark.parametrize("name", ["u8_i4", "u8_u4"])
def test_weights_of_four_bits_beside_bytes(name: str, models: dict[str, Path], tmp_path: Path) -> None:
    """All of it works on bytes, to the same bits on every target."""
    results = []
    for target in TARGETS:
        receipt, found, right = built(models[name], target, tmp_path / target.replace(":", "-"))
        facts = receipt["quantization"]
        assert (facts["macs_share"], facts["refused"]) == (1.0, [])
        assert receipt["memory"]["weights_bytes"] < 90_000
        assert signal_to_noise(found, right) > 33.0
        results.append(found[:4])
    np.testing.assert_array_equal(*results)


def test_the_command(models: dict[str, Path], tmp_path: Path) -> None:
    path = str(models["float8"])
    done = command("build", path, "-t", "host", "-o", "out", "--shape", "input=1x1x28x28", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "few bits, the model's own: weights of 10 operators with 100.0% of the multiply-adds" in done.stdout
    done = command(
        "build", path, "-t", "host", "-o", "out", "--shape", "input=1x1x28x28", "--precision", "fp16", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "--precision fp16: the model is quantised already, by scales of its own; leave it out" in done.stderr
