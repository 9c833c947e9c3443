"""A copy prints alike, means the same, and is not changed by what is done to the original."""

from __future__ import annotations

import numpy as np
from network import Network

from edgec.ir import interp
from edgec.ir.copying import copy_module
from edgec.ir.graph import State
from edgec.ir.text import print_module
from edgec.ir.verify import verify_module


def network() -> Network:
    net = Network(3)
    x = net.floats(2, 4)
    held = net.floats(2, 4)
    y = net.build.op("relu", net.build.op("add", x, held))
    net.named("y", y)
    net.named("again", y)
    net.named("z", net.build.op("matmul", y, net.const(4, 3), net.const(3)))
    initial = net.graph.module.intern(np.zeros((2, 4), np.float32))
    net.graph.states.append(State(held, y, initial))
    return net


def test_alike_and_apart() -> None:
    net = network()
    module = net.graph.module
    before = print_module(module)
    copied, values = copy_module(module)
    verify_module(copied, after="copying")
    graph = copied.entries["main"]
    assert print_module(copied) == before
    assert {values[v] for v in net.graph.values()} == set(graph.values())
    assert all(value.op is op for op in graph.ops for value in op.results)
    expected = interp.run(net.graph, net.feeds)
    for name, array in interp.run(graph, net.feeds).items():
        np.testing.assert_array_equal(array, expected[name])
    graph.ops[0].kind = "mul"
    graph.ops[0].attrs["changed"] = 1
    graph.outputs.pop()
    copied.intern(np.ones(3, np.float32))
    assert print_module(module) == before
