"""Models whose constants are 8-bit floats, or integers of 8 bits, behind DequantizeLinear: codes in the artifact, and
the answers of onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from quantised import made, written
from test_own_codes import TARGETS, built

import edgec
from edgec.ir.types import Float8
from edgec.onnx_import.importer import import_model
from edgec.own_codes import keep_codes
from edgec.passes import CPU_FLOAT
from edgec.passes.float8_scales import exact_scales
from edgec.pipeline import run_pipeline

F32 = TensorProto.FLOAT
K, N = 192, 64
FLOATS = {"FLOAT8E4M3FN": "e4m3", "FLOAT8E4M3FNUZ": "e4m3", "FLOAT8E5M2": "e5m2", "FLOAT8E5M2FNUZ": "e5m2"}
WAYS = {"tensor": 0, "axis": 0, "blocks of 16": 16, "blocks of 48": 48, "blocks of 64": 64}


def numbers(kind: str, *shape: int) -> Any:
    rng = np.random.default_rng(21)
    low, high = {"INT8": (-128, 127), "UINT8": (0, 255)}.get(kind, (0, 0))
    return rng.integers(low, high + 1, shape) if high else rng.standard_normal(shape) * (2 if "FLOAT4" in kind else 40)


def dequantised(kind: str, way: str, then: Any = None) -> Any:
    """x [4, K] by K x N constants behind DequantizeLinear, whose scales are any floats, and behind other nodes."""
    rng, block = np.random.default_rng(22), int(way.split()[-1]) if "blocks" in way else 0
    shape = {"tensor": (), "axis": (N,)}.get(way, (-(-K // max(1, block)), N))
    constants: dict[str, Any] = {
        "w": helper.make_tensor("w", getattr(TensorProto, kind), (K, N), np.ravel(numbers(kind, K, N))),
        "s": rng.uniform(0.001, 0.1, shape).astype(np.float32),
    }
    if way == "tensor" and kind == "UINT8":
        constants["z"] = np.uint8(117)
    attrs = {"axis": 0, "block_size": block} if block else {"axis": 1}
    nodes = [helper.make_node("DequantizeLinear", [*constants], ["d"], **attrs), *(then or [])]
    nodes.append(helper.make_node("MatMul", ["x", nodes[-1].output[0]], ["y"], name="it"))
    opset = 25 if "FLOAT4" in kind else 21
    return made(nodes, {**constants, "f": np.float32([[1.1]])}, {"x": (4, K)}, {"y": F32}, opset=opset)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", FLOATS)
def test_constants_of_8_bit_floats(kind: str, way: str, target: str, tmp_path: Path) -> None:
    """A byte a weight, and a whole scale for a channel, 32 or 16 products."""
    if target != "host" and "FNUZ" not in kind + way and way not in ("axis", "blocks of 64"):
        target = "host"  # one form of each group is enough where code is emulated
    receipt = built(dequantised(kind, way), target, tmp_path)
    group = {0: K, 64: 32}.get(WAYS[way], 16)
    assert receipt["memory"]["weights_by_kind"][FLOATS[kind]] == K * N * (1 + 4 / group)
    assert receipt["memory"]["weights_by_kind"].get("f32", 0) < K * N
    assert receipt["quantization"]["numbers_in_the_model"] == {kind.lower(): K * N}
    assert [row["format"] for row in receipt["quantization"]["weights"]] == [FLOATS[kind]]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["INT8", "UINT8"])
@pytest.mark.parametrize("way", ["tensor", "axis", "blocks of 16", "blocks of 64"])
def test_constants_of_8_bits(way: str, kind: str, target: str, tmp_path: Path) -> None:
    """Weights alone are quantised: what is unsigned has zero points, which take 16 bits more for 32 or 16."""
    receipt = built(dequantised(kind, way), target, tmp_path)
    groups = {0: 1, 64: K // 32}.get(WAYS[way], K // 16) if kind == "INT8" else K // (16 if "16" in way else 32)
    assert receipt["memory"]["weights_by_kind"]["i8"] == N * (K + groups * (4 if kind == "INT8" else 6))
    assert receipt["quantization"]["numbers_in_the_model"] == {kind.lower(): K * N}


@pytest.mark.parametrize("target", TARGETS)
def test_a_convolution(target: str, tmp_path: Path) -> None:
    """A scale a result channel, over a window of few channels, and passes that turn the weights about."""
    rng, dims = np.random.default_rng(23), (24, 3, 5, 5)
    numbers = (rng.standard_normal(dims) * 40).ravel()
    constants = {
        "w": helper.make_tensor("w", TensorProto.FLOAT8E4M3FN, dims, numbers),
        "s": rng.uniform(0.001, 0.01, 24).astype(np.float32), "b": rng.standard_normal(24).astype(np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=0),
        helper.make_node("Conv", ["x", "d", "b"], ["y"], pads=[2, 2, 2, 2]),
    ]
    receipt = built(made(nodes, constants, {"x": (1, 3, 11, 11)}, {"y": F32}), target, tmp_path)
    assert [row["format"] for row in receipt["quantization"]["weights"]] == ["e4m3"]
    assert receipt["quantization"]["refused"] == []
    assert receipt["memory"]["weights_by_kind"]["e4m3"] < 4 * 24 * 75 / 2


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("way", ["axis", "blocks of 16", "blocks of 64", "MXFP4, blocks of 32"])
def test_constants_of_4_bit_floats(way: str, target: str, tmp_path: Path) -> None:
    """Half a byte a weight; onnxruntime has no such constants."""
    model = dequantised("FLOAT4E2M1", way)
    if "MXFP4" in way:
        (scale,) = (t for t in model.graph.initializer if t.name == "s")
        powers = np.exp2(np.random.default_rng(26).integers(-9, -2, K // 32 * N))
        scale.CopyFrom(helper.make_tensor("s", TensorProto.FLOAT8E8M0, (K // 32, N), powers))
        model.graph.node[0].attribute.append(helper.make_attribute("output_dtype", F32))
    path = written(model, tmp_path)
    receipt = edgec.compile(path, target, tmp_path / "out")
    assert receipt["verification"]["pass"]
    groups = {"axis": 1, "blocks of 16": K // 16}.get(way, K // 32)
    assert receipt["memory"]["weights_by_kind"]["e2m1"] == N * (K / 2 + 4 * groups)
    assert receipt["quantization"]["numbers_in_the_model"] == {"float4e2m1": K * N}
    x = np.random.default_rng(25).standard_normal((4, K)).astype(np.float32)
    (right,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    with edgec.load(tmp_path / "out") as session:
        np.testing.assert_allclose(session.run(None, {"x": x})[0], right, rtol=1e-4, atol=1e-5 * np.abs(right).max())


def test_the_very_numbers(tmp_path: Path) -> None:
    module = import_model(written(dequantised("FLOAT8E5M2", "blocks of 64"), tmp_path))
    run_pipeline(module, CPU_FLOAT)
    graph = module.entries["main"]
    (op,) = graph.ops
    before = graph.array(op.arg(1))
    keep_codes(module)
    (encoding,) = op.arg(1).type.encodings
    assert isinstance(encoding, Float8)
    assert (encoding.format, encoding.group) == ("e5m2", 32)
    np.testing.assert_array_equal(graph.array(op.arg(1)), before)


@pytest.mark.parametrize(
    ("way", "then", "code"),
    [
        ("blocks of 24", [], "NO_CODES"),
        ("axis", [helper.make_node("Mul", ["d", "f"], ["m"])], "NO_CODES"),
        ("axis", [helper.make_node("Mul", ["d", "d"], ["m"])], "NO_CODES"),
    ],
)
def test_what_no_form_holds_is_floats(way: str, then: Any, code: str, tmp_path: Path) -> None:
    """Scales for 24, and what was multiplied by something else, whose rounding leaves no scale."""
    receipt = built(dequantised("FLOAT8E4M3FN", way, then), "host", tmp_path)
    assert [row["code"] for row in receipt["quantization"]["refused"]] == [code]
    assert receipt["memory"]["weights_by_kind"]["f32"] == 4 * N * (K + 1), "and the bias"


@pytest.mark.parametrize("format", ["e4m3", "e5m2"])
def test_scales_are_found(format: str) -> None:
    """Whatever they are, with any largest number, and each of the format's."""
    rng = np.random.default_rng(24)
    dtype = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}[format]
    every = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32)
    every = every[np.isfinite(every)]
    rows = rng.choice(every, (4000, 32))
    rows[:8] = 0
    rows[:8, :3] = every[1:4]  # the least ones alone
    rows *= rng.uniform(0.001, 1, (4000, 1)).astype(np.float32)
    scales = exact_scales(rows, format)
    assert scales is not None
    steps = (rows / scales[:, None]).astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(steps * scales[:, None], rows)
    rows[3999, 5] = np.nextafter(rows[3999, 5], np.float32(9))
    assert exact_scales(rows, format) is None
