"""Softmax, norms and vector functions over rows of every length round a register: tails give what full vectors give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import TARGETS
from network import Network

LENGTHS = (1, 3, 4, 7, 8, 15, 16, 17, 33, 100)
FUNCTIONS = ("exp", "tanh", "erf", "sigmoid", "gelu", "gelu_tanh", "silu", "hard_swish")


@pytest.mark.parametrize("target", TARGETS)
def test_rows(target: str, tmp_path: Path) -> None:
    net = Network(8)
    for n in LENGTHS:
        x = net.source(net.rng.standard_normal((3, n)) * 4 - 9)  # negative: a tail of 0 would win
        scale, bias = (net.build.const(net.rng.uniform(1, 2, n), "f32") for _ in range(2))
        for kind in ("softmax", "log_softmax"):
            net.op(kind, x, axis=1)
            net.op(kind, x, axis=0)
        net.op("layer_norm", x, scale, bias, axis=1)
        net.op("rms_norm", x, scale, axis=1)
        net.op("layer_norm", x, axis=0, eps=0.5)
    net.check(target, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_a_value_does_not_depend_on_its_place(target: str, tmp_path: Path) -> None:
    values, places = np.linspace(-6, 6, 37, dtype=np.float32), (0, 9, 17, 35)
    net = Network(0)
    long = net.source(values)
    short = [net.source(values[i : i + 1]) for i in places]
    for kind in FUNCTIONS:
        net.named(kind, net.build.op(kind, long))
        for i, x in zip(places, short, strict=True):
            net.named(f"{kind} {i}", net.build.op(kind, x))
    found = net.run(target, tmp_path)
    for kind in FUNCTIONS:
        for i in places:
            assert found[kind][i] == found[f"{kind} {i}"][0], (kind, i)


@pytest.mark.parametrize("target", TARGETS)
def test_functions_over_their_whole_range(target: str, tmp_path: Path) -> None:
    """Relative to the value itself, where the function has no zero: what a tolerance by the maximum would hide."""
    values = np.concatenate([np.linspace(-80, 80, 3000), np.geomspace(1e-6, 1, 500), -np.geomspace(1e-6, 1, 500)])
    values = values.astype(np.float32)
    net = Network(0)
    x = net.source(values)
    for kind in ("exp", "tanh", "erf", "sigmoid"):
        net.named(kind, net.build.op(kind, x))
    wide = values.astype(np.float64)
    expected = {
        "exp": np.exp(wide), "tanh": np.tanh(wide), "erf": net.expected()["erf"].astype(np.float64),
        "sigmoid": 1 / (1 + np.exp(-wide)),
    }  # fmt: skip
    for kind, found in net.run(target, tmp_path).items():
        assert np.max(np.abs(found - expected[kind]) / np.abs(expected[kind])) < 1e-6, kind
