"""The receipt: figures that can be checked by hand, a bound of the stack that holds, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from network import Network
from test_build import EXAMPLES, MODEL

import edgec
from edgec.receipt import accuracy, compare, wilson
from edgec.targets.arm import target as arm
from edgec.targets.c.build import make_files, make_plan
from edgec.targets.c.emit import Identity
from edgec.targets.host import target as host

SHAPES = {"input": (1, 1, 28, 28)}


def test_accuracy_by_hand() -> None:
    truth = np.array([0, 0, 1, 1, 2])
    found = np.eye(3)[[0, 1, 1, 1, 0]]
    expected = np.eye(3)[[0, 0, 1, 1, 0]]
    result = accuracy(found, expected, truth, ("cat", "dog", "cow"))
    assert (result["right"], result["accuracy"], result["reference_accuracy"]) == (3, 0.6, 0.8)
    assert result["worst_class"] == {"class": 2, "label": "cow", "accuracy": 0.0, "images": 1}
    assert result["flipped"] == [
        {"item": 1, "truth": {"class": 0, "label": "cat"}, "answer": {"class": 1, "label": "dog"},
         "reference": {"class": 0, "label": "cat"}}
    ]  # fmt: skip
    # Wilson's interval of 3 of 5, from the quadratic: (p - q)^2 = z^2 q (1 - q) / n
    z2 = 1.959963984540054**2
    roots = np.sort(np.roots([1 + z2 / 5, -(2 * 0.6 + z2 / 5), 0.36]))
    np.testing.assert_allclose(wilson(3, 5), roots)


def test_without_labels_classes_are_numbers() -> None:
    result = accuracy(np.eye(2)[[0]], np.eye(2)[[1]], np.array([1]))
    assert result["flipped"] == [{"item": 0, "truth": {"class": 1}, "answer": {"class": 0}, "reference": {"class": 1}}]


@pytest.mark.parametrize(("dtype", "ulp"), [(np.float16, 2.0**-10), (ml_dtypes.bfloat16, 2.0**-7)])
def test_sixteen_bits_may_be_rounded_to_either_side(dtype: Any, ulp: float) -> None:
    """Once, and no further: 1 and the number above it, and the one above that."""
    expected = np.array([1.0, 0.5], dtype)
    for steps, passes in ((1, True), (2, False)):
        found = np.array([1.0 + steps * ulp, 0.5]).astype(dtype)
        assert compare(found, expected)["pass"] is passes
        assert compare(found.astype(np.float32), expected.astype(np.float32))["pass"] is False


@pytest.mark.parametrize("target", ["arm", "host"])
def test_stack_bound(target: str, tmp_path: Path) -> None:
    receipt = edgec.compile(MODEL, target, tmp_path / "out", shapes=SHAPES)
    bound = receipt["memory"]["stack_bytes"]
    assert 100 < bound < 16384
    assert f"#define {MODEL.stem.upper()}_STACK_BYTES {bound}\n" in (tmp_path / "out" / f"{MODEL.stem}.h").read_text()
    if target != "host":  # what the emulator saw: never more than the bound
        assert 500 < receipt["verification"]["stack_bytes_touched"] <= bound
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    hashes = {n: d for n, d in manifest["files"].items() if n not in ("receipt.json", "report.html")}
    for name, digest in hashes.items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    stated = json.dumps(hashes, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert receipt["artifact"] == {"files": len(hashes), "sha256": hashlib.sha256(stated.encode()).hexdigest()}


@pytest.mark.parametrize("target", [arm, host])
def test_a_jump_table_is_no_recursion(target: Any) -> None:
    """A switch over activations: its table holds addresses inside the very function that reads it."""
    net = Network(3)
    x, weights = net.floats(4, 3, 5), [net.const(1, 18, 5), net.const(1, 18, 6)]
    net.done(*net.build.ops("gru", x, *weights, direction="forward", activations=("Sigmoid", "Tanh")))
    device = target.choose("")
    plan = make_plan(net.graph, device, "unit", 1)
    built = make_files(plan, device, Identity("test", "unit"), target.platform("linux"), lambda _: None)
    assert built.stack_bytes is not None
    assert 500 < built.stack_bytes < 16384


def test_apple_objects_do_not_say_their_frames(tmp_path: Path) -> None:
    receipt = edgec.compile(MODEL, "arm:apple-m1", tmp_path / "out", shapes=SHAPES, os="macos", verify="none")
    assert receipt["memory"]["stack_bytes"] is None
    assert "STACK_BYTES" not in (tmp_path / "out" / f"{MODEL.stem}.h").read_text()


def test_worst_class_has_its_label(tmp_path: Path) -> None:
    receipt = edgec.compile(
        MODEL, "host", tmp_path / "out", shapes=SHAPES, data=EXAMPLES / "fashion_mnist_200.npz",
        labels=EXAMPLES / "fashion_mnist_labels.txt",
    )  # fmt: skip
    with np.load(EXAMPLES / "fashion_mnist_200.npz") as data, edgec.load(tmp_path / "out") as session:
        answers = np.array([session.run(None, {"input": x[None]})[0].argmax() for x in data["input"]])
        by_class = {c: (answers[data["y"] == c] == c).mean() for c in range(10)}
    worst = receipt["accuracy"]["worst_class"]
    assert worst["accuracy"] == min(by_class.values()) == by_class[worst["class"]]
    assert worst["label"] == (EXAMPLES / "fashion_mnist_labels.txt").read_text().splitlines()[worst["class"]]
