"""Which values on bytes have one scale."""

from __future__ import annotations

from typing import Any

import pytest
from network import Network

from edgec.grids import grid_of, grids_of
from edgec.ir.graph import Value
from edgec.quantize import operators_on_bytes

PLAIN: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "layout": "nhwc"}
POOL: dict[str, Any] = PLAIN | {"kernel": (2, 2), "strides": (2, 2)}


def conv(net: Network, x: Value) -> Value:
    return net.build.op("conv", x, net.const(4, x.type.dims[3], 1, 1), **PLAIN)


def test_a_part_of_a_concat_that_is_read_elsewhere() -> None:
    """It keeps its own steps where the concat's are much coarser; what only goes into the concat has the concat's."""
    net = Network(3)
    small = conv(net, net.floats(1, 4, 4, 4))
    large = conv(net, small)
    joined = net.build.op("concat", small, large, axis=3)
    net.named("y", conv(net, joined))
    chosen = operators_on_bytes(net.graph)
    x = net.graph.inputs[0]
    known = {x: (-1.0, 1.0), small: (0.0, 1.0), large: (0.0, 37.0), joined: (0.0, 37.0)}
    grids = grids_of(net.graph, chosen, known, "u8")
    assert grids[small] == grid_of(0.0, 1.0, "u8")
    assert grids[large] == grids[joined] == grid_of(0.0, 37.0, "u8")
    grids = grids_of(net.graph, chosen, known | {large: (0.0, 1.8), joined: (0.0, 1.8)}, "u8")
    assert grids[small] == grids[large] == grids[joined], "less than a bit is not worth another pass"


def test_a_part_that_a_pool_moves() -> None:
    """The pool and what it reads have one scale, which an operator beside the concat decides."""
    net = Network(3)
    small = conv(net, net.floats(1, 4, 4, 4))
    pooled = net.build.op("max_pool", small, **POOL)
    net.named("side", conv(net, small))
    large = conv(net, net.floats(1, 2, 2, 4))
    joined = net.build.op("concat", pooled, large, axis=3)
    net.named("y", conv(net, joined))
    chosen = operators_on_bytes(net.graph)
    known = {small: (0.0, 1.0), pooled: (0.0, 1.0), large: (0.0, 9.0), joined: (0.0, 9.0)}
    grids = grids_of(net.graph, chosen, known, "u8")
    assert grids[small] == grids[pooled] == grid_of(0.0, 1.0, "u8")
    assert grids[large] == grids[joined] == grid_of(0.0, 9.0, "u8")


@pytest.mark.parametrize("value", [-3.4e38, -1e4])
def test_padding_below_all_that_a_pool_compares(value: float) -> None:
    """As exporters write max pools with padding: it takes no steps from the rest. What a convolution reads does."""
    net = Network(3)
    made = conv(net, net.floats(1, 3, 3, 4))
    padded = net.build.op("pad", made, before=(0, 0, 0, 0), after=(0, 1, 1, 0), value=value, mode="constant")
    pooled = net.build.op("max_pool", padded, **POOL)
    net.named("y", conv(net, pooled))
    known = {made: (-2.0, 3.0), padded: (value, 3.0), pooled: (-1.0, 3.0)}
    grids = grids_of(net.graph, operators_on_bytes(net.graph), known, "u8")
    assert set(grids.values()) == {grid_of(-2.0, 3.0, "u8")}
    net.named("z", conv(net, padded))
    grids = grids_of(net.graph, operators_on_bytes(net.graph), known, "u8")
    assert set(grids.values()) == {grid_of(value, 3.0, "u8")}
