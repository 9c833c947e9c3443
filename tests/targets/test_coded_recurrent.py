"""LSTM, GRU and RNN whose state meets codes, against the interpreter, on every kernel set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from network import Network
from test_coded import TARGETS, weights
from test_recurrent_bytes import NAMES

from edgec.ir.ops.recurrent import GATES

pytestmark = pytest.mark.usefixtures("scalar_host")


def network(format: str) -> Network:
    """Numbers of units beside and on the lengths of groups, registers and panels."""
    net = Network(43)
    for kind, gates in GATES.items():
        ways: list[dict[str, Any]] = [{}, {"direction": "reverse", "clip": 0.7}]
        if kind == "gru":
            ways.append({"linear_before_reset": True})
        for h in (1, 3, 8, 17, 32, 33, 65):
            for own in ways:
                scaled = net.build.op("mul", net.floats(1, 2, h), net.build.const(1e-3, "f32"))
                states = [scaled, *([net.floats(1, 2, h)] if kind == "lstm" else [])]
                r = weights(net, format, (1, gates * h, h), 1, 2)
                attrs = {"activations": NAMES[kind], "direction": "forward", "clip": 0.0, **own}
                bias = net.const(1, 2 * gates * h) if h != 17 else None
                net.done(*net.build.ops(kind, net.floats(1, 2, gates * h), None, r, bias, None, *states, **attrs))
    return net


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("format", ["i8", "i4", "e4m3", "e2m1", "i4y"])
def test_against_interpreter(target: str, format: str, tmp_path: Path) -> None:
    network(format).check(target, tmp_path)
