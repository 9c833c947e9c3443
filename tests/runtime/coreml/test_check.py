"""Findings that the mutations of three samples do not reach: forms of a later opset, flexible shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coreml_packages import ct, mb, mil_program, model_file, read_model, save, types

from edgec.runtime.coreml.check import check_package


def lowered(path: Path, opset: int) -> list[str]:
    """The findings of a package that says it were of an older opset."""
    model = read_model(path)
    for function in model.mlProgram.functions.values():
        function.block_specializations[f"CoreML{opset}"].CopyFrom(function.block_specializations[function.opset])
        del function.block_specializations[function.opset]
        function.opset = f"CoreML{opset}"
    model.specificationVersion = opset + 1
    model_file(path).write_bytes(model.SerializeToString())
    return [str(finding) for finding in check_package(path)]


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("build", "opset", "since", "said"),
    [
        (lambda x: mb.gather(x=x, indices=np.array([0], np.int32), validate_indices=True), 6, 7,
         "no parameter 'validate_indices'"),
        (lambda x: mb.gather(x=x, indices=np.array([0], np.int32), batch_dims=0), 5, 6, "no parameter 'batch_dims'"),
        (lambda x: mb.cast(x=x, dtype="int8"), 6, 7, "'dtype' is 'int8' and may be fp16, fp32, int32, bool"),
        (lambda x: mb.linear(x=x, weight=np.zeros((4, 3), np.float16)), 6, 7, "'weight' is fp16 but 'x' is fp32"),
        (lambda x: mb.topk(x=x, k=1, output_indices_dtype="uint16"), 6, 7, "no parameter 'output_indices_dtype'"),
        (lambda x: mb.fill_like(ref_tensor=x), 5, 6, "it came with CoreML6, and the function has CoreML5"),
        (lambda x: mb.expand_dims(x=mb.cast(x=x, dtype="uint8"), axes=[0]), 6, 7, "'x' is uint8 and may be"),
    ],
)  # fmt: skip
def test_forms_of_a_later_opset(tmp_path: Path, build: Any, opset: int, since: int, said: str) -> None:
    path = mil_program(build, {"x": X}, since, tmp_path / "x.mlpackage")
    before = [str(f) for f in check_package(path)]
    assert not any("opset" in f or "parameter" in f for f in before), before
    assert any(said in finding for finding in lowered(path, opset))


def test_states_need_the_eighth_opset(tmp_path: Path) -> None:
    state = mb.state_tensor_placeholder(shape=(2,), dtype=types.fp16)
    path = mil_program(lambda s: mb.read_state(input=s), {"s": state}, 8, tmp_path / "x.mlpackage")
    found = lowered(path, 7)
    assert any("the state 's' needs the opset CoreML8" in f for f in found)
    assert any("read_state" in f and "came with CoreML8" in f for f in found)


def test_flexible_shapes(tmp_path: Path) -> None:
    """A range that the program has not, and one that leaves the default out."""
    from coremltools.converters.mil.mil import get_new_symbol

    spec = mb.TensorSpec(shape=(get_new_symbol(), 3), dtype=types.fp32)
    shape = ct.Shape((ct.RangeDim(1, 8, default=2), 3))
    path = save(
        tmp_path / "x.mlpackage", lambda x: mb.relu(x=x, name="y"), {"x": spec},
        inputs=[ct.TensorType(name="x", shape=shape)],
    )  # fmt: skip
    assert check_package(path) == []
    model = read_model(path)
    ranges = model.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    ranges[1].upperBound = 4
    model_file(path).write_bytes(model.SerializeToString())
    assert "axis 1 is described as flexible and is 3" in str(check_package(path)[0])
    ranges[1].upperBound, ranges[0].lowerBound = 3, 3
    model_file(path).write_bytes(model.SerializeToString())
    assert "axis 0 of the default lies outside of its range" in str(check_package(path)[0])


def test_a_rank_beyond_five(tmp_path: Path) -> None:
    path = mil_program(lambda x: mb.expand_dims(x=x, axes=[0, 1, 2, 3]), {"x": X}, 8, tmp_path / "x.mlpackage")
    assert any("has rank 6, and 5 is the most" in str(f) for f in check_package(path))
