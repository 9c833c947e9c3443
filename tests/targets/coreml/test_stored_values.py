"""W8A8: activations that are stored as integers, with int8 weights, by MIL's quantize and dequantize or by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coreml_forms import write_package

from edgec.ir import interp
from edgec.ir.errors import UnsupportedError
from edgec.ir.parse import parse_module
from edgec.ir.verify import verify_module
from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import read_package
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import emit
from edgec.targets.coreml.reload import check_reload

TEXT = """const #c0 = f32[](0.03125)
const #c1 = i8[](-3)
const #c2 = f32[2](0.0625, 0.5)
const #c3 = i8[2](0, 0)
const #c4 = i8[2,3,1,1](100, -50, 127, -127, 3, 4)
const #c5 = #c4 f32[2,3,1,1] quant<i8@0, scale=#c2, zero=#c3>
const #c6 = f32[](0.5)
const #c7 = u8[](7)
entry main(%x: f32[1,3,4,4]) {
  %0: f32[1,3,4,4] quant<i8, scale=#c0, zero=#c1> = encode %x
  %1: f32[1,2,4,4] quant<u8, scale=#c6, zero=#c7> = conv %0, #c5 {strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1)}
  %2: f32[1,2,2,2] quant<u8, scale=#c6, zero=#c7> = max_pool %1 {kernel=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0), dilations=(1, 1)}
  %3: f32[1,2,2,2] = encode %2
  return "y" = %3
}
"""  # noqa: E501


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("name", ["ios16", "ios17", "ios18"])
@pytest.mark.parametrize("scale", ["0.5", "0.3"])
def test_the_same_steps(scale: str, name: str, half: bool, tmp_path: Path) -> None:
    """0.3 is no number of halves: in them, too, its steps are those of float32."""
    module = parse_module(TEXT.replace("f32[](0.5)", f"f32[]({scale})"))
    verify_module(module)
    files = package_files(emit(module, choose(name), half))
    check_reload(files)
    evaluator = Evaluator(read_package(write_package(files, tmp_path / "x.mlpackage")))
    kinds = [o.type for o in evaluator.function.block.operations]
    # the pool's operand is stored as its result is, so that nothing is done to that
    assert kinds.count("quantize") == kinds.count("dequantize") == (0 if name == "ios16" else 2)
    x = (np.random.default_rng(0).standard_normal((1, 3, 4, 4)) * 3).astype(np.float16).astype(np.float32)
    meant = interp.run(module.entries["main"], {"x": x})["y"]
    found = np.asarray(evaluator.run({"x": x})["y"], np.float32)
    assert len(np.unique(meant)) > 3
    np.testing.assert_allclose(found, meant, rtol=1e-3 if half else 1e-6)
    assert half or np.array_equal(found, meant)


def test_saturates_and_counts_from_the_zero_point(tmp_path: Path) -> None:
    x = np.full((1, 3, 4, 4), 1e4, np.float32)
    x[:, :, :2] = -1e4
    for name in ("ios16", "ios18"):
        module = parse_module(TEXT)
        files = package_files(emit(module, choose(name), False))
        found = Evaluator(read_package(write_package(files, tmp_path / f"{name}.mlpackage"))).run({"x": x})["y"]
        np.testing.assert_array_equal(np.asarray(found), interp.run(module.entries["main"], {"x": x})["y"])


def test_8_bit_floats_have_no_type() -> None:
    text = TEXT.replace("quant<i8, scale=#c0, zero=#c1> = encode", "float8<e4m3, scale=#c0> = encode")
    with pytest.raises(UnsupportedError, match="encode makes 8-bit floats, for which Core ML has no type"):
        emit(parse_module(text), choose("ios18"), False)
