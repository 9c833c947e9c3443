"""Samples round the weights of int8-dynamic, and scale the channels of its norms, where outputs gain by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network import Network
from onnx import helper
from quantised import made, written

import edgec
from edgec.dynamic_rounding import rounded_by
from edgec.ir.graph import Graph
from edgec.narrowed_text import quantization_lines
from edgec.passes.quantize_matmuls import operators_on_rows, quantize_matmuls, scales_of, weights_by_rows

Array = np.ndarray[Any, Any]
GROWTH = np.array([[1.0, 0.9, 0.8], [0.0, 0.4, -0.3], [0.0, 0.0, 0.2]])  # makes three neighbours go together


def network() -> tuple[Graph, list[dict[str, Array]]]:
    """A matmul, a GRU behind it that reads the same rows, and two that share weights."""
    net = Network(0)
    x = net.floats(7, 1, 24)
    shared = net.const(24, 4)
    net.done(net.build.op("matmul", x, net.const(24, 16)), net.build.op("matmul", x, net.const(16, 24), trans_b=True))
    gates = {"direction": "forward", "activations": ("Sigmoid", "Tanh")}
    net.done(net.build.ops("gru", x, net.const(1, 24, 24), net.const(1, 24, 8), **gates)[0])
    net.done(net.build.op("matmul", x, shared), net.build.op("matmul", net.build.op("exp", x), shared))
    rng = np.random.default_rng(1)
    rows = [rng.standard_normal((7, 1, 8, 3)) @ GROWTH + 0.3 for _ in range(40)]
    return net.graph, [{"x0": row.reshape(7, 1, 24).astype(np.float32)} for row in rows]


def test_weights_lose_less_on_rows_like_these() -> None:
    graph, samples = network()
    every = operators_on_rows(graph)
    rounded = rounded_by(graph, every, samples[:20])
    own = every[:3]
    assert list(rounded) == [op.arg(1).const for op in own], "what two operators share is rounded to the nearest"
    rows = np.concatenate([s["x0"].reshape(-1, 24) for s in samples[20:]]).astype(np.float64)
    for op in own:
        w, found = weights_by_rows(graph, op).astype(np.float64), rounded[str(op.arg(1).const)]
        steps = scales_of(w)[:, None].astype(np.float64)
        np.testing.assert_array_equal(found.scale, steps[:, 0].astype(np.float32))
        assert np.abs(found.numbers).max() <= 127
        new = rows @ (found.numbers * steps - w).T + found.bias
        old = rows @ (np.rint(w / steps) * steps - w).T
        assert np.mean(new**2) < 0.7 * np.mean(old**2), op.kind
        assert abs(new.mean()) < abs(old).mean() / 4, "biases take away what rows have in common"


def test_the_pass_takes_them_by_name() -> None:
    graph, samples = network()
    rounded = rounded_by(graph, operators_on_rows(graph), samples)
    quantize_matmuls(graph, rounded=rounded)
    stored = [graph.array(op.arg(1)) for op in graph.ops if op.kind == "qmatmul"]
    assert len(stored) == 5
    for wanted in rounded.values():
        assert any(np.array_equal(wanted.numbers, array) for array in stored)


@pytest.fixture(scope="module")
def spiky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A norm whose gain makes a few channels wide, and weights that take that away again; neighbours go together."""
    folder = tmp_path_factory.mktemp("spiky")
    rng = np.random.default_rng(0)
    gain = np.where(np.arange(96) % 16 == 0, 40.0, 1.0)
    constants = {"a": np.kron(rng.standard_normal((16, 32)), GROWTH[:2]) / 6, "g": gain,
                 "b": rng.standard_normal((96, 128)) / gain[:, None]}  # fmt: skip
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("LayerNormalization", ["h", "g"], ["n"]),
             helper.make_node("MatMul", ["n", "b"], ["y"])]  # fmt: skip
    model = made(nodes, {k: v.astype(np.float32) for k, v in constants.items()}, {"x": (8, 32)}, {"y": 1})
    np.savez(folder / "calib.npz", x=rng.standard_normal((64, 8, 32)).astype(np.float32))
    return written(model, folder)


@pytest.mark.parametrize("target", ["host", "arm:cortex-a72"])
def test_a_build_is_less_noisy_with_samples(target: str, spiky: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"precision": "int8-dynamic", "calib": str(spiky.parent / "calib.npz")}
    receipt = edgec.compile(spiky, target, tmp_path / "a", **options)
    facts = receipt["quantization"]
    assert facts["rounding"] == "gptq"
    assert [len(row["ops"]) for row in facts["smoothed"]] == [1]
    plain, scaled, both = facts["trials"]["tried"]
    assert (plain["rounding"], scaled["rounding"], both["rounding"]) == ("nearest", "nearest", "gptq")
    assert scaled["signal_to_noise_db"] > plain["signal_to_noise_db"] + 3
    assert both["signal_to_noise_db"] > scaled["signal_to_noise_db"] + 0.5
    assert facts["calibration"]["samples"] == 64
    assert facts["trials"]["samples"] == 32
    text = "\n".join(quantization_lines(facts))
    assert "weights rounded by what they are multiplied with; the best of 3 ways on 32 samples that no weights" in text
    assert "scales of channels moved into weights: of 1 values" in text
    edgec.compile(spiky, target, tmp_path / "b", **options)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), f"{path.name} differs"


def test_without_samples_nothing_is_tried(spiky: Path, tmp_path: Path) -> None:
    facts = edgec.compile(spiky, "host", tmp_path / "a", precision="int8-dynamic")["quantization"]
    assert facts["rounding"] == "nearest"
    assert facts["calibration"] is None
    assert "trials" not in facts


def test_a_bound_is_measured_with_the_rounded_weights(spiky: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"precision": "int8-dynamic", "calib": str(spiky.parent / "calib.npz")}
    found = edgec.compile(spiky, "host", tmp_path / "a", max_error="1.1%", **options)["quantization"]
    scaled = found["trials"]["tried"][1]["signal_to_noise_db"]
    assert 10 ** (-scaled / 20) > 0.011, "with weights to the nearest it would not hold"
    assert found["search"]["in_floats"] == 0
    assert found["rounding"] == "gptq"
    left = edgec.compile(spiky, "host", tmp_path / "b", max_error="0.7%", **options)["quantization"]
    assert left["search"]["in_floats"] == 1
    assert left["operators_on_bytes"] == 1
