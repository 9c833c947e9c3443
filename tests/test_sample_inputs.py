"""Random inputs, where nobody says where they lie: what is verified on them must be what real ones may do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper
from quantised import made, written

import edgec
from edgec.cli import commands
from edgec.ir.errors import UsageError
from edgec.ir.types import Type
from edgec.sample_inputs import compared_first, sample_inputs


@pytest.mark.parametrize(("dtype", "low", "high"), [
    ("u8", 0, 255), ("i8", -128, 127), ("u4", 0, 15), ("i4", -8, 7), ("bool", 0, 1), ("i32", 0, 1), ("i64", 0, 1),
])  # fmt: skip
def test_integers_of_8_bits_are_drawn_from_all_of_them(dtype: str, low: int, high: int) -> None:
    drawn = sample_inputs([("x", Type(dtype, (10_000,)))], 0, {})["x"].astype(np.int64)
    assert (drawn.min(), drawn.max()) == (low, high)
    assert len(np.unique(drawn)) == high - low + 1
    if high > 1:
        assert sample_inputs([("x", Type(dtype, (100,)))], 0, {"x": (1, 2)})["x"].astype(np.int64).max() == 2


def test_samples_that_are_compared_are_evenly_spread() -> None:
    samples = [{"x": np.array(i)} for i in range(7)]
    assert [int(one["x"]) for one in compared_first(samples, 3)] == [0, 2, 4, 1, 3, 5, 6]
    assert [int(one["x"]) for one in compared_first(samples, 9)] == list(range(7))
    assert compared_first([], 3) == []


def test_halves_that_only_real_bytes_are_beyond(tmp_path: Path) -> None:
    """Sums of a thousand bytes, which halves do not hold: of zeros and ones they do."""
    rng = np.random.default_rng(0)
    constants = {"w": np.abs(rng.standard_normal((1024, 16))).astype(np.float32),
                 "v": rng.standard_normal((16, 4)).astype(np.float32) / 16}  # fmt: skip
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("MatMul", ["f", "w"], ["a"]), helper.make_node("Relu", ["a"], ["r"]),
             helper.make_node("MatMul", ["r", "v"], ["y"])]  # fmt: skip
    model = written(made(nodes, constants, {"x": (1, 1024)}, {"y": 1}, {"x": TensorProto.UINT8}, 17), tmp_path)
    receipt = edgec.compile(model, "host", tmp_path / "out", precision="fp16")
    assert "HALF_RANGE" in {row["code"] for row in receipt["halves"]["refused"]}
    x = rng.integers(0, 256, (1, 1024), np.uint8)
    with edgec.load(tmp_path / "out") as session:
        (y,) = session.run(None, {"x": x})
    expected = np.maximum(x @ constants["w"].astype(np.float64), 0) @ constants["v"]
    np.testing.assert_allclose(y, expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max())


@pytest.mark.parametrize(("target", "precision"), [
    ("host", "float32"), ("host", "fp16"), ("host", "int8"), ("coreml", "float32"), ("coreml", "fp16"),
])  # fmt: skip
def test_bytes_that_are_indices_lead_to_range(target: str, precision: str, tmp_path: Path) -> None:
    table = np.random.default_rng(0).standard_normal((10, 16)).astype(np.float32)
    nodes = [helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
             helper.make_node("Gather", ["t", "i"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["y"])]  # fmt: skip
    constants = {"t": table, "w": np.eye(16, dtype=np.float32)}
    model = written(made(nodes, constants, {"x": (4,)}, {"y": 1}, {"x": TensorProto.UINT8}, 17), tmp_path)
    words = "random inputs 'x' are any u8: where they are indices, give --range x=LO:HI"
    with pytest.raises(UsageError, match=f"(gather|Gather).*; {words}"):
        edgec.compile(model, target, tmp_path / "out", precision=precision)
    edgec.compile(model, target, tmp_path / "out", precision=precision, ranges={"x": (0, 9)})
    if precision == "float32":
        done = CliRunner().invoke(commands, ["verify", str(tmp_path / "out"), "--model", str(model)])
        assert words in str(done.exception)
