"""LSTM, GRU and RNN in `int8` and `w4a8`: inputs meet their weights on bytes, and so do states where that pays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import made, written
from test_recurrent_weights import SHAPE, UNITS, built, level, model

import edgec
from edgec.runtime.session import load


def samples(folder: Path) -> str:
    np.savez(folder / "calib.npz", x=np.random.default_rng(2).standard_normal((12, *SHAPE)).astype(np.float32))
    return str(folder / "calib.npz")


@pytest.mark.parametrize(("precision", "least"), [("int8", 28), ("w4a8", 15)])
def test_the_same_answers_everywhere(precision: str, least: float, tmp_path: Path) -> None:
    """Products with inputs and with states are those of bytes, in both directions and backwards."""
    path, calib = model(tmp_path), samples(tmp_path)
    x = np.random.default_rng(3).standard_normal(SHAPE).astype(np.float32)
    answers = []
    for target in ("host", "arm:cortex-a76", "arm:cortex-a72"):
        receipt = built(path, target, tmp_path / target, precision=precision, calib=calib, force=precision == "int8")
        q = receipt["quantization"]
        assert q["macs_share"] == 1.0
        assert [label.partition(" ")[0] for label in q["states_on_bytes"]] == ["gru", "gru", "lstm"]
        assert not {"gru", "lstm"} & set(q["operators_in_floats"])
        assert not q["kept_in_floats"]
        weights = 2 * 3 * UNITS * (32 + UNITS) + 4 * UNITS * 3 * UNITS
        assert receipt["memory"]["weights_bytes"] < 1.35 * weights
        assert level(receipt) > least
        with load(tmp_path / target) as session:
            answers.append(session.run(None, {"x": x})[0])
    for found in answers[1:]:
        noise = np.mean((found - answers[0]) ** 2) / np.mean(answers[0] ** 2)
        assert noise < 1e-6  # the last bit of a state decides a byte here and there


def test_a_bound_keeps_states_in_floats(tmp_path: Path) -> None:
    """What is measured is what ships: with the last of what is allowed, bytes of states would be too much."""
    path, calib = model(tmp_path), samples(tmp_path)

    def within(bound: str) -> dict[str, Any]:
        options = {"precision": "int8", "calib": calib, "max_error": bound, "force": True}
        receipt = built(path, "arm:cortex-a72", tmp_path / bound, **options)
        facts: dict[str, Any] = receipt["quantization"]
        return facts

    q = within("10%")
    assert len(q["states_on_bytes"]) == 3
    assert q["search"]["measured"]["error"] < 0.1
    q = within("0.75%")
    assert q["states_on_bytes"] == []
    rows = [row for row in q["kept_in_floats"] if row["op"].partition(" ")[0] in ("gru", "lstm")]
    assert [row["code"] for row in rows] == ["BEYOND_BOUND"] * 3
    assert q["search"]["measured"]["error"] < 0.0075


def test_small_states(tmp_path: Path) -> None:
    """Bytes of a few units cost more than they save: the receipt has both counts."""
    rng = np.random.default_rng(4)
    shapes = {"W": (1, 16, 64), "R": (1, 16, 4)}
    constants = {name: rng.standard_normal(shape).astype(np.float32) / 8 for name, shape in shapes.items()}
    nodes = [helper.make_node("LSTM", ["x", "W", "R"], ["", "y"], name="lstm", hidden_size=4)]
    path = written(made(nodes, constants, {"x": (9, 1, 64)}, {"y": TensorProto.FLOAT}, opset=17), tmp_path)
    np.savez(tmp_path / "calib.npz", x=rng.standard_normal((8, 9, 1, 64)).astype(np.float32))
    receipt = edgec.compile(path, "host", tmp_path / "out", precision="int8", calib=str(tmp_path / "calib.npz"))
    q = receipt["quantization"]
    (row,) = (row for row in q["kept_in_floats"] if row["op"].startswith("lstm"))
    assert row["code"] == "STATE_BOUND"
    assert row["instructions_in_floats"] <= row["instructions_on_bytes"]
    assert q["operators_in_floats"]["lstm"] == 1
