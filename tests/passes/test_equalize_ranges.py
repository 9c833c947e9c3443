"""equalize_ranges with the maxima of channels on data, which text cannot give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from network import Network

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import Type
from edgec.ir.verify import verify_module
from edgec.passes.equalize_ranges import ROOM, equalize_ranges, values_that_bound, values_to_equalize

Array = np.ndarray[Any, Any]
CHANNELS = 6
SPREAD = 10.0 ** np.linspace(-2, 0, CHANNELS)  # of the channels of what is wide


def chain(act: str, groups: int) -> tuple[Graph, Value]:
    """expand, then depthwise or dense; and the value between them."""
    rng = np.random.default_rng(0)
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, 7, 7, 4)))
    window: dict[str, Any] = {"strides": (1, 1), "dilations": (1, 1), "layout": "nhwc"}
    first = rng.standard_normal((CHANNELS, 4, 1, 1)) * SPREAD[:, None, None, None]
    bias = rng.standard_normal(CHANNELS) * SPREAD
    wide = b.op("conv", x, b.const(first, "f32"), b.const(bias, "f32"), pads=(0, 0, 0, 0), act=act, **window)
    second = rng.standard_normal((CHANNELS, CHANNELS // groups, 3, 3))
    graph.outputs = [("y", b.op("conv", wide, b.const(second, "f32"), pads=(1, 1, 1, 1), groups=groups, **window))]
    return graph, wide


def runs(graph: Graph, value: Value, count: int = 20) -> tuple[list[Array], list[Array]]:
    """Results, and the value, for inputs that are always the same."""
    rng = np.random.default_rng(1)
    outputs = graph.outputs
    graph.outputs = [*outputs, ("inner", value)]
    found = [interp.run(graph, {"x": rng.standard_normal((1, 7, 7, 4)).astype(np.float32)}) for _ in range(count)]
    graph.outputs = outputs
    return [f["y"] for f in found], [f["inner"] for f in found]


def maxima(inner: list[Array]) -> Array:
    return np.abs(np.concatenate(inner)).max(axis=(0, 1, 2))


@pytest.mark.parametrize("act", ["", "relu", "clip:0.0:6.0"])
@pytest.mark.parametrize("groups", [CHANNELS, 2, 1])
def test_results_stay_and_channels_fill_the_range(act: str, groups: int) -> None:
    graph, wide = chain(act, groups)
    before, inner = runs(graph, wide)
    seen = maxima(inner)
    assert values_to_equalize(graph) == [wide]
    assert equalize_ranges(graph, {wide: seen})
    verify_module(graph.module)
    after, scaled = runs(graph, wide)
    for a, b in zip(after, before, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    filled = maxima(scaled)
    assert filled.max() <= seen.max() * 1.001
    if groups == CHANNELS:
        # by the largest channel, or by the clip, whose bound is above what was seen
        top = 6.0 if act.startswith("clip") else seen.max()
        np.testing.assert_allclose(filled, np.maximum(seen, top / ROOM), rtol=1e-4)
    else:
        assert seen.min() / seen.max() < 0.02
        assert filled.min() / filled.max() > 0.05


def test_a_clip_that_is_reached_binds_its_channel() -> None:
    """A channel that meets the bound must not be enlarged, or the clip would cut off more of it."""
    graph, wide = chain("clip:0.0:1.0", CHANNELS)
    before, inner = runs(graph, wide)
    seen = maxima(inner)
    assert np.count_nonzero(seen == 1.0) >= 2
    assert equalize_ranges(graph, {wide: seen})
    after, scaled = runs(graph, wide)
    np.testing.assert_allclose(np.concatenate(after), np.concatenate(before), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(maxima(scaled), np.maximum(seen, 1.0 / ROOM), rtol=1e-4)


def test_dense_readers_share_the_difference() -> None:
    """sqrt(a/r): afterwards each channel is as large against its tensor as its weights are against theirs."""
    graph, wide = chain("relu", 1)
    w = graph.array(graph.ops[1].arg(1))
    r = (np.abs(w) / np.abs(w).max(axis=(1, 2, 3), keepdims=True)).max(axis=(0, 2, 3))
    _, inner = runs(graph, wide)
    seen = maxima(inner)
    equalize_ranges(graph, {wide: seen})
    filled = maxima(runs(graph, wide)[1])
    expected = np.sqrt(seen * r)
    np.testing.assert_allclose(filled / filled.max(), expected / expected.max(), rtol=1e-4)


def test_sums_stay_coarse_enough_for_integers() -> None:
    """A channel that is far below the largest is enlarged only until a step of its sums is 0.4 of the result's."""
    net = Network(3)
    x = net.floats(1, 4, 4, 3)
    weights = np.ones((2, 3, 1, 1), np.float32)
    window: dict[str, Any] = dict(strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), layout="nhwc")
    wide = net.build.op("conv", x, net.build.const(weights, "f32"), **window)
    after = net.build.const(np.ones((2, 1, 1, 1)), "f32")
    net.named("y", net.build.op("conv", wide, after, groups=2, **window))
    assert values_that_bound(net.graph) == [x]
    seen = {wide: np.array([1.0, 0.001]), x: np.array([3.0, 1.0, 2.0])}
    assert equalize_ranges(net.graph, seen)
    scaled = net.graph.array(net.graph.ops[0].arg(1))
    # without the bound 1 / 256 (the most), with it 2 * 3 * 1 / 127 / (0.4 * 1)
    np.testing.assert_allclose(1.0 / scaled[:, 0, 0, 0], [1.0, 6.0 / 127 / 0.4], rtol=1e-5)


def test_a_chain_of_residuals_has_one_scale_a_channel() -> None:
    """Both values fill their ranges as well as one scale lets them, and results stay."""
    rng = np.random.default_rng(5)
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, 7, 7, 4)))
    window: dict[str, Any] = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "layout": "nhwc"}

    def conv(x: Value, k: int, *added: Value) -> Value:
        w = rng.standard_normal((CHANNELS, k, 1, 1)) * SPREAD[:, None, None, None]
        return b.op("conv", x, b.const(w, "f32"), None, *added, act="relu", **window)

    first = conv(x, 4)
    inside = b.op("conv", first, b.const(rng.standard_normal((5, CHANNELS, 1, 1)), "f32"), act="relu", **window)
    second = conv(inside, 5, first)
    readers = [b.op("conv", second, b.const(rng.standard_normal((n, CHANNELS, 1, 1)), "f32"), **window) for n in (3, 2)]
    graph.outputs = [("y", b.op("concat", *readers, axis=3))]
    assert values_to_equalize(graph) == [first, second, inside] or values_to_equalize(graph) == [first, inside, second]
    before, one = runs(graph, first)
    _, two = runs(graph, second)
    seen = {first: maxima(one), second: maxima(two)}
    assert equalize_ranges(graph, seen)
    after, scaled = runs(graph, first)
    for a, c in zip(after, before, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)
    factors = seen[first] / maxima(scaled)
    np.testing.assert_allclose(factors, seen[second] / maxima(runs(graph, second)[1]), rtol=1e-4)
    for value, found in ((first, scaled), (second, runs(graph, second)[1])):
        assert maxima(found).max() <= seen[value].max() * 1.001, "no range grows"
        assert maxima(found).min() / maxima(found).max() > 2 * seen[value].min() / seen[value].max()


def test_what_is_added_stays_many_steps_of_the_sum() -> None:
    """A channel is enlarged only until a step of what is added is 16 of the sum's."""
    net = Network(3)
    x = net.floats(1, 4, 4, 3)
    window: dict[str, Any] = dict(strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), layout="nhwc")
    first = net.build.op("conv", x, net.build.const(np.ones((2, 3, 1, 1)), "f32"), **window)
    second = net.build.op("conv", x, net.build.const(np.ones((2, 3, 1, 1)), "f32"), None, first, **window)
    after = net.build.const(np.ones((2, 1, 1, 1)), "f32")
    net.named("y", net.build.op("conv", second, after, groups=2, **window))
    seen = {first: np.array([1.0, 0.001]), second: np.array([2.0, 0.002]), x: np.array([0.5, 0.25, 0.125])}
    assert equalize_ranges(net.graph, seen)
    scaled = net.graph.array(net.graph.ops[1].arg(1))
    # 16 steps of 2 * 0.5 * 1 / 127 in one of the 1.0 that is added
    np.testing.assert_allclose(1.0 / scaled[:, 0, 0, 0], [1.0, 16 / 127], rtol=1e-5)


def test_values_without_maxima_and_dead_channels_stay() -> None:
    graph, wide = chain("relu", CHANNELS)
    assert not equalize_ranges(graph, {})
    wide.name, wide.origin = "wide", None
    assert not equalize_ranges(graph, {wide: np.zeros(CHANNELS)})
    assert wide.name == "wide"
    assert equalize_ranges(graph, {wide: np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1e-9])})
    assert wide.name == "", "it is no longer the tensor of that name"
    _, scaled = runs(graph, wide)
    assert np.isfinite(np.concatenate(scaled)).all()
