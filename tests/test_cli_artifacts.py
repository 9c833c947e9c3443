"""Commands on artifacts: what they write, and over what."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import helper
from quantised import made, written

import edgec
from edgec.cli import commands
from edgec.ir.errors import UsageError

X = np.linspace(-1, 1, 6, dtype=np.float32)


@pytest.fixture
def run(tmp_path: Path) -> list[str]:
    """The command that runs a Relu on X, up to the name of the file to write."""
    model = written(made([helper.make_node("Relu", ["x"], ["y"])], {}, {"x": (6,)}, {"y": 1}, opset=17), tmp_path)
    edgec.compile(model, "host", tmp_path / "out", verify="none")
    np.save(tmp_path / "x.npy", X)
    return ["run", str(tmp_path / "out"), "--input", str(tmp_path / "x.npy"), "--output"]


def test_a_file_is_replaced_and_a_link_stays(run: list[str], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "y.npz").write_text("older")
    link = tmp_path / "link.npz"
    link.symlink_to(Path("there") / "y.npz")
    done = CliRunner().invoke(commands, [*run, str(link)])
    assert done.exit_code == 0, done.exception
    assert link.is_symlink()
    with np.load(tmp_path / "there" / "y.npz") as found:
        np.testing.assert_array_equal(found["y"], np.maximum(X, 0))
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["y.npz"]
    circle = tmp_path / "circle.npz"
    circle.symlink_to(circle)
    done = CliRunner().invoke(commands, [*run, str(circle)])
    assert done.exit_code == 0, done.exception
    assert circle.is_file()


def test_what_is_no_file_is_left_alone(run: list[str], tmp_path: Path) -> None:
    """A pipe stands for all that is no file: devices must not be replaced either."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name in (pipe, tmp_path):
        done = CliRunner().invoke(commands, [*run, str(name)])
        assert isinstance(done.exception, UsageError)
        assert f"--output {name} cannot be written: it is no regular file; give a free name" in str(done.exception)
    assert pipe.is_fifo()
