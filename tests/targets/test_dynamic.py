"""Bytes whose scales are found at run time, against the interpreter, on every kernel set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import HOSTS, assert_close
from network import Network
from test_qconv import isa_of

from edgec.passes.quantize_matmuls import quantize_matmuls
from edgec.targets.c.isa import Isa

pytestmark = pytest.mark.usefixtures("scalar_host")
TARGETS = [*HOSTS, "host:scalar", "arm:cortex-a76", "arm:cortex-a72"]


def network(isa: Isa) -> Network:
    net, byte = Network(31), isa.byte
    for k in (1, 3, 15, 16, 17, 64, 65, 200):
        rows = net.rng.standard_normal((7, k)) * 10.0 ** net.rng.integers(-3, 3, (7, 1))
        rows[1], rows[2, 0], rows[3] = 0.0, np.nan, np.abs(rows[3])
        rows[4], rows[5, -1] = -np.abs(rows[4]), 1e30
        net.done(*net.build.ops("quantize_rows", net.source(rows), to=byte))
    return net


@pytest.mark.parametrize("target", TARGETS)
def test_rows(target: str, tmp_path: Path) -> None:
    """The same bytes, scales and zero points, for rows of any length and any numbers."""
    net = network(isa_of(target))
    found, expected = net.run(target, tmp_path), net.expected()
    for name, _ in net.graph.outputs:
        np.testing.assert_array_equal(found[name], expected[name], f"{target} {name}")


@pytest.mark.parametrize("target", TARGETS)
def test_matmuls(target: str, tmp_path: Path) -> None:
    net = Network(32)
    x = net.floats(9, 5, 70)
    for n, act in ((3, ""), (40, "relu"), (65, "gelu")):
        net.op("matmul", x, net.const(70, n), net.const(n), act=act)
        net.op("matmul", x, net.const(70, n), act=act)
    exact = net.expected()
    quantize_matmuls(net.graph, isa_of(target).byte)
    assert sum(op.kind == "quantize_rows" for op in net.graph.ops) == 1
    assert sum(op.kind == "qmatmul" for op in net.graph.ops) == 6
    found, expected = net.run(target, tmp_path), net.expected()
    for name, _ in net.graph.outputs:
        assert_close(found[name], expected[name], f"{target} {name}")
        noise = np.mean((found[name] - exact[name]) ** 2) / np.mean(exact[name] ** 2)
        assert noise < 10**-3.6


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_of_gates(target: str, tmp_path: Path) -> None:
    """Both directions read the same bytes, and what the state adds is that of floats."""
    net = Network(33)
    x = net.floats(6, 2, 20)
    for kind, gates, names in (("lstm", 4, ["Sigmoid", "Tanh", "Tanh"]), ("gru", 3, ["Sigmoid", "Tanh"])):
        weights = [net.const(2, gates * 9, 20), net.const(2, gates * 9, 9), net.const(2, 2 * gates * 9)]
        net.done(*net.build.ops(kind, x, *weights, direction="bidirectional", activations=names * 2))
    exact = net.expected()
    quantize_matmuls(net.graph, isa_of(target).byte)
    assert [op.kind for op in net.graph.ops].count("quantize_rows") == 1
    assert all(op.inputs[1] is None for op in net.graph.ops if op.kind in ("lstm", "gru"))
    found, expected = net.run(target, tmp_path), net.expected()
    for name, _ in net.graph.outputs:
        assert_close(found[name], expected[name], f"{target} {name}")
        noise = np.mean((found[name] - exact[name]) ** 2) / np.mean(exact[name] ** 2)
        assert 0 < noise < 10**-3
