"""LSTM, GRU and RNN whose state becomes bytes at each step, against the interpreter, on every kernel set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import HOSTS, assert_close
from network import Network

from edgec.ir.ops.recurrent import GATES

pytestmark = pytest.mark.usefixtures("scalar_host")
TARGETS = [*HOSTS, "host:scalar", "arm:cortex-a76", "arm:cortex-a72"]
NAMES = {"lstm": ("Sigmoid", "Tanh", "Tanh"), "gru": ("Sigmoid", "Tanh"), "rnn": ("Tanh",)}


def add(
    net: Network, kind: str, h: int, t: int, b: int, *, most: int = 127, direction: str = "forward",
    bias: bool = True, lens: tuple[int, ...] = (), **attrs: Any,
) -> None:  # fmt: skip
    """One of GATES with first states; weights of the state are integers up to `most`."""
    d, each = 2 if direction == "bidirectional" else 1, GATES[kind] * h
    r = net.rng.integers(-most, most + 1, (d, each, h)).astype(np.int8 if most < 128 else np.int16)
    r[0, 0, 0], r[0, -1, -1] = most, -most
    operands = [
        net.floats(t, b, 5), net.const(d, each, 5), net.build.const(r), net.const(d, 2 * each) if bias else None,
        net.source(np.array(lens), "i64") if lens else None, net.floats(d, b, h),
        *([net.floats(d, b, h), None] if kind == "lstm" else []),
        net.build.const((net.rng.uniform(0.5, 1.5, (d, each)) / (most * h**0.5)).astype(np.float32)),
    ]  # fmt: skip
    made = {"activations": NAMES[kind] * d, "direction": direction, "clip": 0.0, **attrs}
    net.done(*net.build.ops(f"q{kind}", *operands, **made))


def one_step() -> Network:
    """Bytes are made of what goes in, so that all targets have the same ones."""
    net = Network(41)
    for kind in GATES:
        own: dict[str, Any] = {"linear_before_reset": True} if kind == "gru" else {}
        for h in (1, 3, 15, 16, 17, 64, 65):
            add(net, kind, h, 1, 2, **own)
        add(net, kind, 33, 1, 3, bias=False, direction="reverse", clip=0.7, **own)
        add(net, kind, 20, 1, 2, most=255, direction="bidirectional", **own)
        add(net, kind, 20, 1, 3, most=200, together=True, lens=(1, 0, 1), **own)
    add(net, "lstm", 40, 1, 2, input_forget=True)
    return net


def many_steps() -> Network:
    net = Network(42)
    for kind in GATES:
        for direction in ("forward", "reverse", "bidirectional"):
            add(net, kind, 24, 7, 3, direction=direction, lens=(7, 3, 5))
        add(net, kind, 24, 6, 2, together=True, direction="reverse", lens=(2, 6))
    add(net, "gru", 31, 9, 1, linear_before_reset=True)
    return net


@pytest.mark.parametrize("target", TARGETS)
def test_a_step(target: str, tmp_path: Path) -> None:
    net = one_step()
    found, expected = net.run(target, tmp_path), net.expected()
    for name, _ in net.graph.outputs:
        assert_close(found[name], expected[name], f"{target} {name}")


@pytest.mark.parametrize("target", TARGETS)
def test_steps(target: str, tmp_path: Path) -> None:
    """The last bit of a state decides a byte here and there."""
    net = many_steps()
    found, expected = net.run(target, tmp_path), net.expected()
    for name, _ in net.graph.outputs:
        noise = np.mean((found[name] - expected[name]) ** 2) / np.mean(expected[name] ** 2)
        assert noise < 1e-6, f"{target} {name}"


def test_all_targets_have_the_same_bits(tmp_path: Path) -> None:
    net = many_steps()
    here, *cores = (net.run(target, tmp_path) for target in ("host", "arm:cortex-a72", "arm:cortex-a76"))
    for found in cores:
        for name, _ in net.graph.outputs:
            np.testing.assert_array_equal(found[name], here[name], name)
