"""`--calib` on the command line: what does not fit is one sentence and an exit code, and nothing is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_bad_input import fails
from test_build import MODEL, SHAPE, command

INT8 = ("build", str(MODEL), "-t", "host", "-o", "out", *SHAPE, "--precision", "int8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = np.zeros((3, 1, 28, 28), np.float32)
    np.savez(tmp_path / "alike.npz", input=images)
    np.savez(tmp_path / "huge.npz", input=np.stack([images, images + np.float32(3e38)])[:, 0])
    np.savez(tmp_path / "names.npz", image=images)
    np.savez(tmp_path / "shape.npz", input=images[..., 1:])
    np.savez(tmp_path / "nan.npz", input=images * np.nan)
    np.savez(tmp_path / "one.npz", input=images[:1])
    np.savez(tmp_path / "text.npz", input=np.full(images.shape, "a"))
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04" + bytes(50))
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    (tmp_path / "raises.py").write_text("def samples():\n    raise ValueError('the disk\\nis away')\n")
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("names.npz", "--calib names.npz has no array 'input'; the model takes input, and it has image"),
        ("shape.npz", "sample 0 of 'input' has the shape [1, 28, 27], and the model takes f32[1,1,28,28]"),
        ("nan.npz", "sample 0 of 'input' holds NaN"),
        ("one.npz", "has one sample only; give 2 or more"),
        ("text.npz", "sample 0 of 'input' is <U1, and the model takes f32[1,1,28,28]: give numbers"),
        ("zip.npz", "zip.npz is not an .npz file"),
        ("alike.npz", "all 3 samples are one and the same"),
        ("huge.npz", "reads numbers as large as 3e+38, whose squares are beyond float32; legal are up to 1e+18"),
        ("missing.npz", "missing.npz cannot be read: No such file"),
        ("data.csv", "data.csv cannot be read: No such file"),
        ("empty", "--calib empty has no samples"),
        ("photos", "a.jpg is an image, and 'input' takes none; images are frames as a camera gives them: build with"),
        ("nothing:samples", "importing nothing raised ModuleNotFoundError"),
        ("raises:other", "raises has no function 'other'; write MODULE:FUNCTION"),
        ("raises:samples", "samples() raised ValueError: the disk\\nis away"),
    ],
)
def test_data_that_does_not_fit(folder: Path, spec: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    fails(folder, 2, words, *INT8, "--calib", spec)


@pytest.mark.parametrize("precision", ["int8", "w4a8", "fp8-e4m3", "int8 coreml"])
def test_samples_that_are_all_alike_show_no_range(folder: Path, precision: str) -> None:
    precision, _, target = precision.partition(" ")
    options = ("-t", target or "host", "--precision", precision, "--calib", "alike.npz")
    fails(folder, 2, "--calib alike.npz: all 3 samples are one and the same", "build", str(MODEL), *SHAPE, *options)


@pytest.mark.parametrize("precision", ["fp16", "w4"])
def test_samples_that_are_all_alike_may_judge(folder: Path, precision: str) -> None:
    """Where they say no range: which values halves hold, what weights are rounded against."""
    options = ("-t", "host", "-o", "out", "--precision", precision, "--calib", "alike.npz")
    done = command("build", str(MODEL), *SHAPE, *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    receipt = json.loads((folder / "out" / "receipt.json").read_text())
    facts = receipt["halves" if precision == "fp16" else "quantization"]["calibration"]
    assert facts["samples"] == facts["given"] == 3


def test_options_that_do_not_go_together(folder: Path) -> None:
    fails(folder, 2, "has one sample only; give 2 or more", *INT8[:-1], "float32", "--calib", "one.npz")
    fails(folder, 2, "1 is not in the range x>=2", *INT8, "--calib", "one.npz", "--calib-samples", "1")
    fails(folder, 2, "legal: auto, minmax, percentile, entropy, mse", *INT8, "--observer", "best")
    for given, words in (
        (["fp16", "--observer", "mse"], "--observer finds ranges for int8, w4a8: give --precision with one of them"),
        (["bf16", "--force"], "--force is for operators on bytes: give --precision int8 or int8-dynamic with it"),
        (["int8", "--integers-only", "--max-error", "1%"], "leaves operators in floats, and --integers-only none"),
    ):
        fails(folder, 2, words, *INT8[:-1], *given)


@pytest.mark.parametrize("option", [("--range", "input=0:1"), ("--seed", "3")])
def test_random_inputs_beside_samples(folder: Path, option: tuple[str, str]) -> None:
    """They would change nothing: what is compared are the samples."""
    words = "what is built is compared on the samples of --calib: leave them out, or --calib"
    fails(folder, 2, words, *INT8, "--calib", "alike.npz", *option)
    fails(folder, 2, words, *INT8, "-t", "coreml", "--calib", "alike.npz", *option)
