"""`--precision w4a8` from ONNX to an artifact: weights of four bits, values of bytes, the same bits everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from network import Network
from test_build import EXAMPLES, MODEL

import edgec
from edgec.bounds import MostError
from edgec.calibration import Calibration
from edgec.static_w4a8 import static_w4a8
from edgec.target_table import TARGETS
from edgec.targets.c.devices import Device

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


def layers(device: Device, data: Calibration, most: float) -> tuple[Network, dict[str, Any]]:
    """Four matmuls with weights of four bits, within a bound of error; what the receipt says."""
    net = Network(41)
    x = net.source(np.zeros((4, 32)))
    for n, act in ((32, "relu"), (32, "relu"), (32, "relu"), (16, "")):
        x = net.build.op("matmul", x, net.const(32, n), net.const(n), act=act)
    net.named("y", x)
    facts = static_w4a8(net.graph.module, device, data, "minmax", lambda wide: MostError(most, data.samples, wide))
    return net, facts


def test_a_bound_takes_weights_of_bytes_before_floats() -> None:
    """A bound that some weights of bytes meet, and one that all of them do not."""
    rng = np.random.default_rng(4)
    samples = [{"x0": rng.standard_normal((4, 32)).astype(np.float32)} for _ in range(12)]
    device, data = TARGETS["host"].choose(""), Calibration(samples, "", 12, "")
    search = layers(device, data, 0.9)[1]["search"]
    assert search["weights_of_bytes"] == search["in_floats"] == 0
    error = search["measured"]["error"]
    for share, kinds in ((0.8, {"qmatmul"}), (0.05, {"matmul", "qmatmul"})):
        net, facts = layers(device, data, error * share)
        search = facts["search"]
        assert search["measured"]["error"] <= error * share
        assert {op.kind for op in net.graph.ops} & {"matmul", "qmatmul"} == kinds
        in_groups = sum(op.kind == "qmatmul" and len(op.inputs) > 5 for op in net.graph.ops)
        assert in_groups == facts["weights_of_four_bits"] == 4 - search["weights_of_bytes"]
        assert [row["form"] for row in search["layers"]].count("i4") == in_groups
        assert [row["code"] for row in facts["kept_in_floats"]] == ["BEYOND_BOUND"] * search["in_floats"]
        if "matmul" in kinds:
            assert search["weights_of_bytes"] == 4, "all of them before the first operator in floats"
            assert search["in_floats"] > 0
        else:
            assert 0 < search["weights_of_bytes"] < 4
            assert search["in_floats"] == 0
