"""LSTM, GRU and RNN in the evaluator against the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coreml_run import agree
from network import Network

from edgec.ir.errors import UnsupportedError
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.program import emit

T, B, N, H = 4, 3, 5, 2
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
PLAIN = {"lstm": ("Sigmoid", "Tanh", "Tanh"), "gru": ("Sigmoid", "Tanh"), "rnn": ("Tanh",)}
OTHERS = ("LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu", "Softsign", "Softplus", "Relu")


def layer(net: Network, kind: str, direction: str, known: bool = True, **attrs: Any) -> None:
    d = 2 if direction == "bidirectional" else 1
    g = GATES[kind]
    make = net.const if known else net.floats
    lengths = attrs.pop("lengths", None)
    states = attrs.pop("states", True)
    peephole = attrs.pop("peephole", False)
    operands = [
        net.floats(T, B, N), make(d, g * H, N), make(d, g * H, H), make(d, 2 * g * H), lengths,
        net.floats(d, B, H) if states else None,
    ]  # fmt: skip
    if kind == "lstm":
        operands += [net.floats(d, B, H) if states else None, net.const(d, 3 * H) if peephole else None]
    given = {"activations": PLAIN[kind] * d, **attrs}
    net.done(*net.build.ops(kind, *operands, direction=direction, **given))


@pytest.mark.parametrize("name", ["ios15", "ios18"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", GATES)
def test_directions(kind: str, direction: str, name: str) -> None:
    net = Network(1)
    layer(net, kind, direction)
    layer(net, kind, direction, states=False)
    layer(net, kind, direction, known=False)  # weights that are computed: step by step
    agree(net, name)


@pytest.mark.parametrize("name", ["ios16", "ios17"])
@pytest.mark.parametrize("kind", GATES)
def test_halves(kind: str, name: str) -> None:
    net = Network(2)
    layer(net, kind, "bidirectional")
    agree(net, name, halves=True)


@pytest.mark.parametrize("kind", GATES)
def test_lengths(kind: str) -> None:
    net = Network(3)
    layer(net, kind, "bidirectional", lengths=net.source([2, 4, 0], "i32"))
    layer(net, kind, "bidirectional", lengths=net.build.const(np.array([4, 1, 3]), "i32"))
    layer(net, kind, "reverse", lengths=net.build.const(np.array([4, 4, 4]), "i32"))
    agree(net)


@pytest.mark.parametrize("kind", GATES)
def test_clip_and_activations(kind: str) -> None:
    net = Network(4)
    layer(net, kind, "forward", clip=0.3)
    for first, second in zip(OTHERS, (*OTHERS[1:], "Sigmoid"), strict=True):
        layer(net, kind, "bidirectional", activations=(first, second, *OTHERS)[: len(PLAIN[kind])] * 2)
    agree(net)


def test_forms_of_one_kind() -> None:
    net = Network(5)
    layer(net, "lstm", "bidirectional", peephole=True)
    layer(net, "lstm", "forward", input_forget=True)
    layer(net, "gru", "bidirectional", linear_before_reset=True)
    layer(net, "gru", "reverse", linear_before_reset=True, clip=0.5)
    agree(net)


def kinds(net: Network) -> set[str]:
    block = emit(net.graph.module, choose("ios18"), halves=False).model.mlProgram.functions["main"]
    return {op.type for op in block.block_specializations["CoreML8"].operations}


def test_mil_has_an_operator_for_the_plain_forms() -> None:
    for kind, native in (("lstm", True), ("rnn", True), ("gru", False)):
        net = Network(6)
        layer(net, kind, "bidirectional")
        assert (kind in kinds(net)) is native
    clipped = Network(7)
    layer(clipped, "lstm", "forward", clip=1.0)
    assert "lstm" not in kinds(clipped)


def test_too_many_steps_are_refused() -> None:
    net = Network(8)
    net.done(
        *net.build.ops("gru", net.floats(1025, 1, 2), net.const(1, 6, 2), net.const(1, 6, 2), activations=PLAIN["gru"])
    )
    with pytest.raises(UnsupportedError, match="takes 1025 steps one by one, and at most 1024 are written out"):
        emit(net.graph.module, choose(""), halves=False)
