"""Convolution, pooling and matmul kernels against the interpreter, many forms in one compiled unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import HOSTS, PLAIN, TARGETS, compiled
from network import Network

from edgec.runtime.session import load

# (image NHWC, kernel OIHW, strides, pads, dilations, groups, act, residual)
CONVS = [
    ((1, 8, 8, 3), (16, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, "relu", False),
    ((1, 9, 7, 3), (5, 3, 3, 3), (2, 2), (0, 0, 1, 1), (1, 1), 1, "", False),
    ((2, 5, 5, 8), (24, 8, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1, "clip:0.0:6.0", True),
    ((1, 13, 11, 8), (70, 8, 1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1, "silu", False),
    ((1, 10, 10, 12), (12, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 12, "relu", False),
    ((1, 10, 11, 20), (20, 1, 3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 20, "", False),
    ((1, 10, 10, 33), (33, 1, 5, 5), (1, 1), (2, 2, 2, 2), (1, 1), 33, "hard_swish", True),
    ((1, 10, 9, 26), (26, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 26, "clip:0.0:6.0", False),
    ((1, 9, 13, 16), (16, 1, 3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 16, "relu", False),
    ((1, 7, 17, 32), (32, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 32, "", True),
    ((1, 9, 9, 24), (24, 1, 5, 5), (2, 2), (2, 2, 2, 2), (1, 1), 24, "relu", False),
    ((1, 6, 6, 7), (7, 1, 7, 7), (1, 1), (3, 3, 3, 3), (1, 1), 7, "", False),
    ((1, 4, 4, 8), (8, 1, 3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 8, "", False),
    ((1, 5, 3, 8), (8, 1, 3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 8, "", False),
    ((1, 1, 31, 19), (19, 1, 1, 7), (1, 1), (0, 12, 0, 12), (1, 4), 19, "relu", True),
    ((1, 12, 12, 8), (12, 4, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 2, "relu", True),
    ((1, 12, 12, 6), (9, 6, 3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 1, "gelu", False),
    ((1, 1, 40, 5), (6, 5, 1, 9), (1, 2), (0, 4, 0, 4), (1, 1), 1, "tanh", False),
    ((1, 6, 6, 4), (4, 4, 3, 3), (1, 1), (-1, 0, -1, 0), (1, 1), 1, "", False),
    ((1, 20, 1, 4), (130, 4, 3, 1), (1, 1), (1, 0, 1, 0), (1, 1), 1, "sigmoid", False),
]
# (image, kernel CIHW, strides, pads, dilations, groups, output_padding)
TRANSPOSED = [
    ((1, 4, 4, 6), (6, 5, 2, 2), (2, 2), (0, 0, 0, 0), (1, 1), 1, (0, 0)),
    ((1, 5, 3, 6), (6, 4, 3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 1, (1, 1)),
    ((2, 3, 3, 4), (4, 2, 3, 3), (1, 1), (0, 0, 0, 0), (2, 2), 2, (0, 0)),
    ((1, 3, 3, 2), (2, 3, 1, 1), (3, 3), (0, 0, 0, 0), (1, 1), 1, (1, 2)),
]
# (kind, image, kernel, strides, pads, dilations, extra)
POOLS: list[Any] = [
    ("max_pool", (1, 9, 9, 5), (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), {}),
    ("max_pool", (1, 8, 8, 20), (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), {}),
    ("avg_pool", (1, 9, 9, 17), (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), {}),
    ("avg_pool", (1, 9, 8, 4), (3, 3), (2, 2), (1, 1, 2, 2), (1, 1), {"count_include_pad": True, "ceil_pads": (1, 1)}),
]
MATMULS = [((7, 5), (5, 9)), ((2, 3, 6, 10), (2, 3, 10, 4)), ((1, 300), (300, 257)), ((4, 1, 8, 8), (3, 8, 8))]


def _network() -> Network:
    net = Network(1)
    for image, kernel, strides, pads, dilations, groups, act, residual in CONVS:
        attrs: Any = dict(strides=strides, pads=pads, dilations=dilations, groups=groups, layout="nhwc", act=act)
        operands = [net.floats(*image), net.const(*kernel), net.const(kernel[0])]
        if residual:
            plain = net.build.op("conv", *operands, **{**attrs, "act": ""})
            operands.append(net.floats(*plain.type.dims))
        net.op("conv", *operands, **attrs)
    for image, kernel, strides, pads, dilations, groups, extra in TRANSPOSED:
        attrs = dict(strides=strides, pads=pads, dilations=dilations, groups=groups, layout="nhwc")
        operands = [net.floats(*image), net.const(*kernel), net.const(kernel[1] * groups)]
        net.op("conv_transpose", *operands, **attrs, output_padding=extra, act="relu")
    for kind, image, size, strides, pads, dilations, more in POOLS:
        window: Any = dict(kernel=size, strides=strides, pads=pads, dilations=dilations, layout="nhwc")
        net.op(kind, net.floats(*image), **window, **more)
    for left, right in MATMULS:
        net.op("matmul", net.floats(*left), net.floats(*right))
        net.op("matmul", net.floats(*left), net.const(*right), net.const(right[-1]), act="relu")
        net.op("matmul", net.floats(*left), net.floats(*right[:-2], right[-1], right[-2]), trans_b=True)
    return net


@pytest.mark.parametrize("target", TARGETS)
def test_against_interpreter(target: str, tmp_path: Path) -> None:
    _network().check(target, tmp_path)


def test_threads_change_no_bit(tmp_path: Path) -> None:
    net = _network()
    with compiled(net.graph, HOSTS[0], tmp_path) as one:
        alone = one.run(None, net.feeds)
    with load(tmp_path, threads=3) as several:
        for a, b in zip(alone, several.run(None, net.feeds), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("target", PLAIN)
def test_a_constant_image(target: str, tmp_path: Path) -> None:
    """Too dear to fold, it stands in the graph; a block cannot ask for its rows."""
    net = Network(4)
    attrs: Any = dict(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1, layout="nhwc")
    y = net.build.op("conv", net.floats(1, 9, 8, 5), net.const(7, 5, 3, 3), **attrs)
    net.graph.ops[-1].inputs[0] = net.const(1, 9, 8, 5)
    net.op("conv", y, net.const(6, 7, 3, 3), **attrs)
    net.check(target, tmp_path)
