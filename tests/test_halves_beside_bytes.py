"""INT8 on a core with arithmetic on halves: operators that are left in floats are halves where that pays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network import Network
from test_build import EXAMPLES, MODEL

import edgec
from edgec.halves_beside_bytes import halves_beside_bytes, held_by_halves
from edgec.ir.graph import Value
from edgec.targets.arm import target as arm

Array = np.ndarray[Any, Any]
A76 = arm.choose("cortex-a76")
CALIB = {"shapes": {"input": (1, 1, 28, 28)}, "precision": "int8", "calib": str(EXAMPLES / "fashion_mnist_calib.npz")}


def conv(net: Network, x: Value, kernel: int = 3) -> Value:
    form: Any = dict(strides=(1, 1), pads=(kernel // 2,) * 4, dilations=(1, 1), groups=1, layout="nhwc")
    channels = x.type.dims[3]
    return net.build.op("conv", x, net.const(channels, channels, kernel, kernel), net.const(channels), **form)


def samples(*values: Value, scale: float = 1.0) -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    return [{v.name: (scale * rng.standard_normal(v.type.dims)).astype(np.float32) for v in values}]


def test_what_halves_cannot_hold() -> None:
    net = Network(1)
    x = net.floats(1, 8, 8, 16)
    net.done(conv(net, x))
    ops = net.graph.ops
    assert held_by_halves(net.graph, ops, samples(x)) == set(ops)
    assert held_by_halves(net.graph, ops, samples(x, scale=1e4)) == set()


def test_halves_where_they_pay() -> None:
    """A convolution pays for its casts, a sum of two inputs does not."""
    net = Network(1)
    x, y = net.floats(1, 32, 32, 32), net.floats(1, 32, 32, 32)
    net.done(conv(net, x))
    net.done(net.build.op("add", x, y))
    facts = halves_beside_bytes(net.graph.module, A76, net.graph, samples(x, y))
    assert [op.kind for op in net.graph.ops if op.result.type.dtype == "f16"] == ["cast", "conv"]
    assert [row["code"] for row in facts["refused"]] == ["CAST_BOUND"]
    assert facts["macs_share"] == 1.0


def test_the_example(tmp_path: Path) -> None:
    """Three of its convolutions cost less in halves by Winograd's algorithm, and all together least."""
    spent = {}
    ways: dict[str, dict[str, Any]] = {"mixed": {}, "bytes": {"force": True}, "halves": {"precision": "fp16"}}
    for name, options in ways.items():
        receipt = edgec.compile(MODEL, "arm:cortex-a76", tmp_path / name, **{**CALIB, **options}, verify_inputs=2)
        spent[name] = receipt["verification"]["instructions"]
        if name == "mixed":
            facts, verification = receipt["quantization"], receipt["verification"]
    assert spent["mixed"] < min(spent["bytes"], spent["halves"])
    assert {"HALVES_CHEAPER"} <= {row["code"] for row in facts["kept_in_floats"]}
    assert all(row["instructions_in_halves"] for row in facts["kept_in_floats"] if row["code"] == "HALVES_CHEAPER")
    assert facts["halves"]["operators_in_halves"] > 0
    assert facts["macs_share"] + facts["halves"]["macs_share"] == pytest.approx(1.0, abs=1.5e-4), "each is rounded"
    assert facts["operators_in_floats"] == {}, "the mean is on bytes, and the last product in halves"
    assert ("matmul", "LAST_ROUNDING") in {(row["op"].split()[0], row["code"]) for row in facts["kept_in_floats"]}
    assert verification["float_islands"]["least_signal_to_noise_db"] > 40
    assert verification["pass"]
