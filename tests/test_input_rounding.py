"""First operators stay in floats where bytes of the input make most of the noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from network import Network

from edgec.input_rounding import INPUT_ROUNDING, noise_of_inputs, readers_of_inputs
from edgec.int8_trials import Judge
from edgec.quantize import operators_on_bytes

PLAIN: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "layout": "nhwc"}


def network(channels: int) -> Network:
    """An image in NCHW, a first convolution, and a wide one behind it."""
    net = Network(4)
    x = net.build.op("transpose", net.floats(1, 2, 6, 6), perm=(0, 2, 3, 1))
    first = net.build.op("conv", x, net.const(4, 2, 1, 1), **PLAIN, act="relu")
    net.named("y", net.build.op("conv", first, net.const(channels, 4, 3, 3), **PLAIN))
    return net


def test_only_a_small_first_operator_may_stay() -> None:
    wide, narrow = network(64).graph, network(2).graph
    (found,) = readers_of_inputs(wide, operators_on_bytes(wide))
    assert found is wide.ops[1]
    assert readers_of_inputs(narrow, operators_on_bytes(narrow)) == []
    assert readers_of_inputs(wide, []) == []


def test_noise_is_that_of_the_operands_steps() -> None:
    net = network(64)
    judge = Judge(net.graph, [net.feeds])
    first = readers_of_inputs(net.graph, operators_on_bytes(net.graph))
    fine, coarse = (noise_of_inputs(net.graph, first, {first[0].arg(0): (-most, most)}, judge) for most in (4.0, 16.0))
    assert 0 < fine < coarse
    assert 6 < 10 * np.log10(coarse / fine) < 18, "four times the step is 12 dB of noise"
    assert noise_of_inputs(net.graph, [], {}, judge) == 0.0
    assert len(net.graph.ops) == 3, "the graph is what it was"


def test_what_the_receipt_says() -> None:
    (op,) = readers_of_inputs(network(64).graph, operators_on_bytes(network(64).graph)) or [network(64).graph.ops[1]]
    assert INPUT_ROUNDING.facts(op, 0.51234) == {
        "op": "conv", "code": "INPUT_ROUNDING", "share_of_noise": 0.512,
        "why": "bytes of the model's input would make most of the noise at its outputs",
    }  # fmt: skip
