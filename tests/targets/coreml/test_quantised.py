"""Quantisation that operators say, in the evaluator against the interpreter: bytes exactly."""

from __future__ import annotations

import numpy as np
import pytest
from coreml_run import agree, evaluated
from network import Network

from edgec.ir.types import DTYPES, Quant, Type
from edgec.targets.coreml.deployment import DEPLOYMENTS


@pytest.mark.parametrize("name", DEPLOYMENTS)
@pytest.mark.parametrize("dtype", ["i8", "u8", "i16", "u16"])
def test_bytes(dtype: str, name: str) -> None:
    net = Network(1)
    info = np.iinfo(DTYPES[dtype])
    halves = np.arange(-6, 7) * 0.25  # every other one a tie
    far = [1e9, -1e9, np.inf, -np.inf, 0.3]
    x = net.source([*halves, *far])
    for zero in (info.min, info.max, (info.min + info.max + 1) // 2):
        scale = net.build.const(np.float32(0.5))
        steps = net.op("quantize", x, scale, net.build.const(np.array(zero), dtype))
        net.op("dequantize", steps, scale, net.build.const(np.array(zero), dtype))
    # scales that are known at run time only
    steps = net.op("quantize", x, net.source(0.7), net.source(info.max // 2, dtype))
    net.op("dequantize", steps, net.source(0.1), net.source(info.max // 3, dtype))
    agree(net, name)


def test_along_an_axis() -> None:
    net = Network(2)
    x = net.floats(2, 3, 4)
    for axis in range(3):
        n = x.type.dims[axis]
        scale = net.build.const(net.rng.uniform(0.01, 0.1, n), "f32")
        zero = net.build.const(net.rng.integers(-50, 50, n), "i8")
        steps = net.op("quantize", x, scale, zero, axis=axis)
        net.op("dequantize", steps, scale, zero, axis=axis)
        net.op("dequantize", steps, scale, net.build.const(np.zeros(n), "i8"), axis=axis, to="f16")
    agree(net)


@pytest.mark.parametrize("axis", [-1, 2])
def test_more_than_five_axes(axis: int) -> None:
    net = Network(6)
    x = net.build.op("reshape", net.floats(96), shape=(2, 2, 3, 2, 2, 2))
    shape = () if axis < 0 else (3,)
    scale, zero = net.build.const(net.rng.uniform(0.01, 0.1, shape), "f32"), net.build.const(np.full(shape, -9), "i8")
    steps = net.build.op("quantize", x, scale, zero, axis=axis)
    net.op("reshape", steps, shape=(96,))
    net.op("reshape", net.build.op("dequantize", steps, scale, zero, axis=axis), shape=(96,))
    agree(net)


def test_a_wide_sum_becomes_a_float() -> None:
    net = Network(3)
    sums = net.source([2**31 - 1, -(2**31), 16777217, 0], "i32")
    net.op("dequantize", sums, net.build.const(np.float32(1e-3)), net.build.const(np.array(0), "i32"))
    agree(net)


def test_steps_are_counted_in_float32_among_halves() -> None:
    """65535 steps are more than a half holds, and 0.1 is another number in halves."""
    net = Network(4)
    x = net.source([0.0, 1.0, 100.0, 6553.5])
    scale, zero = net.build.const(np.float32(0.1)), net.build.const(np.array(0), "u16")
    net.op("dequantize", net.op("quantize", x, scale, zero), scale, zero)
    found = evaluated(net.graph, net.feeds, halves=True)
    assert found["y0"].tolist() == [0, 10, 1000, 65535]
    assert found["y1"].tolist() == [0.0, 1.0, 100.0, 6552.0]  # 6553.5 is no half


@pytest.mark.parametrize("name", ["ios16", "ios17", "ios18"])
def test_a_layer_whose_scale_is_no_half(name: str) -> None:
    """Its weights are decoded in float32 and cast, and MIL's linear takes constants alone."""
    net = Network(5)
    module = net.graph.module
    scale, zero = module.intern(np.float32(0.1) * np.ones((), np.float32)), module.intern(np.zeros((), np.int8))
    codes = net.rng.integers(-128, 128, (3, 8)).astype(np.int8)
    weights = net.graph.encoded(codes, Type("f32", (3, 8), (Quant("i8", scale, zero),)))
    net.op("matmul", net.floats(2, 8), weights, net.const(3), trans_b=True)
    agree(net, name)
    agree(net, name, halves=True)
