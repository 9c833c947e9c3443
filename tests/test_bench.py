"""`edgec bench`: what it compares and counts. No figure of time is asserted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from onnx import helper
from quantised import made, written
from test_build import MODEL, command
from test_cli import fails

import edgec
from edgec.bench import bench_directory
from edgec.ir.errors import UsageError

SHAPES = {"input": (1, 1, 28, 28)}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("host") / "out"
    edgec.compile(MODEL, "host", out, shapes=SHAPES, verify="none")
    return out


def test_against_onnxruntime(host: Path) -> None:
    done = command("bench", str(host), "--repeat", "2", "--vs", "onnxruntime", "--model", str(MODEL), cwd=host)
    assert done.returncode == 0, done.stderr
    ours, theirs, verdict = done.stdout.splitlines()
    assert ours.startswith("edgec ")
    assert theirs.startswith("onnxruntime ")
    assert re.fullmatch(r"edgec is \d+\.\d\dx as fast as onnxruntime \(quartiles .*\)", verdict)


def test_layers_on_the_host(host: Path) -> None:
    before = {p.name: p.read_bytes() for p in host.iterdir()}
    done = command("bench", str(host), "--layers", "--repeat", "2", cwd=host)
    assert done.returncode == 0, done.stderr
    *rows, total = done.stdout.splitlines()
    assert [int(row.split()[0]) for row in rows] == list(range(len(rows)))
    assert sum("Conv" in row for row in rows) == 9
    assert sum(float(row.split()[3].rstrip("%")) for row in rows) == pytest.approx(100, abs=1)
    assert f"in {len(rows)} calls" in total
    assert {p.name: p.read_bytes() for p in host.iterdir()} == before


def test_the_shipped_library_has_no_clock(host: Path) -> None:
    assert b"edgec_trace" not in (host / f"lib{MODEL.stem}.so").read_bytes()
    assert b"edgec_trace" not in (host / f"lib{MODEL.stem}.a").read_bytes()


def test_layers_in_the_emulator(tmp_path: Path) -> None:
    edgec.compile(MODEL, "arm", tmp_path / "out", shapes=SHAPES, verify="none")
    done = command("bench", "out", "--layers", "--runner", "emulator", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *rows, total = done.stdout.splitlines()
    counted = int(total.split()[0].replace(",", ""))
    assert sum(int(row.split()[0].replace(",", "")) for row in rows) == counted
    (plain,) = bench_directory(tmp_path / "out", 1, None, {}, {}, 1, "emulator")
    assert plain.startswith(f"{counted:,} instructions an inference on unicorn")
    with pytest.raises(UsageError, match="does not run on this machine itself"):
        list(bench_directory(tmp_path / "out", 1, MODEL, {}, {}, 1, "emulator"))


def test_refusals(host: Path, tmp_path: Path) -> None:
    fails(tmp_path, 2, "give both or none", "bench", str(host), "--vs", "onnxruntime")
    versus = ("--vs", "onnxruntime", "--model", str(MODEL))
    fails(tmp_path, 2, "two different runs", "bench", str(host), "--layers", *versus)
    other = written(made([helper.make_node("Relu", ["x"], ["y"])], {}, {"x": (2, 3)}, {"y": 1}), tmp_path)
    words = f"--model {other} is not the model that {host} was built from"
    fails(tmp_path, 2, words, "bench", str(host), *versus[:3], str(other))
    fails(tmp_path, 2, "missing.onnx' is not a file", "bench", str(host), *versus[:3], "missing.onnx")
    edgec.compile(MODEL, "host", tmp_path / "framed", shapes=SHAPES, images={"input": "gray8"}, verify="none")
    with pytest.raises(UsageError, match="onnxruntime floats"):
        list(bench_directory(tmp_path / "framed", 1, MODEL, {}, {}, 1, None))
