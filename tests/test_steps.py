"""Operators that step, behind sums in halves: judged by what the artifact's own numbers make, and no less strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network import Network
from onnx import TensorProto, helper
from quantised import made, written

import edgec
import edgec.islands
import edgec.library
import edgec.verify_artifact
from edgec.ir.errors import VerifyError
from edgec.ir.graph import Graph
from edgec.plan.plan import Plan
from edgec.receipt_text import render
from edgec.steps import Steps, step_operands

CORE = "arm:cortex-a76"
F32, I32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL
Node = tuple[str, list[str], list[str], dict[str, Any]]
HEADS: dict[str, tuple[list[Node], dict[str, int]]] = {
    "argmax": ([("ArgMax", ["c"], ["o"], {"axis": 1})], {"o": I64}),
    "topk": ([("Reshape", ["c", "s"], ["r"], {}), ("TopK", ["r", "some"], ["v", "o"], {})], {"v": F32, "o": I64}),
    "greater": ([("Sigmoid", ["c"], ["p"], {}), ("Greater", ["p", "half"], ["o"], {})], {"o": BOOL}),
    "floor": ([("Mul", ["c", "nine"], ["m"], {}), ("Floor", ["m"], ["f"], {}), ("Conv", ["f", "w2"], ["o"], {})],
              {"o": F32, "f": F32}),
    "cast": ([("Mul", ["c", "nine"], ["m"], {}), ("Cast", ["m"], ["o"], {"to": I32})], {"o": I32}),
}  # fmt: skip


def model(head: str, folder: Path) -> Path:
    """A convolution of 48 x 48 pixels to 8 channels, and the head."""
    rng = np.random.default_rng(0)
    constants: dict[str, Any] = {
        "w": (rng.normal(size=(8, 4, 3, 3)) / 6).astype(np.float32), "b": np.full(8, 0.1, np.float32),
        "w2": rng.normal(size=(8, 8, 1, 1)).astype(np.float32), "s": np.int64([8, -1]), "some": np.int64([64]),
        "half": np.float32(0.5), "nine": np.float32(9),
    }  # fmt: skip
    nodes, outputs = HEADS[head]
    graph = [helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4)]
    graph += [helper.make_node(kind, *ends, **attrs) for kind, *ends, attrs in nodes]
    read = {name for node in graph for name in node.input}
    constants = {name: array for name, array in constants.items() if name in read}
    return written(made(graph, constants, {"x": (1, 4, 48, 48)}, outputs, opset=17), folder)


@pytest.mark.parametrize("head", HEADS)
def test_heads_on_a_core_with_halves(head: str, tmp_path: Path) -> None:
    """The interpreter alone would have other results, and the receipt says how many."""
    receipt = edgec.compile(model(head, tmp_path), CORE, tmp_path / "out", precision="fp16")
    verification = receipt["verification"]
    steps = verification["steps"]
    assert verification["pass"]
    assert steps["pass"]
    assert steps["steps"] == 1
    assert 0 < steps["different"] < steps["elements"] / 5
    assert 50 < steps["least_signal_to_noise_db"] < 75
    assert f"{steps['different']} of {steps['elements']:,} results differ" in render(receipt)
    with edgec.load(tmp_path / "out") as session:
        assert len(session.outputs) == len(HEADS[head][1])


def test_bytes_of_samples_are_followed_by_halves(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(8, 1, 4, 48, 48)).astype(np.float32)
    np.savez(tmp_path / "calib.npz", x=rows)
    receipt = edgec.compile(model("argmax", tmp_path), CORE, tmp_path / "out", precision="int8",
                            calib=str(tmp_path / "calib.npz"), observer="mse")  # fmt: skip
    assert receipt["verification"]["pass"]


def test_layers_are_judged_so_too(tmp_path: Path) -> None:
    receipt = edgec.compile(model("floor", tmp_path), CORE, tmp_path / "out", precision="fp16", layers=True)
    assert [row["op"].split()[0] for row in receipt["layers"] if not row["pass"]] == []


@pytest.mark.parametrize("head", ["argmax", "greater"])
def test_wrong_sums_are_found(head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight of 288 has the other sign in all that is built: what the step reads is too far off."""
    right = edgec.library.make_plan

    def wrong(*args: Any) -> Plan:
        plan = right(*args)
        weights = np.frombuffer(plan.weights, np.float16).copy()
        weights[np.abs(weights).argmax()] *= -1
        plan.weights = weights.tobytes()
        return plan

    monkeypatch.setattr(edgec.library, "make_plan", wrong)
    monkeypatch.setattr(edgec.islands, "make_plan", wrong)
    with pytest.raises(VerifyError, match="output 'o' is beyond the tolerance"):
        edgec.compile(model(head, tmp_path), CORE, tmp_path / "out", precision="fp16")


def test_one_wrong_label_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the artifact's own sums on, nothing may differ."""
    right = edgec.verify_artifact.load

    def opened(*args: Any, **options: Any) -> Any:
        session = right(*args, **options)
        run = session.run

        def off(names: Any, feeds: Any) -> list[Any]:
            (labels,) = run(names, feeds)
            labels = labels.copy()
            labels.flat[7] = (labels.flat[7] + 1) % 8
            return [labels]

        monkeypatch.setattr(session, "run", off)
        return session

    monkeypatch.setattr(edgec.verify_artifact, "load", opened)
    with pytest.raises(VerifyError, match="output 'o' is beyond the tolerance"):
        edgec.compile(model("argmax", tmp_path), CORE, tmp_path / "out", precision="fp16")


def graph_of_steps() -> Graph:
    net = Network(0)
    x = net.source([0.001, 1, -2, 3], "f16")
    y = net.build.op("neg", x)
    net.named("o", net.build.op("gt", y, x))
    net.named("p", net.build.op("abs", y))
    return net.graph


def test_what_is_counted() -> None:
    """Operands that keep the level together are right, though each step that they decide is counted."""
    graph = graph_of_steps()
    (y,) = step_operands(graph)
    assert y.op is not None
    assert y.op.kind == "neg", "an input is known, and abs does not step"
    x = np.float16([0.001, 1, -2, 3])
    for least_db, right in ((30.0, True), (80.0, False)):
        steps = Steps(graph, [y], least_db)
        steps.begin({"x0": x})
        found = np.float16([0.002, -1, 2, -3])
        steps.read(y, found, -x)
        steps.made(graph.ops[1].result, found > x)
        facts = steps.facts()
        assert (facts["different"], facts["elements"], facts["pass"]) == (1, 4, right)
        assert facts["least_signal_to_noise_db"] == pytest.approx(10 * np.log10(14 / 0.003**2), abs=0.05)
