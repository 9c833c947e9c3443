"""The runner on Core ML itself: what it hands to coremltools and takes from there, with a model in Core ML's place."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools
import numpy as np
import pytest
from coreml_packages import ct, mb, save
from coreml_samples import LABELS, artifact, vision
from PIL import Image

from edgec.runtime.errors import RunError
from edgec.runtime.session import Session, load


class FakeModel:
    """Remembers what it is asked and gives `answer`."""

    answer: dict[str, Any]
    asked: dict[str, Any]

    def __init__(self, path: str, **options: Any) -> None:
        assert Path(path).suffix == ".mlpackage"

    def predict(self, feeds: dict[str, Any]) -> dict[str, Any]:
        FakeModel.asked = feeds
        return FakeModel.answer


@pytest.fixture
def on_a_mac(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Session]:
    """Loads as a Mac does. Packages are saved before: coremltools' own converter needs the class."""

    def loaded(path: Path) -> Session:
        monkeypatch.setattr(platform, "system", lambda: "Darwin")
        monkeypatch.setattr(coremltools.models, "MLModel", FakeModel)
        return load(path, runner="coreml")

    return loaded


def test_an_artifact(tmp_path: Path, on_a_mac: Callable[[Path], Session]) -> None:
    """Features have names, types and shapes of their own; integers that they do not hold are refused."""
    port = {"name": "in/put", "feature": "x", "dtype": "i64", "shape": [4]}
    folder = artifact(
        tmp_path, inputs=[port], outputs=[{"name": "out/put", "feature": "y", "dtype": "f64", "shape": [4]}]
    )
    FakeModel.answer = {"y": np.array([[0.5, 1], [1.5, -2]], np.float32)}
    with on_a_mac(folder) as session:
        made = session.run(["out/put"], {"in/put": np.array([1, 2, 3, -4])})[0]
        assert (made.dtype, made.tolist()) == (np.float64, [0.5, 1, 1.5, -2])
        given = FakeModel.asked["x"]
        assert (given.dtype, given.tolist()) == (np.int32, [[1, 2], [3, -4]])
        with pytest.raises(RunError, match="values outside of int32"):
            session.run(None, {"in/put": np.array([1, 2, 3, 1 << 40])})


def test_a_picture_and_labels(tmp_path: Path, on_a_mac: Callable[[Path], Session]) -> None:
    """Core ML gives probabilities in no order; they come in that of the labels."""
    path, inputs = vision(tmp_path / "vision.mlpackage")
    scores = {label: i / 10 for i, label in enumerate(LABELS)}
    FakeModel.answer = {"classLabel": LABELS[-1], "classLabel_probs": dict(reversed(scores.items()))}
    with on_a_mac(path) as session:
        label, probabilities = session.run(None, inputs)
    assert label.tolist() == [LABELS[-1]]
    assert probabilities.tolist() == list(scores.values())
    assert isinstance(FakeModel.asked["image"], Image.Image)
    np.testing.assert_array_equal(np.asarray(FakeModel.asked["image"]), inputs["image"])


def test_gray_halves(tmp_path: Path, on_a_mac: Callable[[Path], Session]) -> None:
    """A picture of halves, given and made: coremltools wants PIL's mode F."""
    kind = ct.ImageType(name="x", shape=(1, 1, 2, 3), color_layout=ct.colorlayout.GRAYSCALE_FLOAT16)
    given = {"x": mb.TensorSpec(shape=(1, 1, 2, 3), dtype=ct.converters.mil.mil.types.fp16)}
    path = save(tmp_path / "x.mlpackage", lambda x: mb.mul(x=x, y=np.float16(2), name="y"), given, inputs=[kind])
    FakeModel.answer = {"y": np.ones((1, 1, 2, 3), np.float16)}
    with on_a_mac(path) as session:
        session.run(None, {"x": np.full((2, 3), 0.5, np.float16)})
    assert FakeModel.asked["x"].mode == "F"
    assert np.asarray(FakeModel.asked["x"]).tolist() == [[0.5] * 3] * 2


def test_flexible_shapes(tmp_path: Path, on_a_mac: Callable[[Path], Session]) -> None:
    symbol = ct.converters.mil.mil.get_new_symbol()
    path = save(
        tmp_path / "x.mlpackage", lambda x: mb.mul(x=x, y=3.0, name="y"), {"x": mb.TensorSpec(shape=(1, symbol))},
        inputs=[ct.TensorType(name="x", shape=ct.Shape((1, ct.RangeDim(2, 5, default=3))))],
    )  # fmt: skip
    FakeModel.answer = {"y": np.zeros((1, 5), np.float32)}
    with on_a_mac(path) as session:
        assert session.run(None, {"x": np.zeros((1, 5), np.float32)})[0].shape == (1, 5)
        with pytest.raises(RunError, match=r"shape \[1, 6\]"):
            session.run(None, {"x": np.zeros((1, 6), np.float32)})
