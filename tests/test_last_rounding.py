"""The last products stay in floats where bytes there make much of the noise, and floats cost next to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from network import Network
from onnx import helper
from quantised import made, written

from edgec.driver import build
from edgec.ir.graph import Graph, Op
from edgec.last_rounding import last_products, last_sums
from edgec.options import BuildOptions
from edgec.quantize import operators_on_bytes
from edgec.targets.arm import target as arm

ISA = arm.choose("cortex-a76").isa
PLAIN: dict[str, Any] = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "layout": "nhwc"}


def network(classes: int) -> tuple[Graph, list[Op]]:
    """Three convolutions, a global mean, and two classifiers of as many classes as said."""
    net = Network(5)
    x = net.build.op("conv", net.floats(1, 16, 16, 64), net.const(64, 64, 3, 3), **PLAIN, act="relu")
    for _ in range(2):
        x = net.build.op("conv", x, net.const(64, 64, 3, 3), **{**PLAIN, "strides": (2, 2)}, act="relu")
    mean = net.build.op("reshape", net.build.op("reduce_mean", x, axes=(1, 2), keepdims=True), shape=(1, 64))
    net.done(*(net.build.op("matmul", mean, net.const(64, classes)) for _ in range(2)))
    return net.graph, [op for op in net.graph.ops if op.kind == "matmul"]


def test_only_small_last_products_are_spared() -> None:
    (few, classifiers), (many, _) = network(3), network(1000)
    assert last_products(few, operators_on_bytes(few), (), ISA) == classifiers
    assert last_products(many, operators_on_bytes(many), (), ISA) == [], "their weights would be most of the model's"
    kept = operators_on_bytes(few, classifiers)
    assert last_products(few, kept, classifiers, ISA) == [], "the convolutions cost more in floats"


def test_what_sums_read_is_spared_next() -> None:
    few, classifiers = network(3)
    chosen = operators_on_bytes(few)
    assert last_sums(few, chosen, (), ISA) == [], "products on bytes are behind the mean"
    kept = operators_on_bytes(few, classifiers)
    (mean,) = last_sums(few, kept, classifiers, ISA)
    assert (mean.kind, mean in kept) == ("reduce_mean", True)


def test_a_mean_of_one_large_channel_is_spared(tmp_path: Path) -> None:
    """Its range is that of a channel that the classifier hardly looks at."""
    rng = np.random.default_rng(0)
    constants = {"a": rng.standard_normal((64, 16, 3, 3)), "b": rng.standard_normal((64, 64, 3, 3)) / 16,
                 "c": rng.standard_normal((64, 4))}  # fmt: skip
    constants["b"][0] *= 100
    constants["c"][0] *= 0.01
    pads = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["1"], pads=pads), helper.make_node("Relu", ["1"], ["2"]),
        helper.make_node("Conv", ["2", "b"], ["3"], pads=pads, strides=[4, 4]), helper.make_node("Relu", ["3"], ["4"]),
        helper.make_node("GlobalAveragePool", ["4"], ["5"]), helper.make_node("Flatten", ["5"], ["6"]),
        helper.make_node("MatMul", ["6", "c"], ["y"]),
    ]  # fmt: skip
    model = made(nodes, {k: v.astype(np.float32) for k, v in constants.items()}, {"x": (1, 16, 16, 16)}, {"y": 1})
    found = {}
    for force in (False, True):
        options = BuildOptions(precision="int8", force=force, verify_inputs=1, observer="minmax")
        found[force] = build(written(model, tmp_path), "host", tmp_path / str(force), options).receipt["quantization"]
    assert [(k["op"].split()[0], k["code"]) for k in found[False]["kept_in_floats"]] == [
        ("matmul", "LAST_ROUNDING"), ("reduce_mean", "LAST_ROUNDING"),
    ]  # fmt: skip
    assert found[False]["operators_in_floats"].keys() >= {"matmul", "reduce_mean"}
    assert found[True]["kept_in_floats"] == []
    spared, forced = (found[force]["trials"]["tried"][0]["signal_to_noise_db"] for force in (False, True))
    assert spared > forced + 3
