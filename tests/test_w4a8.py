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
    assert accuracy["newly_wrong"] - accuracy["newly_right"] <= 3
    assert receipt["verification"]["against_model"]["signal_to_noise_db"]["logits"] > 24


def test_the_same_bits_on_every_target(tmp_path: Path) -> None:
    """With unsigned bytes and vpdpbusd, with sdot, and with neither."""
    with np.load(DATA) as arrays:
        images = arrays["input"][:4]
    found = []
    for target in ("host", "arm:cortex-a76", "arm:cortex-a72"):
        folder = tmp_path / target.replace(":", "-")
        built(target, folder, verify_inputs=1)
        with edgec.load(folder) as session:
            found.append(np.stack([session.run(None, {"input": image[None]})[0] for image in images]))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
