"""Which operators work on bytes, and which encodings their values get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from network import Network

from edgec.encode_weights import encode_weights
from edgec.flat_weights import flat_weights, stored_weights
from edgec.graph_values import tapped
from edgec.grids import grid_of, grids_of
from edgec.ir import interp
from edgec.ir.encodings import only
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import Quant
from edgec.ir.verify import verify_module
from edgec.paired import signal_to_noise
from edgec.passes import FUSED
from edgec.passes.lower_requant import requantise
from edgec.passes.requant import REASONS
from edgec.pipeline import run_pipeline
from edgec.quantize import (
    encode_values,
    largest_bias,
    nearest,
    operators_on_bytes,
    values_to_observe,
)

PLAIN: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "layout": "nhwc"}


def two_branches() -> Network:
    """conv -> tanh, conv -> concat -> conv -> sigmoid -> y."""
    net = Network(3)
    x = net.floats(1, 6, 6, 4)
    a = net.build.op("tanh", net.build.op("conv", x, net.const(8, 4, 1, 1), net.const(8), **PLAIN))
    b = net.build.op("conv", x, net.const(8, 4, 1, 1), **PLAIN, act="relu")
    joined = net.build.op("concat", a, b, axis=3)
    y = net.build.op("conv", joined, net.const(5, 16, 1, 1), net.const(5), **PLAIN)
    net.named("y", net.build.op("sigmoid", y))
    return net


def kinds(ops: set[Op]) -> list[str]:
    return sorted(op.kind for op in ops)


def ranges(graph: Graph, values: list[Value], feeds: dict[str, Any]) -> dict[Value, tuple[float, float]]:
    with tapped(graph, values) as names:
        found = interp.run(graph, feeds)
    return {v: (float(found[name].min()), float(found[name].max())) for v, name in names.items()}


def test_what_only_leads_to_an_output_stays_float() -> None:
    graph = two_branches().graph
    assert kinds(operators_on_bytes(graph)) == ["concat", "conv", "conv", "conv", "tanh"]


def test_what_reads_a_float_operator_stays_float() -> None:
    graph = two_branches().graph
    first = next(op for op in graph.ops if op.kind == "conv")
    assert kinds(operators_on_bytes(graph, kept=[first])) == ["conv", "conv"]


def test_an_operator_with_several_results_stays_float() -> None:
    net = Network(3)
    y = net.build.op("conv", net.floats(1, 6, 6, 4), net.const(8, 4, 1, 1), **PLAIN)
    values, places = net.build.ops("topk", y, k=3, axis=3)
    net.named("values", values)
    net.named("places", places)
    assert kinds(operators_on_bytes(net.graph)) == ["conv"]


def test_encodings_and_what_they_compute() -> None:
    net = two_branches()
    graph, module = net.graph, net.graph.module
    expected = interp.run(graph, net.feeds)["y"]
    chosen = operators_on_bytes(graph)
    known = ranges(graph, values_to_observe(graph, chosen), net.feeds)
    encode_values(graph, chosen, known, "i8", nearest, {})
    verify_module(module)
    by_kind = {op.kind: op for op in graph.ops}
    concat = by_kind["concat"]
    encodings = {v.type.encodings for v in (concat.result, *concat.inputs) if v is not None}
    assert len(encodings) == 1, "a concatenation and its operands share one scale"
    assert not by_kind["sigmoid"].arg(0).type.encodings, "the last sums are not rounded to bytes"
    for op in graph.ops:
        if op.kind == "conv":
            (encoding,) = op.arg(1).type.encodings
            assert isinstance(encoding, Quant)
            assert (encoding.stored, encoding.axis) == ("i8", 0)
            assert np.abs(graph.stored(op.arg(1)).astype(int)).max() == 127
    encoded = interp.run(graph, net.feeds)["y"]
    assert 30 < signal_to_noise(encoded, expected) < 70
    run_pipeline(module, ("lower_requant{byte=u8}", *FUSED))
    integers = interp.run(graph, net.feeds)["y"]
    assert signal_to_noise(integers, encoded) > 40
    assert {"qconv", "table", "quantize"} <= {op.kind for op in graph.ops}


def test_biases_make_up_for_rounded_weights() -> None:
    """On operands that are their mean everywhere, rounding costs nothing."""
    net = Network(4)
    x = net.source(np.broadcast_to([0.5, -2.0, 3.0, 1.0], (1, 3, 3, 4)))
    net.named("y", net.build.op("conv", x, net.const(6, 4, 1, 1), net.const(6), **PLAIN))
    expected = interp.run(net.graph, net.feeds)["y"]
    chosen = operators_on_bytes(net.graph)
    known = ranges(net.graph, values_to_observe(net.graph, chosen), net.feeds)
    coarse = lambda op, w, s: (nearest(op, w, s) // 16 * 16).astype(np.int8)  # noqa: E731
    encode_values(net.graph, chosen, known, "i8", coarse, {op: np.array([[0.5, -2.0, 3.0, 1.0]]) for op in chosen})
    found = interp.run(net.graph, net.feeds)["y"]
    # what is left is the rounding of x itself
    assert signal_to_noise(found, expected) > 35


def test_weights_of_four_bits_beside_bytes() -> None:
    """One operator has them, in groups whose steps are its own; biases make up for those, too."""
    net, mean = Network(4), np.linspace(-2.0, 2.0, 40)
    x = net.source(np.broadcast_to(mean, (3, 40)))
    for _ in range(2):
        net.op("matmul", x, net.const(40, 6), net.const(6))
    first, second = net.graph.ops
    expected = [interp.run(net.graph, net.feeds)[name] for name in ("y0", "y1")]
    before = flat_weights(net.graph, first)
    chosen = operators_on_bytes(net.graph)
    known = ranges(net.graph, values_to_observe(net.graph, chosen), net.feeds)
    four = lambda graph, op, legal: encode_weights(graph, op, "i4", legal=legal)  # noqa: E731
    encode_values(net.graph, chosen, known, "i8", nearest, dict.fromkeys(chosen, mean[None]), {first: four})
    one, other = stored_weights(net.graph, first), stored_weights(net.graph, second)
    assert (one.top, one.numbers.shape, one.steps.shape) == (7, (6, 40), (6, 40))
    assert (other.top, other.numbers.shape, other.steps.shape) == (127, (6, 40), (6,))
    assert np.all(one.steps[:, :32] == one.steps[:, :1])
    assert np.any(one.steps[:, 32] != one.steps[:, 0])
    np.testing.assert_allclose(one.numbers * one.steps, flat_weights(net.graph, first), rtol=1e-6)
    assert np.abs(flat_weights(net.graph, first) - before).max() <= 0.501 * one.steps.max()
    for name, wanted in zip(("y0", "y1"), expected, strict=True):
        assert signal_to_noise(interp.run(net.graph, net.feeds)[name], wanted) > 35


def test_what_has_no_integer_form_is_said() -> None:
    """Steps of the result that are finer than half a step of its products."""
    net = Network(5)
    x = net.floats(1, 3, 3, 4)
    first = net.build.op("conv", x, net.const(8, 4, 1, 1), **PLAIN)
    net.named("y", net.build.op("conv", first, net.const(2, 8, 1, 1), **PLAIN))
    graph = net.graph
    chosen = operators_on_bytes(graph)
    encode_values(graph, chosen, {x: (-3.0, 3.0), first: (-0.01, 0.01)}, "i8", nearest, {})
    ((op, code),) = requantise(graph, "i8")
    assert (op, code) == ("conv", "REQUANT_RANGE")
    assert code in REASONS
    verify_module(graph.module)
    assert [op.kind for op in graph.ops].count("qconv") == 1


def residuals() -> tuple[Graph, list[Value], dict[str, Any]]:
    """Two convolutions that add what comes before, one of them with a clamp; and their results."""
    net = Network(6)
    x = net.build.op("conv", net.floats(1, 6, 6, 4), net.const(8, 4, 1, 1), net.const(8), **PLAIN, act="relu")
    y = net.build.op("conv", x, net.const(8, 8, 1, 1), net.const(8), x, **PLAIN, act="relu")
    z = net.build.op("conv", y, net.const(8, 8, 1, 1), None, y, **PLAIN)
    net.named("y", net.build.op("conv", z, net.const(5, 8, 1, 1), **PLAIN))
    return net.graph, [x, y, z], net.feeds


def test_what_is_added_to_sums_is_a_whole_number_of_their_steps() -> None:
    graph, values, feeds = residuals()
    expected = interp.run(graph, feeds)["y"]
    chosen = operators_on_bytes(graph)
    assert len(chosen) == 4
    encode_values(graph, chosen, ranges(graph, values_to_observe(graph, chosen), feeds), "i8", nearest, {})
    constants = graph.module.constants
    for value in values[1:]:
        assert value.op is not None
        x, w, r = (constants[only(value.op.arg(i).type).scale].astype(np.float64) for i in (0, 1, 3))
        steps = r / (x * w)
        np.testing.assert_allclose(steps, np.rint(steps), rtol=1e-6)
        # no weight is clamped for it, and few steps are given away
        assert 100 < np.abs(graph.stored(value.op.arg(1)).astype(int)).max() <= 127
    encoded = interp.run(graph, feeds)["y"]
    assert not requantise(graph, "i8")
    assert [op.kind for op in graph.ops] == ["quantize", "qconv", "qconv", "qconv", "qconv", "dequantize"]
    assert signal_to_noise(interp.run(graph, feeds)["y"], encoded) > 50, "ties and multipliers of 16 bits"
    assert signal_to_noise(encoded, expected) > 35


def test_floats_that_are_added_are_not_rounded() -> None:
    """The first convolution stays in floats, and what is added to its result does, and so on."""
    graph, (x, y, z), feeds = residuals()
    chosen = operators_on_bytes(graph, kept=[graph.ops[0]])
    observed = values_to_observe(graph, chosen)
    assert set(observed) == {x, y, z}, "what products take"
    expected = interp.run(graph, feeds)["y"]
    encode_values(graph, chosen, ranges(graph, observed, feeds), "i8", nearest, {})
    verify_module(graph.module)
    assert not any(v.type.encodings for v in (x, y, z))
    assert not requantise(graph, "i8")
    kinds = [op.kind for op in graph.ops]
    assert kinds.count("qconv") == 3
    assert kinds.count("quantize") == 3
    assert kinds.count("add") == 2
    assert signal_to_noise(interp.run(graph, feeds)["y"], expected) > 35


def test_grid_by_hand() -> None:
    assert grid_of(0.0, 2.55, "u8") == (float(np.float32(0.01)), 0)
    assert grid_of(-1.0, 1.55, "i8") == (float(np.float32(0.01)), -28)
    assert grid_of(0.5, 2.55, "u8")[1] == 0, "0 is always among the numbers"
    scale, zero = grid_of(0.0, 0.0, "i8")
    assert scale > 0
    assert -128 <= zero <= 127


def test_nothing_is_rounded_between_functions_of_one_element() -> None:
    net = Network(4)
    x, number = net.floats(1, 6, 6, 4), net.build.const(0.3, "f32")
    wide = net.build.op("conv", x, net.const(8, 4, 1, 1), **PLAIN)
    bent = net.build.op("mul", net.build.op("hard_swish", wide), number)
    both = net.build.op("add", bent, bent)
    net.named("y", net.build.op("conv", both, net.const(5, 8, 1, 1), **PLAIN))
    graph = net.graph
    chosen = operators_on_bytes(graph)
    assert kinds(chosen) == ["add", "conv", "conv", "hard_swish", "mul"]
    encode_values(graph, chosen, ranges(graph, values_to_observe(graph, chosen), net.feeds), "i8", nearest, {})
    encoded = {op.kind for op in graph.ops if op.result.type.encodings}
    assert encoded == {"encode", "conv", "mul", "add"}, "what two read is stored, and what one function hands on is not"
    run_pipeline(graph.module, ("lower_requant", *FUSED))
    assert [op.kind for op in graph.ops] == ["quantize", "qconv", "table", "qadd", "qconv", "dequantize"]


def mean_of(net: Network, **axes: Any) -> Graph:
    """conv -> mean -> y."""
    wide = net.build.op("conv", net.floats(1, 6, 6, 4), net.const(8, 4, 1, 1), **PLAIN)
    net.named("y", net.build.op("reduce_mean", wide, **axes, keepdims=False))
    return net.graph


def test_a_mean_of_many_bytes_is_floats() -> None:
    assert kinds(operators_on_bytes(mean_of(Network(5), axes=(2,)))) == ["conv"], "of six, their rounding is left"
    net = Network(5)
    graph = mean_of(net, axes=(1, 2))
    chosen = operators_on_bytes(graph)
    assert kinds(chosen) == ["conv", "reduce_mean"]
    encode_values(graph, chosen, ranges(graph, values_to_observe(graph, chosen), net.feeds), "i8", nearest, {})
    assert {op.kind for op in graph.ops if op.result.type.encodings} == {"encode", "conv"}
    wide = interp.run(graph, net.feeds)["y"]
    run_pipeline(graph.module, ("lower_requant", *FUSED))
    assert [op.kind for op in graph.ops] == ["quantize", "qconv", "qsum", "dequantize"]
    sums = graph.ops[-1].arg(0).type
    assert (sums.dtype, sums.dims) == ("i32", (1, 8))
    step = float(graph.array(graph.ops[-1].arg(1)))
    assert np.abs(interp.run(graph, net.feeds)["y"] - wide).max() < 0.2 * 36 * step, "that of bytes is 0.5"


def test_what_floats_read_too_is_not_rounded_for_a_mean() -> None:
    net = Network(5)
    wide = net.build.op("conv", net.floats(1, 6, 6, 4), net.const(8, 4, 1, 1), **PLAIN)
    net.named("y", net.build.op("reduce_mean", wide, axes=(1, 2), keepdims=True))
    net.named("z", net.build.op("sigmoid", wide))
    assert kinds(operators_on_bytes(net.graph)) == ["conv"]


@pytest.mark.parametrize("size", [1.0, 1e-9, 1e-30])
def test_results_of_any_magnitude(size: float) -> None:
    """Of floats, no result's step says how fine those of weights may be."""
    net = Network(6)
    weights = net.build.const(net.rng.standard_normal((16, 4)) * size, "f32")
    bias = net.build.const(net.rng.standard_normal(4) * size, "f32")
    net.named("y", net.build.op("matmul", net.floats(8, 16), weights, bias))
    graph = net.graph
    wide = interp.run(graph, net.feeds)["y"].astype(np.float64)
    chosen = operators_on_bytes(graph)
    encode_values(graph, chosen, ranges(graph, values_to_observe(graph, chosen), net.feeds), "i8", nearest, {})
    run_pipeline(graph.module, ("lower_requant", *FUSED))
    assert [op.kind for op in graph.ops] == ["quantize", "qmatmul", "dequantize"]
    assert signal_to_noise(interp.run(graph, net.feeds)["y"], wide) > 38


def test_channels_without_weights_have_a_scale_like_the_others() -> None:
    net = Network(6)
    weights = net.rng.standard_normal((16, 4))
    weights[:, 1] = 0.0
    net.named("y", net.build.op("matmul", net.floats(8, 16), net.build.const(weights, "f32"), net.const(4)))
    graph = net.graph
    (op,) = operators_on_bytes(graph)
    encode_values(graph, {op}, {op.arg(0): (-4.0, 4.0)}, "i8", nearest, {})
    steps = stored_weights(graph, op).steps
    assert steps[1] == steps.max()
    np.testing.assert_allclose(largest_bias(graph, op), 2.0**24 * steps * np.float32(8 / 255), rtol=1e-6)


def test_what_reads_inputs_as_well() -> None:
    """As a residual of a transformer's first block does: on bytes only where all must be."""
    net = Network(6)
    tokens = net.floats(1, 6, 6, 8)
    both = net.build.op("add", net.build.op("conv", tokens, net.const(8, 8, 1, 1), **PLAIN), tokens)
    net.named("y", net.build.op("conv", both, net.const(4, 8, 1, 1), **PLAIN))
    assert kinds(operators_on_bytes(net.graph)) == ["conv", "conv"]
    assert kinds(operators_on_bytes(net.graph, whole=True)) == ["add", "conv", "conv"]


def test_bytes_that_leave_the_model() -> None:
    net = Network(4)
    tokens = net.build.op("transpose", net.floats(4, 6), perm=(1, 0))
    shares = net.build.op("softmax", net.build.op("matmul", tokens, net.const(4, 5)), axis=1)
    net.named("y", shares)
    graph = net.graph
    assert kinds(operators_on_bytes(graph)) == ["matmul"]
    chosen = operators_on_bytes(graph, whole=True)
    assert kinds(chosen) == ["matmul", "softmax", "transpose"]
    seen = ranges(graph, values_to_observe(graph, chosen), net.feeds)
    encode_values(graph, chosen, seen, "u8", nearest, {})
    (encoding,) = shares.type.encodings
    scale, zero = (graph.module.constants[key] for key in encoding.constants)
    assert (scale, zero) == (np.float32(seen[shares][1] / 255), 0)


def test_shares_that_are_all_small() -> None:
    """No softmax has steps finer than its integer form."""
    net = Network(4)
    rows = net.build.op("matmul", net.floats(4, 6), net.const(6, 2000))
    shares = net.build.op("softmax", rows, axis=1)
    net.named("y", shares)
    chosen = operators_on_bytes(net.graph, whole=True)
    grids = grids_of(net.graph, chosen, {rows: (-1.0, 1.0), shares: (0.0, 1e-3)}, "u8")
    assert grids[shares] == (2.0**-14, 0)
