"""Biases and weights settled on quantised operands: shifts of channels go, outputs come nearer to the float ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from network import Network

from edgec.graph_values import graph_values
from edgec.int8_trials import Judge, Trials
from edgec.ir import interp
from edgec.ir.copying import become, copy_module
from edgec.ir.graph import Graph
from edgec.ir.text import print_module
from edgec.ir.verify import verify_module
from edgec.observers import observe
from edgec.paired import signal_to_noise
from edgec.quantize import encode_values, nearest, operators_on_bytes, values_to_observe
from edgec.settle_weights import Way, samples_to_walk, settle_weights
from edgec.weight_rounding import trusted_mean

Array = np.ndarray[Any, Any]
PLAIN: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "layout": "nhwc"}


def network() -> Network:
    """Three convolutions with ReLU, a depthwise one and a padded one among them; pooled, and a layer without a bias."""
    net = Network(8)
    x = net.build.op("conv", net.floats(1, 10, 10, 4), net.const(16, 4, 1, 1), net.const(16), **PLAIN, act="relu")
    x = net.build.op("conv", x, net.const(16, 1, 3, 3), net.const(16), **{**PLAIN, "pads": (1, 1, 1, 1)}, groups=16,
                     act="relu")  # fmt: skip
    x = net.build.op("conv", x, net.const(16, 16, 1, 1), net.const(16), **PLAIN, act="relu")
    pooled = net.build.op("reduce_mean", x, axes=(1, 2), keepdims=False)
    net.named("y", net.build.op("matmul", pooled, net.const(16, 6)))
    return net


def samples(net: Network, count: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(2)
    return [{n: rng.standard_normal(a.shape).astype(np.float32) for n, a in net.feeds.items()} for _ in range(count)]


def outputs(graph: Graph, feeds: list[dict[str, Array]]) -> Array:
    return np.stack([interp.run(graph, one)["y"] for one in feeds])


def encoded(net: Network, most: float) -> tuple[Any, Any]:
    """A copy with encodings whose ranges clamp what is beyond `most`, and the twins of values."""
    graph = net.graph
    chosen = operators_on_bytes(graph)
    module, twins = copy_module(graph.module)
    ranges = {twins[v]: (-most, most) for v in values_to_observe(graph, chosen)}
    twin_ops = {twins[op.result].op for op in chosen}
    encode_values(module.entries["main"], {op for op in twin_ops if op is not None}, ranges, "i8", nearest, {})
    return module, twins


def test_settled_in_order_is_nearer_to_floats() -> None:
    net = network()
    fit, held = samples(net, 32), [{n: -a for n, a in one.items()} for one in samples(net, 8)]
    wide = outputs(net.graph, held)
    noise: dict[Way | None, float] = {}
    ways: tuple[Way | None, ...] = (None, "biases", "rounding", "compensated")
    for way in ways:
        module, twins = encoded(net, 9.0)
        graph = module.entries["main"]
        if way is not None:
            settle_weights(net.graph, graph, twins, fit, way)
        verify_module(module)
        noise[way] = signal_to_noise(outputs(graph, held), wide)
    assert noise["biases"] > noise[None] + 3
    assert noise["rounding"] > noise[None] + 3
    assert noise["compensated"] > noise["rounding"] + 0.8, "what clamps take away goes with the rows"


def test_rows_that_are_all_alike_leave_weights_where_they_are() -> None:
    """Behind zeros every row is the bias: what is around its mean is rounding, and says nothing of weights. What the
    rounding of one leaves may move another by a step more."""
    net = Network(8)
    x = net.build.op("conv", net.floats(1, 10, 10, 4), net.const(16, 4, 1, 1), net.const(16), **PLAIN, act="relu")
    net.named("y", net.build.op("conv", x, net.const(16, 16, 3, 3), net.const(16), **PLAIN))
    fit = [{n: np.full_like(a, 3.0) for n, a in net.feeds.items()} for _ in range(6)]
    module, _ = encoded(net, 9.0)
    before = [module.constants[v.const] for v in _weights(module.entries["main"])]
    for way in ("rounding", "compensated"):
        module, twins = encoded(net, 9.0)
        settle_weights(net.graph, module.entries["main"], twins, fit, way)
        after = [module.constants[v.const] for v in _weights(module.entries["main"])]
        for a, b in zip(before, after, strict=True):
            assert np.abs(a.astype(int) - b).max() <= 2
        noise = signal_to_noise(outputs(module.entries["main"], fit[:1]), outputs(net.graph, fit[:1]))
        assert noise > 30


def _weights(graph: Graph) -> list[Any]:
    return [op.arg(1) for op in graph.ops if op.kind in ("conv", "matmul")]


def test_a_bias_makes_up_for_clamped_operands() -> None:
    """Every element is clamped to half, in every sample: what is missing is all in the mean."""
    net = Network(1)
    x = net.source(np.full((1, 2, 2, 3), 8.0))
    net.named("y", net.build.op("conv", x, net.const(5, 3, 1, 1), net.const(5), **PLAIN))
    module, twins = encoded(net, 4.0)
    expected = outputs(net.graph, [net.feeds])
    before = signal_to_noise(outputs(module.entries["main"], [net.feeds]), expected)
    settle_weights(net.graph, module.entries["main"], twins, [net.feeds] * 3, "biases")
    assert before < 20
    assert signal_to_noise(outputs(module.entries["main"], [net.feeds]), expected) > 80


def test_a_bias_makes_up_for_what_is_added_and_clamped() -> None:
    """Weights of 0: all that is lost is the half of what is added."""
    net = Network(1)
    x = net.build.op("conv", net.floats(1, 4, 4, 4), net.const(4, 4, 1, 1), net.build.const(np.full(4, 8.0), "f32"),
                     **PLAIN)  # fmt: skip
    nothing = net.build.const(np.zeros((4, 4, 1, 1)), "f32")
    y = net.build.op("conv", x, nothing, net.build.const(np.zeros(4), "f32"), x, **PLAIN)
    net.named("y", net.build.op("conv", y, net.const(3, 4, 1, 1), **PLAIN))
    module, twins = encoded(net, 4.0)
    graph = module.entries["main"]
    settle_weights(net.graph, graph, twins, samples(net, 12), "biases")
    (adding,) = (op for op in graph.ops if op.kind == "conv" and len(op.inputs) > 3)
    assert adding.inputs[2] is not None
    np.testing.assert_allclose(graph.array(adding.inputs[2]), 4.0, atol=1.0)


def test_means_that_chance_explains_are_not_trusted() -> None:
    steady = np.array([[1.0, 0.1], [1.0, -0.1], [1.0, 0.1], [1.0, -0.05]])
    found = trusted_mean(steady)
    assert found[0] == 1.0
    assert 0 < found[1] < 0.1 * steady[:, 1].mean()
    np.testing.assert_array_equal(trusted_mean(steady[:1]), [0.0, 0.0])


def test_samples_are_spread_and_fit_memory() -> None:
    net = network()
    some = samples(net, 100)
    walked = samples_to_walk(net.graph, some)
    assert len(walked) == 64
    assert [id(s) for s in walked[:3]] == [id(some[i]) for i in (0, 1, 3)]
    big = Network(0)
    big.named("y", big.build.op("relu", big.source(np.zeros((1, 1 << 24)))))
    assert len(samples_to_walk(big.graph, some)) == 2


def test_trials_keep_the_least_noisy_and_leave_the_graph() -> None:
    net = network()
    graph = net.graph
    before = print_module(graph.module)
    expected = outputs(graph, samples(net, 16)[1::2])
    chosen = operators_on_bytes(graph)
    feeds = samples(net, 16)
    judge = Judge(graph, feeds[1::2])
    assert judge.noise(graph) == 0.0
    trials = Trials(graph, chosen, "i8", feeds[::2], judge, {})
    with graph_values(graph, values_to_observe(graph, chosen)) as taps:
        seen = observe(lambda: (found for _, found in taps.stream(feeds)), histograms=False)
    ends = {v: (h.lo, h.hi) for v, h in seen.items()}
    widths = {"wide": 9.0, "fitting": 1.0, "narrow": 0.01, "near": 1.02}
    ranges = {name: {v: (most * lo, most * hi) for v, (lo, hi) in ends.items()} for name, most in widths.items()}
    trials.encoded(ranges, {})
    assert [t.observer for t in trials.done] == list(widths)
    assert trials.best.observer == "fitting"
    plain = trials.best.noise
    trials.settle()
    assert trials.best.noise <= plain
    moved = trials.done[4:6]
    assert [(t.observer, t.way) for t in moved] == [("fitting", "compensated"), ("near", "compensated")], (
        "ranges that are far off are not made up for"
    )
    (rounded,) = (t for t in trials.done if t.way == "rounding")
    assert rounded.observer == min(moved, key=lambda t: t.noise).observer
    assert print_module(graph.module) == before
    become(graph.module, trials.best.module)
    verify_module(graph.module)
    assert graph.module.entries["main"] is graph
    assert any(v.type.encodings for v in graph.values())
    found = outputs(graph, feeds[1::2])
    assert 10 ** (-signal_to_noise(found, expected) / 10) == pytest.approx(trials.best.noise, rel=0.2)
