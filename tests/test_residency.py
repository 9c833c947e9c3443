"""What of a package is known to leave the Neural Engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from network import Network

from edgec.artifact import staged_files
from edgec.passes.quantize_weights import quantize_weights
from edgec.residency import CHECKS, leaving
from edgec.runtime.coreml.package import read_package
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import emit
from edgec.targets.coreml.residency import residency

PLAIN: dict[str, Any] = {"pads": (0, 0, 0, 0), "dilations": (1, 1), "layout": "nchw"}


def found(net: Network, halves: bool = True, deployment: str = "ios18") -> set[tuple[str, str]]:
    """(kind, beginning of the reason) of all rows."""
    with staged_files(package_files(emit(net.graph.module, choose(deployment), halves))) as folder:
        _, rows = leaving(read_package(folder))
    return {(row.kind, row.why.split(":")[0]) for row in rows}


def convolution(kernel: int, width: int, halves: bool = True) -> set[tuple[str, str]]:
    net = Network(3)
    y = net.build.op("conv", net.floats(1, 4, kernel, width), net.const(8, 4, 1, kernel), strides=(1, 1), **PLAIN)
    net.named("y", y)
    return found(net, halves)


def test_limits_of_convolutions() -> None:
    assert convolution(13, 64) == set()
    assert convolution(14, 64) == {("conv", "convolutions there have kernels at most 13 wide")}
    assert convolution(1, 16384) == set()
    assert convolution(1, 16385) == {("conv", "heights, widths and lengths of sums are at most 16384 up to A15")}
    assert convolution(1, 64, halves=False) == {("conv", "arithmetic there is on halves")}


def test_advice_of_halves_is_for_packages_without_any() -> None:
    """An operator that --fix keeps in float32 leaves all the same, and is not to be built in halves."""
    net = Network(3)
    kept = net.build.op("mul", net.floats(2, 8), net.build.const(np.float32(3.0)))
    net.named("y", net.build.op("tanh", kept))
    said = {}
    for name, halves, wide in (("float32", False, ()), ("fixed", True, (kept.op,))):
        emitted = emit(net.graph.module, choose("ios18"), halves, wide)
        with staged_files(package_files(emitted)) as folder:
            said[name] = {(row.kind, row.why) for row in leaving(read_package(folder))[1]}
    assert said["fixed"] == {("mul", "arithmetic there is on halves")}
    advised = "arithmetic there is on halves: build with --precision fp16"
    assert said["float32"] == {("mul", advised), ("tanh", advised)}


def test_operators_without_a_form() -> None:
    net = Network(3)
    x = net.floats(2, 3, 4)
    net.named("y", net.build.op("reduce_prod", x, axes=(2,)))
    net.named("z", net.build.op("atanh", net.build.op("tanh", x)))
    assert found(net) == {
        ("reduce_prod", "products along an axis have no form there"),
        ("atanh", "these functions have no form there"),
    }


def test_every_row_has_a_check_and_a_source() -> None:
    table = residency()
    assert {known.subject for known in table.forms} == set(CHECKS)
    assert all(known.source.startswith("https://") for known in (*table.forms, *table.operators.values()))


def test_four_bit_blocks() -> None:
    net = Network(3)
    net.named("y", net.build.op("matmul", net.floats(2, 64), net.build.const(np.eye(64, dtype=np.float32))))
    assert quantize_weights(net.graph, format="i4", group=32, least=1)
    why = "weights of four bits in blocks send small graphs to the CPU"
    assert ("constexpr_blockwise_shift_scale", why) in found(net)
