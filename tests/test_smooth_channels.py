"""smooth_channels moves scales of channels into weights: results stay, channels change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from network import Network

from edgec.ir.graph import Value
from edgec.ir.verify import verify_module
from edgec.smooth_channels import is_absorbed, smooth_channels

PLAIN: dict[str, Any] = {"strides": (1, 1), "dilations": (1, 1), "layout": "nhwc"}
SCALES = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0])


def normed(net: Network, kind: str, own: int = 0) -> Value:
    return net.build.op(kind, net.floats(1, 5, 5, 6), *(net.const(6) for _ in range(own)), axis=3, eps=1e-5)


@pytest.mark.parametrize(("kind", "own"), [("layer_norm", 2), ("layer_norm", 1), ("rms_norm", 1), ("rms_norm", 0)])
def test_a_norm_that_only_products_read_is_divided_itself(kind: str, own: int) -> None:
    net = Network(0)
    x = normed(net, kind, own)
    net.done(net.build.op("matmul", x, net.const(6, 3)), net.build.op("matmul", x, net.const(4, 6), trans_b=True))
    before, count = net.expected(), len(net.graph.ops)
    assert x.op is not None
    old = [net.graph.array(v) for v in x.op.inputs[1:] if v is not None] or [np.ones(6)]
    readers = net.graph.ops[1:]
    assert is_absorbed(net.graph, x, readers)
    assert not is_absorbed(net.graph, x, readers[:1]), "the other one would read other numbers"
    assert smooth_channels(net.graph, {x: (SCALES, readers)}) == {x: x}
    verify_module(net.graph.module)
    assert len(net.graph.ops) == count
    for array, new in zip(old, x.op.inputs[1:], strict=True):
        assert new is not None
        np.testing.assert_allclose(net.graph.array(new), array / SCALES, rtol=1e-6)
    assert x.scaled is not None
    np.testing.assert_allclose(x.scaled.scale, SCALES)
    for name, array in net.expected().items():
        np.testing.assert_allclose(array, before[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_any_other_value_is_divided_in_front_of_them(groups: int) -> None:
    net = Network(groups)
    x = net.build.op("tanh", net.floats(1, 5, 5, 6))
    wide = net.build.op("conv", x, net.const(6, 6 // groups, 3, 3), None, **PLAIN, pads=(1, 1, 1, 1), groups=groups)
    net.done(wide, net.build.op("exp", x), net.build.op("matmul", x, net.const(6, 3)))
    before = net.expected()
    readers = [op for op in net.graph.ops if op.kind in ("conv", "matmul")]
    assert not is_absorbed(net.graph, x, readers)
    made = smooth_channels(net.graph, {x: (SCALES, readers)})[x]
    verify_module(net.graph.module)
    assert made.op is not None
    assert (made.op.kind, made.op.arg(0)) == ("mul", x)
    assert [op.arg(0) for op in readers] == [made, made]
    assert next(op for op in net.graph.ops if op.kind == "exp").arg(0) is x, "what else reads it reads what it read"
    for name, array in net.expected().items():
        np.testing.assert_allclose(array, before[name], rtol=1e-4, atol=1e-5)


def test_an_input_and_an_output_are_no_norm_to_divide() -> None:
    net = Network(1)
    x = normed(net, "layer_norm")
    net.done(net.build.op("matmul", x, net.const(6, 3)), x)
    readers = [net.graph.ops[1]]
    assert not is_absorbed(net.graph, x, readers), "who reads the output reads the norm as it was"
    assert not is_absorbed(net.graph, net.graph.inputs[0], readers)
    made = smooth_channels(net.graph, {x: (SCALES, readers)})[x]
    assert made is not x
    assert net.graph.outputs[1][1] is x
