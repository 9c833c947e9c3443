"""Squares and roots stay in floats where bytes there make most of the noise, and floats cost little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from network import Network
from onnx import helper
from quantised import made, written

from edgec.driver import build
from edgec.ir.graph import Graph
from edgec.options import BuildOptions
from edgec.quantize import operators_on_bytes
from edgec.spread_rounding import spreads_to_spare
from edgec.targets.arm import target as arm

ISA = arm.choose("cortex-a76").isa


def spectrum(width: int) -> Graph:
    """The length of complex numbers, and a product as wide as said."""
    net = Network(5)
    x = net.floats(8, 32)
    parts = [net.build.op("matmul", x, net.const(32, 32)) for _ in range(2)]
    power = net.build.op("add", *(net.build.op("mul", part, part) for part in parts))
    gated = net.build.op("mul", net.build.op("sqrt", power), parts[0])
    net.named("y", net.build.op("matmul", gated, net.const(32, width)))
    return net.graph


def test_only_what_spreads_and_is_cheap() -> None:
    wide, narrow = spectrum(4096), spectrum(8)
    found = spreads_to_spare(wide, operators_on_bytes(wide), (), ISA)
    assert [op.kind for op in found] == ["mul", "mul", "sqrt"], "a product of two values spreads no more than either"
    assert spreads_to_spare(narrow, operators_on_bytes(narrow), (), ISA) == []


def test_the_power_of_a_spectrum(tmp_path: Path) -> None:
    """Lines of a spectrum are up to a thousand times as loud as others, and its root is what counts."""
    rng = np.random.default_rng(0)
    loud = np.exp(rng.uniform(-3.5, 3.5, 64))
    constants = {"re": rng.standard_normal((32, 64)) * loud, "im": rng.standard_normal((32, 64)) * loud,
                 "w": rng.standard_normal((64, 4096)) / loud[:, None]}  # fmt: skip
    nodes = [
        helper.make_node("MatMul", ["x", "re"], ["a"]), helper.make_node("MatMul", ["x", "im"], ["b"]),
        helper.make_node("Mul", ["a", "a"], ["aa"]), helper.make_node("Mul", ["b", "b"], ["bb"]),
        helper.make_node("Add", ["aa", "bb"], ["power"]), helper.make_node("Sqrt", ["power"], ["length"]),
        helper.make_node("MatMul", ["length", "w"], ["y"]),
    ]  # fmt: skip
    model = made(nodes, {k: v.astype(np.float32) for k, v in constants.items()}, {"x": (4, 32)}, {"y": 1})

    def receipt(force: bool) -> dict[str, Any]:
        options = BuildOptions(precision="int8", force=force, verify_inputs=1, observer="minmax")
        return dict(build(written(model, tmp_path), "host", tmp_path / str(force), options).receipt["quantization"])

    floats, bytes_ = receipt(force=False), receipt(force=True)
    kept = [(row["op"].split()[0], row["code"]) for row in floats["kept_in_floats"]]
    assert [kind for kind, code in kept if code == "SPREAD_ROUNDING"] == ["mul", "mul", "sqrt"]
    first, last = (facts["trials"]["tried"][-1]["signal_to_noise_db"] for facts in (bytes_, floats))
    assert last > first + 6
