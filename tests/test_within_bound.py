"""--max-error and --max-drop from ONNX to an artifact: the bound holds, and what it took stands in the receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from quantised import by_onnxruntime, made, written
from test_build import EXAMPLES, MODEL

import edgec
from edgec.ir.errors import UsageError, VerifyError
from edgec.options import BuildOptions, check_options

CALIB = EXAMPLES / "fashion_mnist_calib.npz"
DATA = EXAMPLES / "fashion_mnist_200.npz"


def built(folder: Path, calib: Path = CALIB, **options: Any) -> dict[str, Any]:
    given = {"shapes": {"input": (1, 1, 28, 28)}, "precision": "int8", "calib": str(calib), "force": True,
             "observer": "mse", "verify_inputs": 1, "calib_samples": 32}  # fmt: skip
    receipt: dict[str, Any] = edgec.compile(MODEL, "host", folder, **{**given, **options})
    return receipt


def labelled(folder: Path, answers: bool) -> Path:
    """Images with labels: those that the float model gives."""
    with np.load(DATA) as arrays:
        images = arrays["input"]
    edgec.compile(MODEL, "host", folder / "float", shapes={"input": (1, 1, 28, 28)}, verify="none")
    with edgec.load(folder / "float") as session:
        wide = [int(session.run(None, {"input": x[None]})[0].argmax()) for x in images]
    labels = np.array(wide) if answers else (np.array(wide) + 1) % 10
    np.savez(folder / "labelled.npz", input=images, labels=labels)
    return folder / "labelled.npz"


def test_an_error_that_asks_for_floats(tmp_path: Path) -> None:
    facts = built(tmp_path / "free", max_error="50%")["quantization"]
    assert facts["search"]["in_floats"] == 0
    assert facts["macs_share"] == 1.0
    error = facts["search"]["measured"]["error"]
    bound = error / 2
    receipt = built(tmp_path / "bound", max_error=f"{bound:.6f}")
    facts = receipt["quantization"]
    search = facts["search"]
    assert search["measured"]["error"] <= bound < error
    assert 0 < search["in_floats"] < len(search["layers"])
    beyond = [row["op"] for row in facts["kept_in_floats"] if row["code"] == "BEYOND_BOUND"]
    assert beyond == [row["op"] for row in search["layers"] if row["form"] == "f32"]
    assert 0 < facts["macs_share"] < 1
    noise = receipt["verification"]["against_model"]["signal_to_noise_db"]["logits"]
    assert noise > -20 * np.log10(2 * bound)
    # one fewer in floats was beyond the bound
    assert {"in_floats": search["in_floats"] - 1, "within": False}.items() <= next(
        trial for trial in search["tried"] if trial["in_floats"] == search["in_floats"] - 1
    ).items()


def test_a_bound_that_nothing_meets(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match=r"0.0001% is not met with any narrower operator: the closest was"):
        built(tmp_path / "out", max_error="0.000001")
    assert not (tmp_path / "out").exists()


def test_a_drop(tmp_path: Path) -> None:
    """Two hundred labels that the float model gives: none can be won, and a small bound takes floats."""
    calib = labelled(tmp_path, answers=True)
    searches = [
        built(tmp_path / f"out{i}", calib, max_drop=most)["quantization"]["search"]
        for i, most in enumerate(("2%", "0.1%"))
    ]
    for search, most in zip(searches, (0.02, 0.001), strict=True):
        assert search["measured"]["newly_right"] == 0
        assert 0 < search["measured"]["near_ties"]["drop_confidence_95"][1] <= most
    assert searches[0]["in_floats"] < searches[1]["in_floats"]


def test_a_file_is_an_npz_in_capitals_too() -> None:
    """As --calib has it."""
    check_options(BuildOptions(precision="int8", max_drop="1%", calib="M.NPZ"), "host")
    with pytest.raises(UsageError, match=r"--max-drop needs labelled items: give --calib an .npz file"):
        check_options(BuildOptions(precision="int8", max_drop="1%", calib="npz"), "host")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_drop": "much"}, "--max-drop much is no share; legal: more than 0 and less than 1"),
        ({"max_error": "1%", "max_drop": "1%"}, "two bounds: give one of them"),
        ({"max_drop": "5%"}, r"calib.npz has no array 'labels'; it needs one an input"),
    ],
)
def test_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        built(tmp_path / "out", **options)
    every = "fp16, bf16, int8, int8-dynamic, fp8-e4m3, fp8-e5m2, w4a8, w8, w4"
    with pytest.raises(UsageError, match=f"bounds what {every} lose: give"):
        edgec.compile(MODEL, "host", tmp_path / "out", max_error="1%")


def two_ways(folder: Path) -> tuple[Path, Path]:
    """Three products, and beside them one that adds a hundredth; and samples."""
    rng = np.random.default_rng(0)
    sizes = {"w1": (32, 32), "w2": (32, 32), "w3": (32, 8), "aside": (32, 8)}
    weights = {n: (rng.standard_normal(s) / np.sqrt(s[0])).astype(np.float32) for n, s in sizes.items()}
    weights["aside"] *= np.float32(0.01)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w2"], ["c"]), helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w3"], ["e"]), helper.make_node("MatMul", ["x", "aside"], ["f"]),
        helper.make_node("Add", ["e", "f"], ["y"]),
    ]  # fmt: skip
    np.savez(folder / "samples.npz", x=rng.standard_normal((64, 1, 32)).astype(np.float32))
    return written(made(nodes, weights, {"x": (1, 32)}, {"y": 1}, opset=17), folder), folder / "samples.npz"


@pytest.mark.parametrize(("bound", "halves"), [("0.05%", False), ("1%", True)])
def test_a_bound_holds_with_halves_beside_bytes(bound: str, halves: bool, tmp_path: Path) -> None:
    """What ships is measured on the core's own code: halves alone lose 0.1 % to 0.3 %."""
    model, calib = two_ways(tmp_path)
    receipt = edgec.compile(model, "arm:cortex-a76", tmp_path / "out", precision="int8", calib=str(calib),
                            observer="minmax", max_error=bound, verify="none")  # fmt: skip
    facts = receipt["quantization"]
    noise = signal = 0.0
    with edgec.load(tmp_path / "out") as session, np.load(calib) as samples:
        for x in samples["x"][1::2]:  # those that nothing was learned from
            (expected,) = by_onnxruntime(model, {"x": x})
            noise += float(np.sum((session.run(None, {"x": x})[0] - expected) ** 2))
            signal += float(np.sum(expected**2))
    error, most = np.sqrt(noise / signal), float(bound.removesuffix("%")) / 100
    assert error <= most
    assert facts["search"]["measured"]["error"] == pytest.approx(error, rel=0.02)
    assert facts["macs_on_bytes"] > 0
    assert (facts["halves"]["operators_in_halves"] > 0) == halves
    assert facts["halves"]["code"] == (None if halves else "BEYOND_BOUND")
    forms = {row["form"] for row in facts["search"]["layers"]}
    if halves:
        assert facts["search"]["measured_with_floats"]["error"] < facts["search"]["measured"]["error"]
        assert "f32" not in forms
    else:
        assert facts["halves"]["measured"]["error"] > most
        assert forms == {"i8", "f32"}
        beyond = {row["why"] for row in facts["kept_in_floats"] if row["code"] == "BEYOND_BOUND"}
        assert beyond == {"on bytes, it would take the model beyond the bound"}
