"""Norms stay in floats where bytes there make most of the noise, and floats cost little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from network import Network
from onnx import helper
from quantised import made, written

from edgec.driver import build
from edgec.ir.graph import Graph, Op
from edgec.no_regret import predicted
from edgec.options import BuildOptions
from edgec.quantize import operators_on_bytes
from edgec.row_rounding import rows_to_spare
from edgec.targets.arm import target as arm

ISA = arm.choose("cortex-a76").isa


def network(width: int) -> tuple[Graph, Op]:
    """A product, a norm, and a product as wide as said."""
    net = Network(5)
    hidden = net.build.op("matmul", net.floats(8, 32), net.const(32, 32))
    normed = net.build.op("layer_norm", hidden, net.const(32), net.const(32), axis=1, eps=1e-5)
    net.named("y", net.build.op("matmul", normed, net.const(32, width)))
    return net.graph, net.graph.ops[1]


def test_only_cheap_norms_are_spared() -> None:
    (wide, norm), (narrow, other) = network(4096), network(32)
    assert rows_to_spare(wide, operators_on_bytes(wide), (), ISA) == [norm]
    assert rows_to_spare(narrow, operators_on_bytes(narrow), (), ISA) == []
    assert rows_to_spare(wide, operators_on_bytes(wide, [norm]), [norm], ISA) == [], "it is in floats already"
    every = operators_on_bytes(narrow)
    assert predicted(narrow, every, every - {other}, ISA) > predicted(narrow, every, every, ISA)


def test_a_norm_of_outliers_is_spared(tmp_path: Path) -> None:
    """One channel is a hundred times as large as the others, and its gain takes that away again."""
    rng = np.random.default_rng(0)
    first, gain = rng.standard_normal((32, 64)), np.ones(64)
    first[:, 0] *= 100
    gain[0] = 0.01
    constants = {"a": first, "g": gain, "b": rng.standard_normal((64, 4096)) / 8}
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("LayerNormalization", ["h", "g"], ["n"]),
             helper.make_node("MatMul", ["n", "b"], ["y"])]  # fmt: skip
    model = made(nodes, {k: v.astype(np.float32) for k, v in constants.items()}, {"x": (4, 32)}, {"y": 1})
    kept = {}
    for force in (False, True):
        options = BuildOptions(precision="int8", force=force, verify_inputs=1, observer="minmax")
        receipt = build(written(model, tmp_path), "host", tmp_path / str(force), options).receipt
        kept[force] = [(k["op"].split()[0], k["code"]) for k in receipt["quantization"]["kept_in_floats"]]
    assert ("layer_norm", "ROW_ROUNDING") in kept[False]
    assert kept[True] == []
