"""`--precision bf16` from ONNX to an artifact: products of bf16, sums in float32, and floats where that has no form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from compiled import BF16_CORES, HOSTS
from onnx import TensorProto, helper, numpy_helper
from test_build import EXAMPLES, MODEL

import edgec
from edgec.ir.errors import ToolError, UsageError
from edgec.runtime.errors import RunError
from edgec.runtime.session import load

DATA = EXAMPLES / "fashion_mnist_200.npz"
NO_PRODUCTS = next(h for h in HOSTS if "bf16" not in h)
SHAPES = {"input": (1, 1, 28, 28)}


def built(target: str, folder: Path, **options: Any) -> dict[str, Any]:
    receipt: dict[str, Any] = edgec.compile(MODEL, target, folder, **{"shapes": SHAPES, "precision": "bf16", **options})
    return receipt


@pytest.mark.parametrize(("target", "code", "executed"), [
    (NO_PRODUCTS, "NO_BF16_ARITHMETIC", "host"),
    ("arm:cortex-a76", "NO_BF16_ARITHMETIC", "unicorn"),
    *((core, None, "qemu-aarch64") for core in BF16_CORES),
])  # fmt: skip
def test_the_example(target: str, code: str | None, executed: str, labelled: Path, tmp_path: Path) -> None:
    receipt = built(target, tmp_path / "narrow", data=labelled)
    wide = edgec.compile(MODEL, target, tmp_path / "float", shapes=SHAPES, verify="none")
    facts, verification = receipt["halves"], receipt["verification"]
    assert facts["code"] == code
    assert facts["arithmetic"] == ("float32" if code else "bf16")
    assert facts["macs_share"] == 1.0
    assert facts["refused"] == []
    assert verification["executed_on"].startswith(executed)
    assert verification["reference"] == "edgec's interpreter on the same numbers of bf16"
    assert 45.0 < verification["against_model"]["signal_to_noise_db"]["logits"] < 60.0
    accuracy = receipt["accuracy"]
    assert accuracy["images"] == (200 if target.startswith("host") else 40)
    assert accuracy["newly_wrong"] == 0
    # Winograd's weights, of floats, are more than the model's
    assert receipt["memory"]["weights_bytes"] < 0.52 * wide["memory"]["weights_bytes"]


def test_the_same_answers_everywhere(tmp_path: Path) -> None:
    """Sums differ in their last bits, and what they round to here and there."""
    found = []
    with np.load(DATA) as arrays:
        images = arrays["input"][:5]
    for target in ("host", "arm:cortex-a76", *BF16_CORES):
        built(target, tmp_path / target.replace(":", "-"), verify="none")
        with edgec.load(tmp_path / target.replace(":", "-")) as session:
            found.append(np.stack([session.run(None, {"input": image[None]})[0] for image in images]))
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, atol=0.004 * np.abs(found[0]).max())


def test_an_emulator_without_the_instructions_says_so(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="uses bf16 instructions, which the emulator runner has not"):
        built("arm:neoverse-n2", tmp_path / "out", verify="emulate")
    built("arm:neoverse-n2", tmp_path / "out", verify="none")
    with pytest.raises(RunError, match="bf16 instructions"):
        load(tmp_path / "out", runner="emulator")


def test_qemu_is_asked_for_where_only_it_knows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built("arm:neoverse-n2", tmp_path / "out", verify="none")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="bf16 instructions, which of the emulators only qemu-aarch64 has: install qemu"):
        load(tmp_path / "out")


def test_floats_for_a_core_with_bf16_run_in_the_emulator(tmp_path: Path) -> None:
    """Nothing but products of bf16 keeps its code from it."""
    receipt = edgec.compile(MODEL, "arm:neoverse-n2", tmp_path / "out", shapes=SHAPES, verify_inputs=1)
    assert receipt["verification"]["executed_on"].startswith("unicorn")
    assert receipt["verification"]["instructions"] > 500_000


def test_casts_of_halves_are_none_of_its_instructions(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)
    ports = value("x", TensorProto.FLOAT, [5]), value("y", TensorProto.FLOAT16, [5])
    path = tmp_path / "cast.onnx"
    onnx.save(helper.make_model(helper.make_graph([cast], "g", [ports[0]], [ports[1]]), ir_version=10), path)
    edgec.compile(path, "arm:neoverse-n2", tmp_path / "out", verify="none")
    with load(tmp_path / "out", runner="emulator") as session:
        (y,) = session.run(None, {"x": np.array([1, -2, 0.1, 7e4, 1e-8], np.float32)})
    np.testing.assert_array_equal(y, np.array([1, -2, 0.1, np.inf, 0], np.float16))


def model_of(folder: Path, weight: float) -> Path:
    """y = (x w) b, where b is an input."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "b"], ["y"])]
    graph = helper.make_graph(
        nodes, "two", [value("x", TensorProto.FLOAT, [5, 8]), value("b", TensorProto.FLOAT, [8, 3])],
        [value("y", TensorProto.FLOAT, [5, 3])],
        [numpy_helper.from_array((np.eye(8) * weight).astype(np.float32), "w")],
    )  # fmt: skip
    path = folder / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_what_stays_in_floats_has_a_code(tmp_path: Path) -> None:
    receipt = edgec.compile(model_of(tmp_path, 0.1), "host", tmp_path / "out", precision="bf16")
    facts = receipt["halves"]
    assert [(r["op"].split()[0], r["code"]) for r in facts["refused"]] == [("matmul", "NO_BF16_KERNEL")]
    assert facts["macs_share"] == pytest.approx(8 / 11, abs=1e-4)
    with edgec.load(tmp_path / "out") as session:
        x, b = np.full((5, 8), 1.0, np.float32), np.full((8, 3), 1.0, np.float32)
        (y,) = session.run(None, {"x": x, "b": b})
    np.testing.assert_allclose(y, 8 * 0.10009765625, rtol=1e-6)  # 0.1 as bf16 has it


def test_a_weight_that_would_be_infinite(tmp_path: Path) -> None:
    receipt = edgec.compile(model_of(tmp_path, 3.4e38), "host", tmp_path / "out", precision="bf16", verify="none")
    assert {r["code"] for r in receipt["halves"]["refused"]} == {"NO_BF16_KERNEL", "BF16_RANGE"}
    assert receipt["halves"]["operators_in_halves"] == 0


def test_a_bound_takes_floats(tmp_path: Path) -> None:
    calib = str(EXAMPLES / "fashion_mnist_calib.npz")
    receipt = built("host", tmp_path / "out", calib=calib, calib_samples=32, max_error="0.2%")
    facts = receipt["halves"]
    floats = [row["op"] for row in facts["search"]["layers"] if row["form"] == "f32"]
    assert 0 < len(floats) < len(facts["search"]["layers"]) == 10
    assert sorted(row["op"] for row in facts["refused"]) == sorted(floats)
    assert {row["code"] for row in facts["refused"]} == {"BEYOND_BOUND"}
    assert facts["search"]["measured"]["error"] <= 0.002
    assert facts["calibration"]["samples"] == 32
    assert facts["search"]["tried"][0]["error"] > 0.002


def test_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--precision bfloat16 is not legal; legal: float32, fp16, bf16"):
        built("host", tmp_path / "out", precision="bfloat16")


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        built("arm:neoverse-n2", tmp_path / folder, verify="none")
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), f"{path.name} differs"
