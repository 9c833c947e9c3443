"""A model that is quantised already becomes W8A8: MIL's quantize and dequantize around int8 weights, as onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coreml_forms import write_package
from onnx import helper
from quantised import by_onnxruntime, made, written

from edgec.driver import build
from edgec.ir.errors import UsageError
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.options import BuildOptions
from edgec.passes import COREML
from edgec.pipeline import run_pipeline
from edgec.receipt_text import render
from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import read_package
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import emit


def quantised(folder: Path) -> Path:
    """A convolution and a ReLU between bytes; weights and biases of scales a channel."""
    rng = np.random.default_rng(2)
    constants = {
        "s": np.float32(0.0625), "z": np.uint8(120), "t": np.float32(0.25), "u": np.uint8(3),
        "w": rng.integers(-127, 128, (8, 4, 3, 3)).astype(np.int8),
        "ws": np.exp2(rng.integers(-9, -5, 8)).astype(np.float32), "wz": np.zeros(8, np.int8),
        "b": rng.integers(-999, 999, 8).astype(np.int32), "bs": np.exp2(np.arange(-12.0, -4)).astype(np.float32),
        "bz": np.zeros(8, np.int32),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "t", "u"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "t", "u"], ["y"]),
    ]
    return written(made(nodes, constants, {"x": (1, 4, 6, 6)}, {"y": 1}), folder)


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_as_onnxruntime(half: bool, tmp_path: Path) -> None:
    path = quantised(tmp_path)
    module = import_model(path, ImportOptions())
    run_pipeline(module, COREML)
    emitted = emit(module, choose("ios18"), half)
    assert emitted.notes == ()  # halves have every scale
    evaluator = Evaluator(read_package(write_package(package_files(emitted), tmp_path / "x.mlpackage")))
    kinds = [o.type for o in evaluator.function.block.operations]
    assert kinds.count("quantize") == kinds.count("dequantize") == 2
    assert kinds.index("relu") < kinds.index("quantize", kinds.index("conv"))
    assert kinds.count("constexpr_blockwise_shift_scale") == 1
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((1, 4, 6, 6)) * 4).astype(np.float16).astype(np.float32)
    (meant,) = by_onnxruntime(path, {"x": x}, plain=True)
    found = np.asarray(evaluator.run({"x": x})["y"], np.float32)
    assert len(np.unique(meant)) > 10
    # a product rounded to halves may be on the other side of half a step
    assert np.abs(found - meant).max() <= (0.25 if half else 0.0)
    assert np.mean(found != meant) < 0.02


def test_the_share_on_bytes(tmp_path: Path) -> None:
    path = quantised(tmp_path)
    for precision in ("float32", "fp16"):
        receipt = build(path, "coreml", tmp_path / precision, BuildOptions(precision=precision)).receipt
        facts = receipt["quantization"]
        assert facts["precision"] == "int8, the model's own"
        assert facts["calibration"] is None
        assert (facts["operators_on_bytes"], facts["macs_on_bytes"]) == (1, 8 * 6 * 6 * 4 * 9)
        assert facts["macs_share"] == 1.0
        said = "  int8, the model's own: 1 operators with 100.0% of the multiply-adds read bytes; by its own scales"
        assert said in render(receipt).split("\n")


OTHERS: list[dict[str, str]] = [{"precision": p} for p in ("int8", "w8", "w4", "fp8-e4m3")]
OTHERS += [{"encode": "quantize_weights"}, {"precision": "fp16", "encode": "sparsify"}]


@pytest.mark.parametrize("options", OTHERS)
def test_other_numbers_are_refused(options: dict[str, str], tmp_path: Path) -> None:
    """As by CPU targets: they would stand in the receipt, and act on nothing."""
    path = quantised(tmp_path)
    with pytest.raises(UsageError, match="the model is quantised already, by scales of its own; leave it out, or give"):
        build(path, "coreml", tmp_path / "out", replace(BuildOptions(), **options))
    assert not (tmp_path / "out").exists()
