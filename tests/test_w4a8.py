"""`--precision w4a8` from ONNX to an artifact: weights of four bits, values of bytes, the same bits everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from test_build import EXAMPLES, MODEL

import edgec

CALIB = EXAMPLES / "fashion_mnist_calib.npz"
DATA = EXAMPLES / "fashion_mnist_200.npz"


def built(target: str, folder: Path, **options: Any) -> dict[str, Any]:
    given = {"shapes": {"input": (1, 1, 28, 28)}, "precision": "w4a8", "calib": str(CALIB), "calib_samples": 64}
    receipt: dict[str, Any] = edgec.compile(MODEL, target, folder, **{**given, **options})
    return receipt


def test_receipt_of_the_example(tmp_path: Path) -> None:
    receipt = built("host", tmp_path / "out", data=DATA)
    assert receipt["verification"]["outputs"]["logits"]["max_abs_error"] == 0.0
    facts = receipt["quantization"]
    assert facts["precision"] == "w4a8"
    assert facts["weights_of_four_bits"] == 9, "all but the first convolution, which has one channel"
    assert facts["macs_share"] == 1.0
    assert facts["refused"] == []
    kinds = receipt["memory"]["weights_by_kind"]
    assert kinds["i4"] < 77_584 * 4.6 / 8
    accuracy = receipt["accuracy"]
    assert accuracy["newly_wrong"] - accuracy["newly_right"] <= 1
    assert receipt["verification"]["against_model"]["signal_to_noise_db"]["logits"] > 30
    tried = facts["trials"]["tried"]
    assert [t["observer"] for t in tried[:4]] == ["minmax", "percentile", "entropy", "mse"]
    best = max(tried, key=lambda t: t["signal_to_noise_db"])
    assert facts["calibration"]["weights"] == best["weights"] != tried[0]["weights"], "four bits are settled in order"
    assert best["signal_to_noise_db"] > max(t["signal_to_noise_db"] for t in tried[:4]) + 3


def test_the_same_bits_on_every_target(tmp_path: Path) -> None:
    """With unsigned bytes and vpdpbusd, with sdot, and with neither."""
    with np.load(DATA) as arrays:
        images = arrays["input"][:4]
    found = []
    for target in ("host", "arm:cortex-a76", "arm:cortex-a72"):
        folder = tmp_path / target.replace(":", "-")
        built(target, folder, verify_inputs=1, observer="mse", calib_samples=8)
        with edgec.load(folder) as session:
            found.append(np.stack([session.run(None, {"input": image[None]})[0] for image in images]))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_bound_takes_bytes_before_floats(tmp_path: Path) -> None:
    """A bound that some weights of bytes meet, and one that no weights of bytes do."""
    few: dict[str, Any] = {"observer": "mse", "calib_samples": 32, "verify_inputs": 1}
    free = built("host", tmp_path / "free", max_error="50%", **few)["quantization"]
    assert free["search"]["weights_of_bytes"] == free["search"]["in_floats"] == 0
    error = free["search"]["measured"]["error"]
    for i, share in enumerate((0.7, 0.15)):
        receipt = built("host", tmp_path / str(i), max_error=f"{error * share:.6f}", **few)
        facts, search = receipt["quantization"], receipt["quantization"]["search"]
        assert search["measured"]["error"] <= error * share
        assert facts["weights_of_four_bits"] == 9 - search["weights_of_bytes"]
        kept = [row["op"] for row in facts["kept_in_floats"]]
        assert kept == [row["op"] for row in search["layers"] if not row["on_bytes"]]
        narrow = [row for row in search["layers"] if row["on_bytes"]]
        assert sum(row["weights"] == "i4" for row in narrow) == facts["weights_of_four_bits"]
        if i == 0:
            assert 0 < search["weights_of_bytes"] < 9
            assert search["in_floats"] == 0
        else:
            assert search["weights_of_bytes"] == 9
            assert search["in_floats"] == len(kept) > 0
        noise = receipt["verification"]["against_model"]["signal_to_noise_db"]["logits"]
        assert noise > -20 * np.log10(2 * error * share)
