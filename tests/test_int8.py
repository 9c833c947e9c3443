"""`--precision int8` from ONNX to an artifact: the same bits everywhere, few answers lost, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_build import EXAMPLES, MODEL, command

import edgec
from edgec.ir.errors import UsageError

CALIB = EXAMPLES / "fashion_mnist_calib.npz"
DATA = EXAMPLES / "fashion_mnist_200.npz"
SHAPES = {"input": (1, 1, 28, 28)}


def built(target: str, folder: Path, **options: Any) -> dict[str, Any]:
    given = {"shapes": SHAPES, "precision": "int8", "calib": str(CALIB), **options}
    receipt: dict[str, Any] = edgec.compile(MODEL, target, folder, **given)
    return receipt


def test_receipt_of_the_example(tmp_path: Path) -> None:
    receipt = built("host", tmp_path / "int8", data=DATA, force=True)
    wide = edgec.compile(MODEL, "host", tmp_path / "float", shapes=SHAPES, verify="none")
    verification = receipt["verification"]
    assert verification["reference"] == "edgec's interpreter on the same integers"
    assert verification["outputs"]["logits"]["max_abs_error"] == 0.0
    assert 28.0 < verification["against_model"]["signal_to_noise_db"]["logits"] < 60.0
    accuracy = receipt["accuracy"]
    assert accuracy["newly_wrong"] - accuracy["newly_right"] <= 2
    low, high = accuracy["drop_confidence_95"]
    assert low <= accuracy["drop"] <= high
    kinds = receipt["memory"]["weights_by_kind"]
    assert kinds["i8"] > 0.8 * sum(kinds.values())
    facts = receipt["quantization"]
    assert facts["macs_on_bytes"] == receipt["macs"]
    assert facts["macs_share"] == 1.0
    assert facts["refused"] == []
    assert {layer["op"].split()[0] for layer in facts["layers"]} == {"conv", "reduce_mean", "matmul"}
    assert all(layer["signal_to_noise_db"] > 15 for layer in facts["layers"])
    assert receipt["memory"]["weights_bytes"] < 0.35 * wide["memory"]["weights_bytes"]
    assert receipt["memory"]["scratch_bytes"] < 0.5 * wide["memory"]["scratch_bytes"]


def test_the_same_bits_on_every_target(tmp_path: Path) -> None:
    """With unsigned bytes and vpdpbusd, with sdot, and with neither."""
    targets = ("host", "arm:cortex-a76", "arm:cortex-a72")
    with np.load(DATA) as arrays:
        images = arrays["input"][:5]
    found = []
    for target in targets:
        folder = tmp_path / target.replace(":", "-")
        built(target, folder, verify_inputs=1, force=True, observer="mse", calib_samples=32)
        with edgec.load(folder) as session:
            found.append([session.run(None, {"input": image[None]})[0] for image in images])
    for target, outputs in zip(targets[1:], found[1:], strict=True):
        np.testing.assert_array_equal(np.stack(outputs), np.stack(found[0]), err_msg=target)
    assert len({out.tobytes() for out in found[0]}) == len(images)


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        done = command(
            "build", str(MODEL), "-t", "arm:cortex-a76", "-o", folder, "--shape", "input=1x1x28x28",
            "--precision", "int8", "--calib", str(CALIB), "--calib-samples", "32", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said = re.findall(r"([0-9.]+)% of the multiply-adds work on (?:bytes|halves)", done.stdout)
        shares = [float(share) for share in said]
        assert len(shares) == 2
        assert min(shares) > 20
        assert sum(shares) == pytest.approx(100, abs=0.11)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), f"{path.name} differs"


def test_random_calibration_is_loud(tmp_path: Path) -> None:
    done = command(
        "build", str(MODEL), "-t", "host", "-o", "out", "--shape", "input=1x1x28x28", "--precision", "int8",
        "--observer", "minmax", "--calib-samples", "8", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" in done.stdout
    assert "--calib" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "--precision int4 is not legal; legal: float32, fp16, bf16, int8"),
        ({"observer": "best"}, "--observer best is not legal; legal: auto, minmax"),
        ({"calib": "missing.npz"}, "missing.npz"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        built("host", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_calibration_of_another_shape_leaves_the_old_artifact(tmp_path: Path) -> None:
    built("host", tmp_path / "out", verify="none", observer="minmax", calib_samples=8)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    np.savez(tmp_path / "wrong.npz", input=np.zeros((4, 3, 28, 28), np.float32))
    with pytest.raises(UsageError, match="input"):
        built("host", tmp_path / "out", calib=str(tmp_path / "wrong.npz"))
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_verify_reproduces_what_the_build_computed(tmp_path: Path) -> None:
    """By golden.npz, since the float model only says how far away bytes are."""
    built("host", tmp_path / "int8", observer="minmax", force=True)
    told = ["verify", "int8", "--model", str(MODEL), "--shape", "input=1x1x28x28"]
    done = command(*told, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "logits: ok" in done.stdout
    found = re.search(r"logits against the model, on the sample in golden.npz: signal to noise ([\d.]+)", done.stdout)
    assert found, done.stdout
    assert float(found[1]) > 30  # on a real image, and not on noise
    golden = tmp_path / "int8" / "golden.npz"
    with np.load(golden) as arrays:
        changed = {name: array.copy() for name, array in arrays.items()}
    assert changed["least_db"] == np.inf
    changed["output:logits"].ravel()[3] += 0.05
    np.savez(golden, **changed)
    done = command(*told, cwd=tmp_path)
    assert done.returncode == 7  # the file is not what the manifest says
    assert "golden.npz" in done.stderr
