"""Scales of channels are found where they take noise away, and a build keeps them where outputs gain by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network import Network
from onnx import helper
from quantised import made, written

from edgec.channel_scales import LEAST_GAIN, ROOM, channel_scales, values_to_smooth
from edgec.driver import build
from edgec.ir.graph import Graph, Value
from edgec.options import BuildOptions
from edgec.quantize import operators_on_bytes

Array = np.ndarray[Any, Any]
SPREAD = 10.0 ** np.linspace(-2, 0, 32)  # of channels


def product(width: int = 48) -> tuple[Graph, Value]:
    net = Network(0)
    x = net.floats(16, 32)
    net.named("y", net.build.op("matmul", x, net.const(32, width)))
    return net.graph, x


def samples(x: Value, spread: Array) -> list[dict[Value, Array]]:
    rng = np.random.default_rng(1)
    return [{x: (rng.uniform(-1, 1, (16, 32)) * spread).astype(np.float32)} for _ in range(8)]


def test_wide_channels_are_divided() -> None:
    graph, x = product()
    values = values_to_smooth(graph, operators_on_bytes(graph))
    assert values == {x: graph.ops}
    stream = samples(x, SPREAD)
    (found,) = channel_scales(graph, values, stream).values()
    assert found.gain > 2 * LEAST_GAIN
    largest = np.max([np.abs(s[x]).max(axis=0) for s in stream], axis=0)
    assert (largest / found.scales).max() == pytest.approx(largest.max(), rel=1e-6), "the range of the tensor stays"
    filled = (largest / found.scales).min() / largest.max()
    assert 10 * largest.min() / largest.max() < filled < 1 / ROOM + 1e-6
    assert found.facts() == {"ops": ["matmul"], "less_noise_db": round(10 * np.log10(found.gain), 2)}


def test_the_gain_is_that_of_the_product() -> None:
    """What is predicted of operand and weights together is what bytes of both lose."""
    graph, x = product()
    stream = samples(x, SPREAD)
    (found,) = channel_scales(graph, {x: graph.ops}, stream).values()
    rows, w = np.concatenate([s[x] for s in stream]).astype(np.float64), graph.array(graph.ops[0].arg(1))

    def lost(scales: Array) -> float:
        a, b = rows / scales, w * scales[:, None]
        step, steps = (a.max() - a.min()) / 255, np.abs(b).max(axis=0) / 127
        return float(np.mean((np.rint(a / step) * step @ (np.rint(b / steps) * steps) - rows @ w) ** 2))

    assert lost(np.ones(32)) / lost(found.scales) == pytest.approx(found.gain, rel=0.25)


def test_channels_alike_and_bytes_stay() -> None:
    graph, x = product()
    assert channel_scales(graph, {x: graph.ops}, samples(x, np.ones(32))) == {}
    assert channel_scales(graph, {x: graph.ops}, samples(x, np.zeros(32))) == {}
    # 256 levels are stored as they are, though few of them occur in most channels; beside them, scales gain a lot
    levels = [{x: np.rint(255 * np.abs(array)) / 255} for s in samples(x, SPREAD) for array in s.values()]
    levels[0][x][0, -1] = 1.0
    assert channel_scales(graph, {x: graph.ops}, levels) == {}
    between = [{x: array + np.float32(0.4 / 255)} for s in levels for array in s.values()]
    assert len(channel_scales(graph, {x: graph.ops}, between)) == 1


def test_dead_channels_stay_and_none_is_enlarged_without_end() -> None:
    graph, x = product()
    spread = np.where(np.arange(32) == 3, 0.0, np.where(np.arange(32) == 5, 1e-9, SPREAD))
    (found,) = channel_scales(graph, {x: graph.ops}, samples(x, spread)).values()
    assert found.scales[3] == 1.0
    assert found.scales[5] == pytest.approx(1 / 256)
    assert np.isfinite(found.scales).all()


def test_only_what_products_alone_take_as_bytes() -> None:
    net = Network(2)
    x = net.floats(4, 8)
    hidden = net.build.op("matmul", x, net.const(8, 8))
    other = net.build.op("relu", hidden)
    normed = net.build.op("layer_norm", other, net.const(8), net.const(8), axis=1, eps=1e-5)
    net.named("y", net.build.op("matmul", net.build.op("add", normed, other), net.const(8, 8)))
    net.named("z", net.build.op("matmul", normed, net.const(8, 8)))
    graph, chosen = net.graph, operators_on_bytes(net.graph)
    assert list(values_to_smooth(graph, chosen)) == [x], "bytes are read from bytes, and the norm is added as well"
    norm = next(op for op in graph.ops if op.kind == "layer_norm")
    assert list(values_to_smooth(graph, operators_on_bytes(graph, [norm]))) == [x, normed, graph.ops[-2].arg(0)]


def test_shared_weights_stay() -> None:
    net = Network(3)
    x, y, w = net.floats(4, 8), net.floats(4, 8), net.const(8, 8)
    net.done(net.build.op("matmul", x, w), net.build.op("matmul", x, w), net.build.op("matmul", y, net.const(8, 8)))
    assert list(values_to_smooth(net.graph, net.graph.ops)) == [x, y], "both readers get the same weights"
    net.done(net.build.op("matmul", net.build.op("exp", y), w))
    assert list(values_to_smooth(net.graph, operators_on_bytes(net.graph))) == [y]


def spiky(folder: Path) -> Path:
    """A norm whose gain makes a few channels wide, and weights that take that away again."""
    rng = np.random.default_rng(0)
    gain = np.where(np.arange(64) % 8 == 0, 40.0, 1.0)
    constants = {"a": rng.standard_normal((32, 64)) / 6, "g": gain,
                 "b": rng.standard_normal((64, 256)) / gain[:, None]}  # fmt: skip
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("LayerNormalization", ["h", "g"], ["n"]),
             helper.make_node("MatMul", ["n", "b"], ["y"])]  # fmt: skip
    model = made(nodes, {k: v.astype(np.float32) for k, v in constants.items()}, {"x": (8, 32)}, {"y": 1})
    return written(model, folder)


def noise(receipt: dict[str, Any]) -> float:
    return max(float(row["signal_to_noise_db"]) for row in receipt["quantization"]["trials"]["tried"])


def test_a_build_has_scales_and_less_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = spiky(tmp_path)
    rng = np.random.default_rng(3)
    np.savez(tmp_path / "calib.npz", x=rng.standard_normal((32, 8, 32)).astype(np.float32))
    options = {"calib": str(tmp_path / "calib.npz"), "observer": "minmax", "verify_inputs": 2}
    found: dict[str, Any] = {}
    for name, more in (("int8", {}), ("whole", {"whole": True}), ("plain", {})):
        if name == "plain":
            monkeypatch.setattr("edgec.static_steps.values_to_smooth", lambda graph, chosen: {})
        receipt = build(model, "host", tmp_path / name, BuildOptions(precision="int8", **options, **more)).receipt
        found[name] = receipt
    (smoothed,) = found["int8"]["quantization"]["smoothed"]
    assert [op.split()[0] for op in smoothed["ops"]] == ["matmul"]
    assert smoothed["less_noise_db"] > 3
    assert found["plain"]["quantization"]["smoothed"] == []
    assert noise(found["int8"]) > noise(found["plain"]) + 3
    assert found["whole"]["quantization"]["operators_in_floats"] == {}, "what is divided is the norm itself"
    assert len(found["whole"]["quantization"]["smoothed"]) == 1


@pytest.mark.parametrize("smoothed", [True, False])
def test_a_bound_is_searched_with_the_scales(smoothed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not smoothed:
        monkeypatch.setattr("edgec.static_steps.values_to_smooth", lambda graph, chosen: {})
    model = spiky(tmp_path)
    rng = np.random.default_rng(3)
    np.savez(tmp_path / "calib.npz", x=rng.standard_normal((32, 8, 32)).astype(np.float32))
    options = BuildOptions(precision="int8", calib=str(tmp_path / "calib.npz"), observer="minmax", max_error="2%")
    facts = build(model, "host", tmp_path / "out", options).receipt["quantization"]
    assert len(facts["smoothed"]) == smoothed
    assert (facts["search"]["in_floats"] == 0) == smoothed, "without scales, bytes lose more than that"
    assert facts["search"]["measured"]["error"] <= 0.02
