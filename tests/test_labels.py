"""`--labels`: checked against the classes, shipped as text and as a C table, printed by `edgec run --top`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from program import zig
from test_build import EXAMPLES, MODEL, SHAPE, command
from test_cli import fails

import edgec
from edgec.targets.c.emit import Identity
from edgec.targets.c.emit_labels import emit_labels

LABELS = EXAMPLES / "fashion_mnist_labels.txt"


def test_top(tmp_path: Path) -> None:
    done = command("build", str(MODEL), "-t", "host", "-o", "out", *SHAPE, "--labels", str(LABELS), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "labels.txt").read_bytes() == LABELS.read_bytes()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["labels"] == {"file": "labels.txt", "output": "logits", "classes": 10}
    assert {"labels.txt", f"{MODEL.stem}_labels.h"} <= set(manifest["files"])
    with np.load(EXAMPLES / "fashion_mnist_200.npz") as data:
        boot = int(np.flatnonzero(data["y"] == 9)[0])
        np.save(tmp_path / "x.npy", data["input"][boot : boot + 1])
    shown = command("run", "out", "-i", "x.npy", "--top", "3", cwd=tmp_path)
    lines = shown.stdout.splitlines()
    assert len(lines) == 3, shown
    assert lines[0].split(None, 1)[1] == "Ankle boot"
    with edgec.load(tmp_path / "out") as session:
        scores = session.run(None, {"input": np.load(tmp_path / "x.npy")})[0][0]
    names = LABELS.read_text().splitlines()
    assert [line.split(None, 1)[1] for line in lines] == [names[i] for i in np.argsort(-scores)[:3]]
    assert [float(line.split()[0]) for line in lines] == sorted([float(f"{s:.6g}") for s in scores], reverse=True)[:3]


def test_other_labels_make_another_artifact(tmp_path: Path) -> None:
    options = ("-t", "host", "-o", "out", "--verify", "none", *SHAPE, "--labels", "names.txt")
    (tmp_path / "names.txt").write_text(LABELS.read_text())
    command("build", str(MODEL), *options, cwd=tmp_path)
    assert "unchanged" in command("build", str(MODEL), *options, cwd=tmp_path).stdout
    (tmp_path / "names.txt").write_text(LABELS.read_text().replace("Bag", "Handbag"))
    assert "ready" in command("build", str(MODEL), *options, cwd=tmp_path).stdout
    assert "Handbag" in (tmp_path / "out" / "labels.txt").read_text()


def test_bad_labels(tmp_path: Path) -> None:
    (tmp_path / "nine.txt").write_text("a\nb\nc\nd\ne\nf\ng\nh\ni\n")
    (tmp_path / "gap.txt").write_text("a\n\nc\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    build = ("build", str(MODEL), "-t", "host", "-o", "out", *SHAPE, "--labels")
    fails(tmp_path, 2, "has 9 lines, and the output 'logits' f32[1,10] has 10 classes", *build, "nine.txt")
    fails(tmp_path, 2, "line 2 holds no label", *build, "gap.txt")
    fails(tmp_path, 2, "not UTF-8", *build, "latin.txt")
    fails(tmp_path, 2, "cannot be read", *build, "none.txt")
    assert not (tmp_path / "out").exists()


def test_table_in_c_and_cplusplus(tmp_path: Path) -> None:
    labels = ('say "cheese"', "back\\slash", "café", "what??/")
    (tmp_path / "m_labels.h").write_text(emit_labels("m", labels, Identity("test", "host")))
    source = '#include <stdio.h>\n#include "m_labels.h"\nint main(void) {\n  for (int i = 0; i < M_LABELS; i++) puts(m_label(i));\n  return m_label(M_LABELS) || m_label(-1);\n}\n'  # noqa: E501
    for language in ("c", "c++"):
        bare = ("-nostdinc++", "-nostdlib++") if language == "c++" else ()
        zig(tmp_path, "-x", language, "-", "-I.", *bare, "-o", "m", text=source)
        done = subprocess.run(["./m"], cwd=tmp_path, capture_output=True, check=True)
        assert tuple(done.stdout.decode().splitlines()) == labels
