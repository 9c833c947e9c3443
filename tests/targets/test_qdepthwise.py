"""Depthwise convolution of bytes against the interpreter, bit by bit, many forms in one compiled unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import compiled
from network import Network
from test_qconv import TARGETS, _bytes, _requant, _weights, _zero, check, isa_of

from edgec.targets.c.isa import Isa

# (rows, columns, channels, kernel, strides, pads, dilations, x_zero, spread): channels below, at and above a register
# of each instruction set, columns below and above the pixels that are in flight
FORMS: list[Any] = [
    *((7, 9, c, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 0.3, 1) for c in (1, 3, 4, 8, 12, 16, 17, 24, 32, 48, 64, 65)),
    *((9, 11, c, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 0.6, 1) for c in (5, 16, 24, 32, 40, 64, 96, 144)),
    *((6, w, 32, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 0.2, 1) for w in range(1, 9)),
    *((6, w, 16, (3, 3), (2, 2), (0, 0, 1, 1), (1, 1), 0.2, 1) for w in range(2, 9)),
    *((6, w, 64, (5, 5), (1, 1), (2, 2, 2, 2), (1, 1), 0.9, w % 2) for w in range(1, 12)),
    *((7, w, 20, (5, 5), (2, 2), (2, 2, 2, 2), (1, 1), 0.1, w % 2) for w in range(1, 12)),
    (5, 30, 72, (5, 5), (1, 1), (2, 2, 2, 2), (1, 1), 1.0, 1),
    (14, 14, 8, (5, 5), (1, 1), (2, 2, 2, 2), (1, 1), 0.5, 1),
    (2, 14, 16, (5, 5), (1, 1), (4, 4, 4, 4), (1, 1), 0.5, 1),
    (6, 6, 7, (7, 7), (1, 1), (3, 3, 3, 3), (1, 1), 0.5, 1),
    (4, 4, 8, (3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 0.4, 1),
    (1, 31, 19, (1, 7), (1, 1), (0, 12, 0, 12), (1, 4), 0.3, 1),
    (8, 6, 70, (3, 1), (1, 1), (1, 0, 1, 0), (1, 1), 0.3, 1),
    (8, 6, 66, (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), 0.3, 0),
    (9, 9, 33, (3, 3), (1, 2), (-1, 0, -1, 2), (1, 1), 0.7, 0),
]


def network(isa: Isa) -> Network:
    net = Network(8)
    for i, (h, w, c, kernel, strides, pads, dilations, zero, spread) in enumerate(FORMS):
        attrs: Any = dict(strides=strides, pads=pads, dilations=dilations, groups=c, layout="nhwc",
                          x_zero=_zero(isa, zero))  # fmt: skip
        x, weights = _bytes(net, isa, 1 + i % 2, h, w, c, spread=spread), _weights(net, c, 1, *kernel, spread=spread)
        consts, bounds = _requant(net, isa, c, int(np.prod(kernel)))
        net.op("qconv", x, weights, *consts, **attrs, **bounds)
        if i % 4 == 0:
            net.op("qconv", x, weights, consts[0], **attrs)  # sums
    _extremes(net, isa)
    return net


def _extremes(net: Network, isa: Isa) -> None:
    """Sums at the ends of 32 bits and of what floats hold, ties, and the least shift, with which multipliers are
    largest."""
    c, low = 80, 0 if isa.byte == "u8" else -128
    wide = 2**31 - 3 * 10**5, -(2**31) + 3 * 10**5, 0, 1, -1, 5, -700, 40000
    exact = 2**24 - 2400, -(2**24) + 2400, 3 << 16, -3 << 16, 1 << 16, -1 << 16, 255 << 16, 4
    every = [(wide, m, s) for m, s in ((65535, 17), (1, 17), (65535, 31), (1, 31), (32768, 18), (49152, 24))]
    every += [(exact, m, s) for m, s in ((65535, 19), (1, 17), (32768, 18), (32768, 24), (40503, 23))]
    for limits, m, s in every:
        consts = [net.build.const(np.resize(v, c), "i32") for v in (limits, [m, 1], [s, 31])]
        weights = net.build.const(net.rng.integers(-1, 1, (c, 1, 3, 3), endpoint=True), "i8")
        net.op("qconv", _bytes(net, isa, 1, 5, 6, c), weights, *consts, strides=(1, 1), pads=(1, 1, 1, 1),
               dilations=(1, 1), groups=c, layout="nhwc", x_zero=_zero(isa, 0.5), lo=low, hi=low + 255,
               to=isa.byte)  # fmt: skip


@pytest.mark.usefixtures("scalar_host")
@pytest.mark.parametrize("target", TARGETS)
def test_against_interpreter(target: str, tmp_path: Path) -> None:
    check(network(isa_of(target)), target, tmp_path)


@pytest.mark.parametrize("target", ["host", "arm:cortex-a76", "arm:cortex-a72"])
def test_between_pointwise(target: str, tmp_path: Path) -> None:
    """In a block the image is a ring of rows, and bands of rows begin anywhere."""
    isa = isa_of(target)
    net = Network(11)
    value = _bytes(net, isa, 1, 40, 21, 16)
    for stride, size, wide, out in ((1, 3, 96, 24), (2, 5, 72, 40), (1, 5, 200, 16)):
        expand, each_one, project = (wide, value.type.dims[3], 1, 1), (wide, 1, size, size), (out, wide, 1, 1)
        for kernel in (expand, each_one, project):
            each, pad = kernel is each_one, kernel[2] // 2
            consts, bounds = _requant(net, isa, kernel[0], int(np.prod(kernel[1:])))
            value = net.build.op(
                "qconv", value, _weights(net, *kernel), *consts, strides=(stride, stride) if each else (1, 1),
                pads=(pad, pad, pad, pad), dilations=(1, 1), groups=wide if each else 1, layout="nhwc",
                x_zero=_zero(isa, 0.4), **bounds,
            )  # fmt: skip
    net.done(value)
    (expected,) = net.expected().values()
    for threads in (1, 3):
        with compiled(net.graph, target, tmp_path, threads=threads) as session:
            np.testing.assert_array_equal(session.run(None, net.feeds)[0], expected)
