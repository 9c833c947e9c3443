"""Tensors of 8-bit floats and of 4 bits at the border: builds judged by onnxruntime, files, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import edgec
from edgec.cli import commands
from edgec.ir import interp
from edgec.ir.errors import UsageError
from edgec.ir.ops.cast import cast
from edgec.ir.types import DTYPES
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.onnx_import.tensors import CODES
from edgec.reference import Reference
from edgec.runtime.errors import RunError

FLOAT8 = ("f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz")


def quantised(dtype: str, path: Path) -> Path:
    """x of a narrow type, by a matrix, to the same type."""
    code = CODES[dtype]
    w = np.random.default_rng(0).uniform(-0.5, 1.0, (8, 3)).astype(np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("QuantizeLinear", ["b", "t", "z"], ["y"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.float32(0.25), "s"), onnx.numpy_helper.from_array(np.float32(1), "t"),
        onnx.numpy_helper.from_array(w, "w"), helper.make_tensor("z", code, [], [0]),
    ]  # fmt: skip
    ports = [helper.make_tensor_value_info("x", code, [4, 8]), helper.make_tensor_value_info("y", code, [4, 3])]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


@pytest.mark.parametrize("dtype", [*FLOAT8, "i4", "u4"])
def test_built_and_run(dtype: str, tmp_path: Path) -> None:
    """onnxruntime judges the build; the command line reads and writes files of such arrays."""
    path = quantised(dtype, tmp_path / "m.onnx")
    receipt = edgec.compile(path, "host", tmp_path / "out")
    assert receipt["verification"]["reference"].startswith("onnxruntime")
    x = cast(np.linspace(-8, 7, 32, dtype=np.float32).reshape(4, 8), dtype)
    np.save(tmp_path / "x.npy", x.view("V1"))
    arguments = ["run", str(tmp_path / "out"), "--input", str(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npz")]
    result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "y.npz") as file:
        found = file["y"].view(DTYPES[dtype])
    expected = interp.run(import_model(path).entries["main"], {"x": x})["y"]
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found.astype(np.float32))) > 4
    header = (tmp_path / "out" / "m.h").read_text()
    assert f"/* input 0: x {dtype} 4x8, a uint8_t each, as edgec.h says */" in header
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["inputs"][0]["dtype"] == dtype


@pytest.mark.parametrize("dtype", FLOAT8)
def test_casts_are_those_of_onnxruntime(dtype: str, tmp_path: Path) -> None:
    """Every half there is, which has all ties, and back. Without saturation onnxruntime 1.32 does not do what ONNX's
    table says: it makes 448 of 480, and in e5m2 a NaN of 61440."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    x = halves[~np.isnan(halves)].astype(np.float32)
    ports = [helper.make_tensor_value_info(n, t, [x.size]) for n, t in (("x", 1), ("y", CODES[dtype]), ("z", 1))]
    nodes = [
        helper.make_node("Cast", ["x"], ["y"], to=CODES[dtype]),
        helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT),
    ]
    path, model = tmp_path / "m.onnx", helper.make_graph(nodes, "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(model, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    right = Reference(path, {}).run({"x": x})
    found = interp.run(import_model(path).entries["main"], {"x": x})
    np.testing.assert_array_equal(found["z"], right["z"])
    finite = np.isfinite(right["z"])
    assert right["y"].dtype == DTYPES[dtype]
    np.testing.assert_array_equal(found["y"].view(np.uint8)[finite], right["y"].view(np.uint8)[finite])


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    edgec.compile(quantised("i4", tmp_path / "m.onnx"), "host", tmp_path / "out")
    with edgec.load(tmp_path / "out") as session:
        wrong = [
            (np.zeros((4, 8), np.uint8), "is uint8, but the model takes i4[4,8] (int4); codes in bytes are given as "
             "array.view('int4')"),
            (np.zeros((4, 8), ml_dtypes.uint4), "is uint4, but the model takes i4[4,8] (int4)"),
            (np.zeros((4, 8), ml_dtypes.float8_e5m2), "is float8_e5m2, but the model takes i4[4,8] (int4)"),
            (np.zeros((4, 8), np.float32), "is float32, but the model takes i4[4,8] (int4)"),
            (np.zeros((4, 4), ml_dtypes.int4), "has shape [4, 4], but the model takes i4[4,8]"),
        ]  # fmt: skip
        for array, sentence in wrong:
            with pytest.raises(RunError) as caught:
                session.run(None, {"x": array})
            assert str(caught.value) == f"input 'x' {sentence}"


def test_bound_inputs_must_fit(tmp_path: Path) -> None:
    path = quantised("u4", tmp_path / "m.onnx")
    for given in (np.full((4, 8), 16), np.full((4, 8), 1.5, np.float32)):
        with pytest.raises(UsageError, match=r"--const x is \w+, which does not fit the model's uint4"):
            import_model(path, ImportOptions(consts={"x": given}))
    module = import_model(path, ImportOptions(consts={"x": np.full((4, 8), 15)}))
    assert module.entries["main"].inputs == []
