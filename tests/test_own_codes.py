"""Models with weights of few bits: codes in the artifact, and the answers of onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantised import MICROSOFT, made, written
from test_build import command

import edgec
from edgec.onnx_import.importer import import_model
from edgec.own_codes import keep_codes
from edgec.passes import CPU_FLOAT
from edgec.passes.exact_codes import KINDS, Kind, codes_of
from edgec.pipeline import run_pipeline

F32 = TensorProto.FLOAT
TARGETS = ["host", "arm:cortex-a76"]
FOUR, ZERO, EIGHT, EIGHT_ZERO = KINDS


def nbits(
    seed: int, k: int, block: int, bits: int = 4, zeros: bool = False, dtype: Any = np.float32, sign: int = -1
) -> Any:
    """x [5, k] by k x 96 weights, and that by 96 x 96 ones; scales of either sign, as onnxruntime's tools make them, or
    of one."""
    rng, n = np.random.default_rng(seed), 96
    nodes, constants, left = [], {}, "x"
    for i, (rows, columns) in enumerate(((k, n), (n, n))):
        blocks = -(-rows // block)
        constants |= {
            f"w{i}": rng.integers(0, 256, (columns, blocks, block * bits // 8)).astype(np.uint8),
            f"s{i}": (rng.uniform(0.01, 0.1, columns * blocks) * rng.choice([sign, 1], columns * blocks)).astype(dtype),
        }
        operands = [left, f"w{i}", f"s{i}"]
        if zeros:
            constants[f"z{i}"] = rng.integers(0, 256, columns * -(-blocks * bits // 8)).astype(np.uint8)
            operands.append(f"z{i}")
        left = f"y{i}" if i == 0 else "y"
        attrs = {"K": rows, "N": columns, "bits": bits, "block_size": block}
        nodes.append(helper.make_node("MatMulNBits", operands, [left], domain=MICROSOFT, name=f"it{i}", **attrs))
    return made(nodes, constants, {"x": (5, k)}, {"y": F32})


def blocked(seed: int, kind: str) -> Any:
    """x [4, 160] by int4 or uint4 weights in blocks of 32 behind DequantizeLinear."""
    rng = np.random.default_rng(seed)
    low = 0 if kind == "UINT4" else -8
    constants: dict[str, Any] = {
        "w": helper.make_tensor("w", getattr(TensorProto, kind), (160, 64), rng.integers(low, low + 16, 160 * 64)),
        "s": rng.uniform(0.01, 0.1, (5, 64)).astype(np.float32),
        "z": helper.make_tensor("z", getattr(TensorProto, kind), (5, 64), [low + 8] * (5 * 64)),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=0, block_size=32),
        helper.make_node("MatMul", ["x", "d"], ["y"], name="it"),
    ]
    return made(nodes, constants, {"x": (4, 160)}, {"y": F32}, opset=21)


def built(model: Any, target: str, folder: Path, **options: Any) -> dict[str, Any]:
    receipt: dict[str, Any] = edgec.compile(written(model, folder), target, folder / "out", **options)
    assert receipt["verification"]["pass"]
    assert receipt["verification"]["reference"].startswith("onnxruntime")
    return receipt


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("k", "block"), [(256, 32), (256, 128), (200, 32), (200, 128)])
def test_matmul_by_four_bits(k: int, block: int, target: str, tmp_path: Path) -> None:
    """Four bits a weight, and a scale of 32 for 32 of them, the last group of a column filled up."""
    receipt = built(nbits(1, k, block), target, tmp_path)
    kinds = receipt["memory"]["weights_by_kind"]
    groups = -(-k // 32) + 3
    assert kinds["i4"] <= 96 * groups * (16 + 4)
    assert kinds["i4"] > 96 * (k + 96) * 4.5 / 8
    facts = receipt["quantization"]
    assert facts["numbers_in_the_model"] == {"uint4": 96 * (k + 96)}
    assert [row["format"] for row in facts["weights"]] == ["i4", "i4"]
    assert (facts["coded_macs_share"], facts["refused"]) == (1.0, [])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("bits", "zeros"), [(8, False), (4, True), (2, True)])
def test_other_bits(bits: int, zeros: bool, target: str, tmp_path: Path) -> None:
    """Zero points take 16 bits more for 32 weights; two bits and theirs are four."""
    receipt = built(nbits(2, 256, 32, bits, zeros), target, tmp_path)
    format = "i8" if bits == 8 else "i4"
    assert [row["format"] for row in receipt["quantization"]["weights"]] == [format, format]
    each = {2: 5, 4: 5.5, 8: 9}[bits] / 8
    assert receipt["memory"]["weights_by_kind"][format] == 96 * (256 + 96) * each


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["INT4", "UINT4"])
def test_constants_in_blocks(kind: str, target: str, tmp_path: Path) -> None:
    receipt = built(blocked(3, kind), target, tmp_path)
    assert receipt["memory"]["weights_by_kind"]["i4"] == 160 * 64 * 5 / 8
    assert receipt["quantization"]["numbers_in_the_model"] == {kind.lower(): 160 * 64}


def test_the_very_numbers(tmp_path: Path) -> None:
    """Encoded weights mean the floats that they were, and verification does not judge by rounded ones."""
    module = import_model(written(nbits(4, 200, 32), tmp_path))
    run_pipeline(module, CPU_FLOAT)
    graph = module.entries["main"]
    before = [graph.array(op.arg(1)) for op in graph.ops if op.kind == "matmul"]
    keep_codes(module)
    after = [op.arg(1) for op in graph.ops if op.kind == "matmul"]
    assert len(before) == 2
    for floats, value in zip(before, after, strict=True):
        assert value.type.encodings[0].format == "i4"
        np.testing.assert_array_equal(graph.array(value), floats)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", [False, True])
def test_blocks_of_16(zeros: bool, bits: int, target: str, tmp_path: Path) -> None:
    """A scale, and a zero point, for 16 weights; what zero points do to 2 bits is still 4."""
    receipt = built(nbits(5, 256, 16, bits, zeros), target, tmp_path)
    each = max(4, bits) + (32 + 16 * (zeros and bits > 2)) / 16
    assert receipt["memory"]["weights_by_kind"]["i8" if bits == 8 else "i4"] == 96 * (256 + 96) * each / 8
    assert receipt["memory"]["weights_by_kind"].get("f32", 0) < 96 * 96


@pytest.mark.parametrize("target", TARGETS)
def test_a_scale_a_channel(target: str, tmp_path: Path) -> None:
    """A block as long as a column is one scale for the channel, where it is positive."""
    receipt = built(nbits(5, 256, 256, sign=1), target, tmp_path)
    assert receipt["memory"]["weights_by_kind"]["i4"] == 96 * (256 / 2 + 4 + 96 / 2 + 4)


def test_zero_points_between_integers_leave_floats(tmp_path: Path) -> None:
    model = nbits(5, 256, 32)
    zeros = np.random.default_rng(6).uniform(3, 9, 96 * 8).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(zeros, "z0"))
    model.graph.node[0].input.append("z0")
    receipt = built(model, "host", tmp_path)
    facts = receipt["quantization"]
    assert [(row["op"], row["code"]) for row in facts["refused"]] == [("matmul MatMulNBits 'it0'", "NO_CODES")]
    assert (facts["coded_operators"], len(facts["weights"])) == (1, 1)
    assert receipt["memory"]["weights_by_kind"]["f32"] == 4 * 96 * (256 + 1), "and the bias"


def test_halves_around_four_bits(tmp_path: Path) -> None:
    """Scales and activations of 16 bits: weights are not rounded to halves."""
    model = nbits(6, 256, 32, dtype=np.float16)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    receipt = built(model, "host", tmp_path)
    assert [row["format"] for row in receipt["quantization"]["weights"]] == ["i4", "i4"]


def test_the_command(tmp_path: Path) -> None:
    path = written(nbits(7, 256, 32), tmp_path)
    done = command("build", str(path), "-t", "arm", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "few bits, the model's own: weights of 2 operators with 100.0% of the multiply-adds" in done.stdout
    done = command("inspect", str(path), "--target", "arm", cwd=tmp_path)
    assert "21,120 B of them i4" in done.stdout


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(-8, 7, FOUR), (-7, 8, FOUR), (-3, 3, FOUR), (-5, 5, FOUR), (-6, 6, FOUR), (-15, 0, ZERO), (-1, 14, ZERO),
     (-3, 8, ZERO), (-8, 7, ZERO), (-77, 50, EIGHT), (-128, 127, EIGHT), (-200, 55, EIGHT_ZERO), (0, 255, EIGHT_ZERO),
     (-90, 91, EIGHT_ZERO)],
)  # fmt: skip
def test_codes_are_found(low: int, high: int, kind: Kind, dtype: Any) -> None:
    """Whatever the scales are, and whichever codes a group has."""
    rng = np.random.default_rng(8)
    codes = rng.integers(low, high + 1, (3000, 32)).astype(np.float32)
    sign = -1 if high > -low and not kind.zeros else 1
    groups = codes * (sign * rng.uniform(0.001, 0.1, (3000, 1))).astype(dtype).astype(np.float32)
    groups[7] = 0
    found = codes_of(groups, kind)
    assert found is not None
    stored, scale, zero = found
    np.testing.assert_array_equal((stored.astype(np.float32) - zero[:, None]) * scale[:, None], groups)
    assert stored.min() >= -(1 << kind.bits - 1)
    assert stored.max() < 1 << kind.bits - 1
    assert kind.zeros or not zero.any()


def test_scales_of_one_sign() -> None:
    """What has its lowest number below 0 has a positive scale, and else none of four bits."""
    rng = np.random.default_rng(10)
    groups = rng.integers(-8, 8, (50, 32)).astype(np.float32) * rng.uniform(0.01, 0.1, (50, 1)).astype(np.float32)
    found = codes_of(groups, FOUR, positive=True)
    assert found is not None
    assert found[1].min() > 0
    np.testing.assert_array_equal(found[0] * found[1][:, None], groups)
    assert codes_of(-groups, FOUR, positive=True) is None
    assert codes_of(-groups, FOUR) is not None


def test_codes_that_are_not_there() -> None:
    rng = np.random.default_rng(9)
    groups = np.round(rng.standard_normal((50, 32)) * 3).clip(-8, 7).astype(np.float32)
    assert codes_of(groups, FOUR) is not None
    groups[31, 20] = np.nextafter(groups[31, 20] + 1, np.float32(9))
    assert codes_of(groups, FOUR) is None
    assert codes_of(groups * np.float32(1e-40), EIGHT) is None
