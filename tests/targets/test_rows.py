"""Softmax, norms and vector functions over rows of every length round a register: tails give what full vectors give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import TARGETS, assert_close, compiled

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type

LENGTHS = (1, 3, 4, 7, 8, 15, 16, 17, 33, 100)
FUNCTIONS = ("exp", "tanh", "erf", "sigmoid", "gelu", "gelu_tanh", "silu", "hard_swish")


@pytest.mark.parametrize("target", TARGETS)
def test_rows(target: str, tmp_path: Path) -> None:
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(8)
    feeds = {}
    for n in LENGTHS:
        feeds[f"x{n}"] = (rng.standard_normal((3, n)) * 4 - 9).astype(np.float32)  # negative: a tail of 0 would win
        x = graph.add_input(f"x{n}", Type("f32", (3, n)))
        scale, bias = (b.const(rng.uniform(1, 2, n), "f32") for _ in range(2))
        made = {
            "softmax": b.op("softmax", x, axis=1),
            "columns": b.op("softmax", x, axis=0),
            "log_softmax": b.op("log_softmax", x, axis=1),
            "log_columns": b.op("log_softmax", x, axis=0),
            "layer_norm": b.op("layer_norm", x, scale, bias, axis=1),
            "rms_norm": b.op("rms_norm", x, scale, axis=1),
            "plain": b.op("layer_norm", x, axis=0, eps=0.5),
        }
        graph.outputs += [(f"{k}{n}", v) for k, v in made.items()]
    expected = interp.run(graph, feeds)
    with compiled(graph, target, tmp_path) as session:
        for (name, _), found in zip(graph.outputs, session.run(None, feeds), strict=True):
            assert_close(found, expected[name], name)


@pytest.mark.parametrize("target", TARGETS)
def test_a_value_does_not_depend_on_its_place(target: str, tmp_path: Path) -> None:
    values = np.linspace(-6, 6, 37, dtype=np.float32)
    graph = Graph(Module())
    b = Builder(graph)
    long, short = graph.add_input("long", Type("f32", (37,))), graph.add_input("short", Type("f32", (1,)))
    for kind in FUNCTIONS:
        graph.outputs += [(f"long_{kind}", b.op(kind, long)), (f"short_{kind}", b.op(kind, short))]
    with compiled(graph, target, tmp_path) as session:
        for i in (0, 9, 17, 35):
            found = session.run(None, {"long": values, "short": values[i : i + 1]})
            for j, kind in enumerate(FUNCTIONS):
                assert found[2 * j][i] == found[2 * j + 1][0], kind


@pytest.mark.parametrize("target", ["host", "arm"])
def test_functions_over_their_whole_range(target: str, tmp_path: Path) -> None:
    """Relative to the value itself, where the function has no zero: what a tolerance by the maximum would hide."""
    values = np.concatenate([np.linspace(-80, 80, 3000), np.geomspace(1e-6, 1, 500), -np.geomspace(1e-6, 1, 500)])
    values = values.astype(np.float32)
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", values.shape))
    graph.outputs = [(kind, b.op(kind, x)) for kind in ("exp", "tanh", "erf", "sigmoid")]
    wide = values.astype(np.float64)
    expected = {
        "exp": np.exp(wide), "tanh": np.tanh(wide), "erf": interp.run(graph, {"x": values})["erf"].astype(np.float64),
        "sigmoid": 1 / (1 + np.exp(-wide)),
    }  # fmt: skip
    with compiled(graph, target, tmp_path) as session:
        for (name, _), found in zip(graph.outputs, session.run(None, {"x": values}), strict=True):
            assert np.max(np.abs(found - expected[name]) / np.abs(expected[name])) < 1e-6, name
