"""Which operators stay in floats because bytes would not be faster, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from network import Network
from test_build import EXAMPLES, MODEL

import edgec
from edgec.ir.graph import Value
from edgec.no_regret import slower_on_bytes
from edgec.quantize import operators_on_bytes
from edgec.targets.arm import target as arm

SHAPES = {"input": (1, 1, 28, 28)}


def conv(net: Network, x: Value, results: int, kernel: int) -> Value:
    form: Any = dict(strides=(1, 1), pads=(kernel // 2,) * 4, dilations=(1, 1), groups=1, layout="nhwc")
    return net.build.op("conv", x, net.const(results, x.type.dims[3], kernel, kernel), net.const(results), **form)


def kept(net: Network, cpu: str) -> list[tuple[str, str]]:
    """Names of results and codes."""
    isa = arm.choose(cpu).isa
    found = slower_on_bytes(net.graph, operators_on_bytes(net.graph), isa)
    return [(f"{k.op.arg(1).type.dims[2]}x{k.op.arg(1).type.dims[3]}", k.code) for k in found]


def test_winograd_without_dot_products() -> None:
    net = Network(1)
    x = conv(net, net.floats(1, 28, 28, 64), 64, 1)
    for _ in range(3):
        x = conv(net, x, 64, 3)
    net.done(conv(net, x, 64, 1))
    assert kept(net, "cortex-a76") == []
    assert ("3x3", "WINOGRAD_CHEAPER") in kept(net, "cortex-a72")
    assert sum(code == "WINOGRAD_CHEAPER" for _, code in kept(net, "cortex-a72")) == 3


def test_conversions_cost() -> None:
    """A layer of few products between two that stay in floats gains less than its bytes cost to make."""
    net = Network(1)
    x = net.build.op("softmax", net.floats(1, 28, 28, 16), axis=3)
    net.done(net.build.op("softmax", conv(net, x, 16, 1), axis=3))
    assert kept(net, "cortex-a72") == [("1x1", "CONVERSION_BOUND")]


def test_a_shared_conversion_is_paid_once() -> None:
    """One reader of a value does not pay for its encoding; several do."""

    def readers(count: int) -> int:
        net = Network(1)
        x = net.build.op("softmax", net.floats(1, 28, 28, 128), axis=3)
        for _ in range(count):
            net.done(conv(net, x, 8, 1))
        return len(kept(net, "cortex-a76"))

    assert readers(1) == 1
    assert readers(6) == 0


def test_sums_too_short() -> None:
    net = Network(1)
    x = conv(net, net.floats(1, 64, 64, 1), 4, 1)
    net.done(conv(net, x, 1, 1))
    assert {code for _, code in kept(net, "cortex-a76")} <= {"REQUANT_BOUND", "CONVERSION_BOUND"}
    assert kept(net, "cortex-a76")


@pytest.mark.parametrize("force", [False, True])
def test_a_build_is_never_dearer_than_floats(force: bool, tmp_path: Path) -> None:
    """The example on a core without dot products, whose convolutions Winograd does faster in floats."""
    options: dict[str, Any] = {"shapes": SHAPES, "verify_inputs": 1}
    narrow = {"precision": "int8", "calib": str(EXAMPLES / "fashion_mnist_calib.npz"), "force": force}
    int8 = edgec.compile(MODEL, "arm:cortex-a72", tmp_path / "int8", **options, **narrow)
    wide = edgec.compile(MODEL, "arm:cortex-a72", tmp_path / "float", **options)
    facts = int8["quantization"]
    cheaper = int8["verification"]["instructions"] <= wide["verification"]["instructions"]
    assert cheaper != force
    assert (facts["macs_share"] == 1.0) == force
    codes = {row["code"] for row in facts["kept_in_floats"]}
    assert codes == (set() if force else {"NO_DOTPROD", "WINOGRAD_CHEAPER"})
    assert all(row["instructions_in_floats"] > 0 and row["why"] for row in facts["kept_in_floats"])
    if not force:
        islands = int8["verification"]["float_islands"]
        assert islands["pass"]
        assert 0 < islands["islands"] < islands["bytes"]
