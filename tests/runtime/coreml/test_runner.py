"""Packages behind a Session and on the command line: pictures, labels, states, functions, flexible shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from coreml_packages import ct, mb, model_file, read_model, save, types
from coreml_samples import LABELS, artifact, stateful, vision

from edgec.cli_artifacts import run
from edgec.runtime.errors import RunError
from edgec.runtime.session import load


def test_a_picture_and_labels(tmp_path: Path) -> None:
    """Bytes go in as [height, width, RGB]; the answer is a label and all probabilities in the order of the labels."""
    path, inputs = vision(tmp_path / "vision.mlpackage")
    with load(path) as session:
        assert session.executed_on == "evaluator (numpy)"
        assert str(session.inputs[0]) == "u8[12,12,3]"
        assert session.labels == tuple(LABELS)
        label, probabilities = session.run(None, inputs)
        assert probabilities.dtype == np.float64
        assert label.tolist() == [LABELS[int(probabilities.argmax())]]
        assert probabilities.sum() == pytest.approx(1, abs=1e-6)
        flipped = session.run(None, {"image": inputs["image"][:, :, ::-1]})[1]
        assert np.abs(flipped - probabilities).max() > 1e-3
        with pytest.raises(RunError, match=r"shape \[12, 12\]"):
            session.run(None, {"image": inputs["image"][:, :, 0]})
        with pytest.raises(RunError, match="float32"):
            session.run(None, {"image": inputs["image"].astype(np.float32)})


def test_blue_first(tmp_path: Path) -> None:
    """A program that wants BGR gets it, of the same picture in RGB."""

    def build(x: object) -> object:
        return mb.slice_by_size(x=x, begin=[0, 0, 0, 0], size=[1, 1, 2, 2], name="y")

    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    for layout, channel in ((ct.colorlayout.BGR, 2), (ct.colorlayout.RGB, 0)):
        kind = ct.ImageType(name="x", shape=(1, 3, 2, 2), color_layout=layout)
        path = save(tmp_path / f"{layout.name}.mlpackage", build, {"x": (1, 3, 2, 2)}, inputs=[kind])
        np.testing.assert_array_equal(load(path).run(None, {"x": picture})[0][0, 0], picture[:, :, channel])


def test_gray(tmp_path: Path) -> None:
    kind = ct.ImageType(name="x", shape=(1, 1, 2, 3), color_layout=ct.colorlayout.GRAYSCALE)
    path = save(tmp_path / "x.mlpackage", lambda x: mb.mul(x=x, y=2.0, name="y"), {"x": (1, 1, 2, 3)}, inputs=[kind])
    picture = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)
    np.testing.assert_array_equal(load(path).run(None, {"x": picture})[0], 2.0 * picture[None, None])


def test_states_live_in_the_session(tmp_path: Path) -> None:
    path, inputs = stateful(tmp_path / "stateful.mlpackage")
    with load(path) as session:
        assert [(s.name, str(s)) for s in session.manifest.states] == [("seen", "f16[2,4,8]")]
        first, second = (session.run(["difference"], inputs)[0] for _ in range(2))
        assert np.abs(first - second).max() > 1e-2
        session.reset()
        np.testing.assert_array_equal(session.run(["difference"], inputs)[0], first)
    np.testing.assert_array_equal(load(path).run(["difference"], inputs)[0], first)


def test_functions_by_name(tmp_path: Path) -> None:
    path, inputs = stateful(tmp_path / "stateful.mlpackage")
    weight = np.random.default_rng(1).standard_normal((8, 8)) * 0.5
    made = load(path, function="plain").run(["difference"], inputs)[0]
    np.testing.assert_allclose(made, inputs["x"] @ weight.T + inputs["x"], rtol=1e-5, atol=1e-5)
    with pytest.raises(RunError, match="no function 'nope'; it has 'main', 'plain'"):
        load(path, function="nope")


def test_flexible_shapes(tmp_path: Path) -> None:
    shape = ct.Shape((1, ct.RangeDim(2, 5, default=3)))
    spec = mb.TensorSpec(shape=(1, mb_symbol()), dtype=types.fp32)
    path = save(
        tmp_path / "x.mlpackage", lambda x: mb.mul(x=x, y=3.0, name="y"), {"x": spec},
        inputs=[ct.TensorType(name="x", shape=shape)],
    )  # fmt: skip
    with load(path) as session:
        for size in (2, 3, 5):
            x = np.arange(size, dtype=np.float32)[None]
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], 3 * x)
        with pytest.raises(RunError, match=r"shape \[1, 6\]"):
            session.run(None, {"x": np.zeros((1, 6), np.float32)})
    one, two = ct.EnumeratedShapes([(1, 2), (1, 4)], default=(1, 4)), (1, 4)
    path = save(
        tmp_path / "e.mlpackage", lambda x: mb.mul(x=x, y=3.0, name="y"), {"x": spec},
        inputs=[ct.TensorType(name="x", shape=one)],
    )  # fmt: skip
    with load(path) as session:
        assert session.inputs[0].shape == two
        session.run(None, {"x": np.zeros((1, 2), np.float32)})
        with pytest.raises(RunError, match=r"shape \[1, 3\]"):
            session.run(None, {"x": np.zeros((1, 3), np.float32)})


def mb_symbol() -> object:
    from coremltools.converters.mil.mil import get_new_symbol

    return get_new_symbol()


def test_an_optional_input(tmp_path: Path) -> None:
    """What is left out is the described default."""
    path = save(tmp_path / "x.mlpackage", lambda x, y: mb.add(x=x, y=y, name="z"), {"x": (2,), "y": (2,)})
    model = read_model(path)
    kind = model.description.input[1].type
    kind.isOptional = True
    kind.multiArrayType.floatDefaultValue = 2.5
    model_file(path).write_bytes(model.SerializeToString())
    x = np.array([1, 2], np.float32)
    with load(path) as session:
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], x + 2.5)
        np.testing.assert_array_equal(session.run(None, {"x": x, "y": x})[0], x + x)


def test_an_artifact(tmp_path: Path) -> None:
    """Its manifest says what callers see; values are converted where nothing is lost."""
    with load(artifact(tmp_path)) as session:
        made = session.run(None, {"x": np.array([1, 2, 3, -4])})[0]
        assert made.dtype == np.float64
        np.testing.assert_array_equal(made, [[0.5, 1], [1.5, -2]])
        with pytest.raises(RunError, match="values outside of int32"):
            session.run(None, {"x": np.array([1, 2, 3, 1 << 40])})


def test_an_artifact_that_was_changed(tmp_path: Path) -> None:
    folder = artifact(tmp_path)
    model_file(folder / "net.mlpackage").write_bytes(model_file(folder / "net.mlpackage").read_bytes() + b"\0")
    with pytest.raises(RunError, match="not the file that was built"):
        load(folder)


def test_a_package_that_is_no_part_of_the_artifact(tmp_path: Path) -> None:
    folder = artifact(tmp_path, package="../x.mlpackage")
    save(tmp_path / "x.mlpackage", lambda x: mb.mul(x=x, y=3.0, name="y"), {"x": (2, 2)})
    with pytest.raises(RunError, match=r"package '../x.mlpackage' of .* is not a part of it"):
        load(folder)


def test_an_artifact_with_other_names(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no input 'z'; it has x"):
        load(artifact(tmp_path, inputs=[{"name": "z", "dtype": "i64", "shape": [4]}]))


def test_runners_that_do_not_fit(tmp_path: Path) -> None:
    folder = artifact(tmp_path)
    with pytest.raises(RunError, match="coreml:ios18, which is not for the host runner"):
        load(folder, runner="host")
    with pytest.raises(RunError, match="a part of macOS"):
        load(folder, runner="coreml")


def test_the_command_line(tmp_path: Path) -> None:
    path, inputs = vision(tmp_path / "vision.mlpackage")
    np.save(tmp_path / "image.npy", inputs["image"])
    result = CliRunner().invoke(run, [str(path), "-i", str(tmp_path / "image.npy"), "--top", "2"])
    assert result.exit_code == 0, result.output
    lines = result.output.strip().split("\n")
    assert len(lines) == 2
    probabilities = load(path).run(["classLabel_probs"], inputs)[0]
    assert lines[0].split()[1] == LABELS[int(probabilities.argmax())]
    assert float(lines[0].split()[0]) == pytest.approx(probabilities.max(), rel=1e-5)


def test_a_function_on_the_command_line(tmp_path: Path) -> None:
    path, inputs = stateful(tmp_path / "stateful.mlpackage")
    np.save(tmp_path / "x.npy", inputs["x"])
    out = tmp_path / "y.npz"
    arguments = [str(path), "-i", str(tmp_path / "x.npy"), "-o", str(out), "--function", "plain"]
    assert CliRunner().invoke(run, arguments).exit_code == 0
    with np.load(out) as found:
        np.testing.assert_array_equal(found["difference"], load(path, function="plain").run(None, inputs)[0])
