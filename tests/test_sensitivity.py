"""Errors of operators, seen at the outputs: of one, of two that cancel, and the order that follows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from network import Network

from edgec.ir.graph import Graph, Op, Value
from edgec.ir.text import print_module
from edgec.sensitivity import interactions, most_disturbing_first


def network() -> tuple[Network, list[Op]]:
    """y = 2 (a x) - (b x), with three matmuls of which the last only makes another output."""
    net = Network(4)
    x = net.floats(3, 8)
    made = [net.build.op("matmul", x, net.const(8, 5)) for _ in range(3)]
    net.named("y", net.build.op("sub", net.build.op("mul", made[0], net.build.const(2.0, "f32")), made[1]))
    net.named("z", made[2])
    ops = [v.op for v in made if v.op is not None]
    return net, ops


def shift(by: Mapping[int, float], ops: list[Op]) -> object:
    """What stands for bytes here: the twin of operator i is off by a constant."""

    def narrow(graph: Graph, twins: Mapping[Op, Op], values: Mapping[Value, Value]) -> None:
        sources = [values[op.arg(1)] for op in ops]
        for twin in twins.values():
            off = by[sources.index(twin.arg(1))]
            twin.inputs = [*twin.inputs[:2], graph.constant(np.full(5, off, np.float32))]

    return narrow


def test_products_of_known_errors() -> None:
    net, ops = network()
    before = print_module(net.graph.module)
    found = interactions(net.graph, ops, shift({0: 0.5, 1: 0.25, 2: 3.0}, ops), [net.feeds])  # type: ignore[arg-type]
    assert print_module(net.graph.module) == before
    sizes = {name: float(np.sum(array.astype(np.float64) ** 2)) for name, array in net.expected().items()}
    # y moves by 2 * 0.5 and by -0.25, z by 3; of 15 elements each, and two outputs
    expected = np.array([[1.0, -0.25, 0], [-0.25, 0.0625, 0], [0, 0, 0]]) * 15 / sizes["y"] / 2
    expected[2, 2] = 9 * 15 / sizes["z"] / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_all_results_of_an_operator_are_disturbed_together() -> None:
    """Without weights all states are 0, so that both outputs lose all that they are."""
    net = Network(4)
    weights = [net.const(1, 5, 3), net.const(1, 5, 5)]
    made = net.build.ops("rnn", net.floats(4, 2, 3), *weights, direction="forward", activations=("Tanh",))
    net.named("all", made[0])
    net.named("last", made[1])
    (op,) = (op for op in net.graph.ops if op.kind == "rnn")

    def narrow(graph: Graph, twins: Mapping[Op, Op], values: Mapping[Value, Value]) -> None:
        zeros = [graph.constant(np.zeros(shape, np.float32)) for shape in ((1, 5, 3), (1, 5, 5))]
        twins[op].inputs[1:3] = zeros

    found = interactions(net.graph, [op], narrow, [net.feeds])
    np.testing.assert_allclose(found, [[1.0]], rtol=1e-6)


def test_order_counts_what_cancels() -> None:
    """Two large errors that cancel stay; the one that nothing makes up for leaves first."""
    products = np.array([[9.0, -9.0, 0.0], [-9.0, 9.0, 0.0], [0.0, 0.0, 1.0]])
    assert most_disturbing_first(products)[0] == 2
    assert most_disturbing_first(np.diag([1.0, 5.0, 3.0])) == [1, 2, 0]
    assert most_disturbing_first(np.zeros((0, 0))) == []
