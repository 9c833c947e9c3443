"""Origins: what a value is of a tensor, through transposes, reshapes and the passes that put them there."""

from __future__ import annotations

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.origin import Origin, Scaled
from edgec.ir.types import Type
from edgec.passes import PASSES


def test_views_by_numpy() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    origin = Origin("t").seen("transpose", (0, 2, 3, 1)).seen("transpose", (3, 0, 2, 1)).seen("reshape", (12, 10))
    seen = x.transpose(0, 2, 3, 1).transpose(3, 0, 2, 1).reshape(12, 10)
    np.testing.assert_array_equal(origin.of(x), seen)
    assert len(origin.views) == 2
    assert Origin("t").seen("transpose", (0, 2, 3, 1)).seen("transpose", (0, 3, 1, 2)) == Origin("t")
    assert str(Origin("t").seen("transpose", (1, 0))) == "t transpose(1,0)"


def test_operand_undoes_the_view() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    turned = x.transpose(2, 0, 1)  # the tensor of the model; x is what it was made of
    np.testing.assert_array_equal(Origin("t").operand("transpose", (2, 0, 1), x.shape).of(turned), x)
    np.testing.assert_array_equal(Origin("t").operand("reshape", (6, 4), x.shape).of(x.reshape(6, 4)), x)


def test_the_layout_pass_hands_on() -> None:
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, 3, 5, 7)))
    weights = b.const(np.ones((4, 3, 1, 1), np.float32))
    y = b.op("conv", x, weights, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1))
    z = b.op("relu", y)
    y.origin, z.origin = Origin("y"), Origin("z")
    graph.outputs = [("z", z)]
    PASSES["to_channels_last"](graph)
    PASSES["sink_transposes"](graph)
    PASSES["remove_dead_code"](graph)
    found = {op.kind: op.result.origin for op in graph.ops if op.kind != "transpose"}
    last = ("transpose", (0, 2, 3, 1))
    assert found == {"conv": Origin("y", (last,)), "relu": Origin("z", (last,))}
    PASSES["fuse_activation"](graph)  # the convolution makes another value now
    assert [op.result.origin for op in graph.ops if op.kind == "conv"] == [Origin("z", (last,))]


def test_a_fused_activation_without_a_name_leaves_none() -> None:
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (4,)))
    y = b.op("add", x, x)
    y.origin = Origin("y")
    graph.outputs = [("z", b.op("neg", b.op("relu", y)))]
    PASSES["fuse_activation"](graph)
    assert y.op is not None
    assert y.op.attrs["act"] == "relu"
    assert y.origin is None


def test_bytes_that_stand_for_a_tensor() -> None:
    """Channels that were divided by 2 and 4, stored in steps of a half from 3 on."""
    scaled = Scaled((0.5,), 3).times((2.0, 4.0))
    np.testing.assert_array_equal(scaled.of(np.array([[3, 4], [5, 2]], np.uint8)), [[0.0, 2.0], [2.0, -2.0]])


def test_what_stands_for_a_value_is_scaled_as_it_is() -> None:
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (2, 3)))
    y = b.op("transpose", b.op("relu", x), perm=(1, 0))
    z = b.op("tanh", b.op("transpose", x, perm=(1, 0)))
    z.origin, z.scaled = Origin("z"), Scaled((2.0,))
    y.stand_for(z)
    assert (y.origin, y.scaled) == (Origin("z"), Scaled((2.0,)))
    under = y.op and y.op.arg(0)
    assert under is not None
    assert under.origin is None
