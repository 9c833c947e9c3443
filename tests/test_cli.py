"""Bad input: one sentence that names the culprit, an exit code, nothing half-written, the older artifact alive."""

from __future__ import annotations

import shutil
from pathlib import Path

from test_build import MODEL, SHAPE, command


def fails(folder: Path, code: int, words: str, *arguments: str) -> None:
    done = command(*arguments, cwd=folder)
    message = done.stderr.strip()
    assert done.returncode == code, (done.returncode, message)
    assert message.count("\n") == 0, message
    assert message.startswith("edgec: "), message
    assert words in message


def test_refusals(tmp_path: Path) -> None:
    model = str(MODEL)
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("a file")
    fails(tmp_path, 2, "legal: arm, host", "build", model, "-t", "riscv", *SHAPE)
    fails(tmp_path, 2, "legal: apple-m1", "build", model, "-t", "arm:z80", *SHAPE)
    fails(tmp_path, 2, "legal: linux, android", "build", model, "-t", "arm", "--os", "plan9", *SHAPE)
    fails(tmp_path, 2, "legal: auto, host", "build", model, "-t", "arm", "--verify", "maybe", *SHAPE)
    fails(tmp_path, 2, "--layers runs the model", "build", model, "-t", "arm", "--layers", "--verify", "none", *SHAPE)
    fails(tmp_path, 2, "--shape input=1x1x28x28", "build", model, "-t", "arm")
    fails(tmp_path, 2, "write lengths as", "build", model, "-t", "arm", "--shape", "input=axb")
    fails(tmp_path, 2, "no such input", "build", model, "-t", "arm", "--shape", "z=1", *SHAPE)
    fails(tmp_path, 2, "LOW:HIGH", "build", model, "-t", "arm", "--range", "input=3", *SHAPE)
    fails(tmp_path, 2, "is not a file", "build", "missing.onnx", "-t", "arm")
    fails(tmp_path, 3, "not an ONNX model", "build", "text.onnx", "-t", "arm")
    fails(tmp_path, 2, "did not make", "build", model, "-t", "arm", "-o", "taken", *SHAPE)
    fails(tmp_path, 2, "is a file", "build", model, "-t", "arm", "-o", "file", *SHAPE)
    fails(tmp_path, 7, "not an edgec artifact", "run", "taken")
    fails(tmp_path, 2, "there is no pass", "opt", str(_graph(tmp_path)), "-p", "make_fast")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "g.edge", "taken", "text.onnx"]
    assert (tmp_path / "taken" / "mine.txt").read_text() == "mine"


def _graph(folder: Path) -> Path:
    path = folder / "g.edge"
    path.write_text('entry main(%x: f32[4]) {\n  %0: f32[4] = relu %x\n  return "y" = %x\n}\n')
    return path


def test_opt(tmp_path: Path) -> None:
    done = command("opt", str(_graph(tmp_path)), "-p", "remove_dead_code", cwd=tmp_path)
    assert done.stdout == 'entry main(%x: f32[4]) {\n  return "y" = %x\n}\n'
    (tmp_path / "bad.edge").write_text("entry main(%x: f99[4]) { return }")
    fails(tmp_path, 5, "1:16: there is no dtype f99", "opt", "bad.edge", "-p", "remove_dead_code")


def test_opt_encodes_a_model_and_reads_its_own_files(tmp_path: Path) -> None:
    """Tables and indices of a model: the second command finds the arrays of the first, and its text is the same."""
    passes = "sparsify{share=0.5},palettize{bits=4}"
    done = command("opt", str(MODEL), *SHAPE, "-p", passes, "-o", "a.edge", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "a.edge").read_text()
    assert "sparse<mask=#" in text
    assert "palette<4, table=#" in text
    again = command("opt", "a.edge", "-p", "palettize{bits=2}", cwd=tmp_path)
    assert again.stdout == text
    (tmp_path / "a.npz").unlink()
    fails(tmp_path, 5, "is not at hand", "opt", "a.edge", "-p", passes)
    fails(tmp_path, 2, "--shape and --const are for .onnx files", "opt", "a.edge", *SHAPE, "-p", passes)
    model = Path(shutil.copy(MODEL, tmp_path / "mine.onnx"))
    fails(tmp_path, 2, "give a name such as mine.edge", "opt", "mine.onnx", *SHAPE, "-p", passes, "-o", "mine.onnx")
    assert model.read_bytes() == MODEL.read_bytes(), "the model itself is not what is written over"


def test_failed_build_keeps_the_older_artifact(tmp_path: Path) -> None:
    done = command("build", str(MODEL), "-t", "host", "-o", "out", *SHAPE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    (tmp_path / "broken.onnx").write_bytes(MODEL.read_bytes()[:5000])
    fails(tmp_path, 3, "broken.onnx", "build", "broken.onnx", "-t", "host", "-o", "out", *SHAPE)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    (tmp_path / "out" / f"{MODEL.stem}.c").write_text("tampered")
    fails(tmp_path, 7, "not the file that was built", "run", "out")


def test_run_time_inputs(tmp_path: Path) -> None:
    import numpy as np

    done = command("build", str(MODEL), "-t", "host", "-o", "out", *SHAPE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    np.save(tmp_path / "wide.npy", np.zeros((1, 1, 28, 29), np.float32))
    np.save(tmp_path / "double.npy", np.zeros((1, 1, 28, 28)))
    fails(tmp_path, 7, "has shape", "run", "out", "--input", "wide.npy")
    fails(tmp_path, 7, "is float64", "run", "out", "--input", "double.npy")
    fails(tmp_path, 7, "no input 'z'", "run", "out", "--input", "z=double.npy")
    fails(tmp_path, 7, "is missing", "run", "out")
