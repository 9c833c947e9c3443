"""Quantising, and element-wise arithmetic, tables, sums and pooling of bytes, against the interpreter, bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import compiled
from network import Network
from test_qconv import TARGETS, _bytes, _zero, check, isa_of

from edgec.ir.types import DTYPES
from edgec.targets.c.isa import Isa

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 1e30, -1e30, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 127.5, -128.5]
LENGTHS = (1, 7, 16, 31, 64, 65, 200)
SMALL = ("i8", "u8", "i16", "u16")


def _all_bytes(net: Network, dtype: str, *shape: int) -> Any:
    info = np.iinfo(DTYPES[dtype])
    return net.source(net.rng.integers(info.min, info.max, shape, endpoint=True), dtype)


def _quantize(net: Network) -> None:
    build, rng = net.build, net.rng
    for dtype in SMALL:
        info = np.iinfo(DTYPES[dtype])
        for n, zero in zip((*LENGTHS, 9000), [info.min, info.max, 0, 3, 100, 7, info.max, 5], strict=True):
            values = np.concatenate([SPECIAL, rng.normal(0, 200 if dtype[1:] == "8" else 40000, n)])[-n:]
            # halves are ties: they show how a quotient rounds
            x = net.source(np.where(rng.random(n) < 0.3, np.rint(values * 2) / 2, values) if n < 9000 else values)
            net.op("quantize", x, build.const(1.0, "f32"), build.const(zero, dtype))
            net.op("quantize", x, build.const(0.37, "f32"), build.const(zero, dtype))
            if dtype in ("i8", "u8"):
                halves = build.op("cast", net.source(np.clip(values, -60000, 60000)), to="f16")
                net.op("quantize", halves, build.const(0.37, "f32"), build.const(zero, dtype))
        for scale in (np.float32(rng.uniform(0.003, 0.1)), np.float32(1.7e-42), np.float32(3e35)):
            # the numbers around each tie, where a quotient that is not rounded as a division's would tell
            ties = np.float32((np.arange(-300, 300) + 0.5) * float(scale))
            below, above = (np.nextafter(ties, np.float32(end)) for end in (-np.inf, np.inf))
            near = np.concatenate([below, ties, above])
            net.op("quantize", net.source(near), build.const(scale, "f32"), build.const(zero, dtype))
        whole = net.source(np.array(SPECIAL))
        net.op("quantize", whole, build.const(1.0, "f32"), build.const(info.min, dtype))
        net.op("quantize", whole, net.source(0.1), net.source(1, dtype))
        t = net.floats(2, 3, 5, 6)
        for axis in range(4):
            scales = rng.uniform(0.01, 0.1, t.type.dims[axis])
            zeros = rng.integers(info.min, info.max, t.type.dims[axis])
            net.op("quantize", t, build.const(scales, "f32"), build.const(zeros, dtype), axis=axis)


def _dequantize(net: Network) -> None:
    build, rng = net.build, net.rng
    for dtype in (*SMALL, "i32"):
        info = np.iinfo(DTYPES[dtype])
        for n in (*LENGTHS, 9000):
            zero = build.const(rng.integers(info.min, info.max, endpoint=True), dtype)
            net.op("dequantize", _all_bytes(net, dtype, n), build.const(rng.uniform(0.01, 2), "f32"), zero)
            scale = build.const(rng.uniform(0.01, 2) * 2.0 ** (8 - 8 * DTYPES[dtype].itemsize), "f32")
            net.op("dequantize", _all_bytes(net, dtype, n), scale, zero, to="f16")
        t = _all_bytes(net, dtype, 2, 3, 5, 33)
        for axis in range(4):
            scales = rng.uniform(0.01, 0.1, t.type.dims[axis])
            zeros = rng.integers(info.min, info.max, t.type.dims[axis])
            net.op("dequantize", t, build.const(scales, "f32"), build.const(zeros, dtype), axis=axis)
            small = scales * 2.0 ** (8 - 8 * DTYPES[dtype].itemsize)
            net.op("dequantize", t, build.const(small, "f32"), build.const(zeros, dtype), axis=axis, to="f16")
        net.op("dequantize", t, net.source(0.1), net.source(1, dtype))


def _bounds(isa: Isa, i: int) -> dict[str, Any]:
    low = 0 if isa.byte == "u8" else -128
    lo, hi = [(low, low + 255), (low + 3, low + 200), (low + 7, low + 255), (low, low + 31)][i % 4]
    return {"lo": lo, "hi": hi, "to": isa.byte}


def _elements(net: Network, isa: Isa) -> None:
    for i, n in enumerate((*LENGTHS, 9000)):
        x, z = _bytes(net, isa, n, spread=i % 3), _bytes(net, isa, n, spread=i % 2)
        for j, (xs, zs, bias, shift) in enumerate(
            [(32767, -32767, 12345, 14), (16384, 9000, -2000000, 14), (-5, 7, 31, 1), (20000, 1, -4000000, 22)]
        ):
            net.op("qadd", x, z, x_scale=xs, y_scale=zs, bias=bias, shift=shift, **_bounds(isa, i + j))
        net.op("qadd", x, x, x_scale=100, y_scale=200, bias=3, shift=8, **_bounds(isa, i))
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        *(((n,), (n,)) for n in (*LENGTHS, 9000)), *(((2, 5, 3, c), (2, 1, 1, c)) for c in (3, 16, 24, 40, 72, 130)),
        ((1, 4, 4, 96), (1, 1, 1, 96)), ((2, 3, 4, 5), (1, 3, 1, 1)), ((2, 3, 4, 20), (2, 3, 4, 1)),
        ((3, 70), (1, 1)), ((1, 1, 1), (1, 1, 1)), ((2, 3, 4, 5), (2, 1, 4, 1)),
    ]  # fmt: skip
    for i, (xs_, zs_) in enumerate(shapes):
        for m, s, bias in ((65535, 17, -70), (40000, 24, 5000), (1, 31, 0), (32768, 22, -60000)):
            net.op(
                "qmul", _bytes(net, isa, *xs_, spread=i % 3), _bytes(net, isa, *zs_, spread=i % 2), bias=bias,
                x_zero=_zero(isa, (i % 5) / 4), y_zero=_zero(isa, 1 - (i % 3) / 2), multiplier=m, shift=s,
                **_bounds(isa, i),
            )  # fmt: skip


def _sums(net: Network, isa: Isa) -> None:
    images = [(2, 7, 7, 40), (1, 20, 20, 130), (1, 1, 1, 64), (2, 3, 4, 5), (1, 17, 16, 16)]
    for i, dims in enumerate(images):
        for axes in ((1, 2), (1,), (2,), (3,), (0, 2), (1, 3), (0, 1, 2, 3), ()):
            x = _bytes(net, isa, *dims, spread=i % 2)
            count = int(np.prod([dims[a] for a in axes]))
            net.op("qsum", x, axes=axes, keepdims=bool(i % 2), bias=17 * i * count, shift=17 + 2 * i,
                   multiplier=max(1, round(2 ** (17 + 2 * i) * (0.49 if i == 0 else 0.1) / count) & 0xFFFF),
                   **_bounds(isa, i))  # fmt: skip
            net.op("qsum", x, axes=axes, keepdims=bool(i % 2), bias=17 * i * count - 9)


# (image NHWC, kernel, strides, pads, dilations)
POOLS: list[Any] = [
    ((1, 9, 9, 5), (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
    ((1, 8, 8, 20), (2, 2), (2, 2), (0, 0, 0, 0), (1, 1)),
    ((2, 9, 8, 64), (3, 3), (2, 2), (1, 1, 2, 2), (1, 1)),
    ((1, 13, 14, 100), (12, 12), (1, 1), (0, 0, 0, 0), (1, 1)),
    ((1, 7, 7, 33), (3, 2), (1, 2), (2, 1, 2, 0), (2, 1)),
]


def _pools(net: Network, isa: Isa) -> None:
    for i, (dims, kernel, strides, pads, dilations) in enumerate(POOLS):
        window: Any = dict(kernel=kernel, strides=strides, pads=pads, dilations=dilations)
        first = dims[0], dims[3], dims[1], dims[2]
        for layout, shape in (("nhwc", dims), ("nchw", first)):
            for dtype in ("i8", "u8"):
                net.op("max_pool", _all_bytes(net, dtype, *shape), layout=layout, **window)
            net.op(
                "qsum_pool", _bytes(net, isa, *shape, spread=i % 2), layout=layout, x_zero=_zero(isa, 0.3), bias=-40,
                multiplier=max(1, (1 << 20) // (kernel[0] * kernel[1]) & 0xFFFF), shift=20, **_bounds(isa, i),
                **window,
            )  # fmt: skip
    line: Any = dict(kernel=(3,), strides=(2,), pads=(1, 1), dilations=(1,), layout="nchw")
    net.op("qsum_pool", _bytes(net, isa, 1, 3, 9), multiplier=21845, shift=17, **line, **_bounds(isa, 1))


def _tables(net: Network) -> None:
    for dtype in ("i8", "u8"):
        every = net.source(np.arange(256) + np.iinfo(DTYPES[dtype]).min, dtype)
        for to in ("i8", "u8", "bool", "i16", "f32", "i64"):
            entries = net.rng.integers(0, 256 if to != "bool" else 2, 256)
            net.op("table", every, net.build.const(entries.astype(DTYPES[to]), to))
        for n in LENGTHS:
            net.op("table", _all_bytes(net, dtype, n), net.build.const(net.rng.permutation(256), "u8"))
            net.op("table", _all_bytes(net, dtype, n), net.source(net.rng.permutation(256), "u8"))


def network(isa: Isa) -> Network:
    net = Network(9)
    _quantize(net)
    _dequantize(net)
    _elements(net, isa)
    _sums(net, isa)
    _pools(net, isa)
    _tables(net)
    return net


@pytest.mark.usefixtures("scalar_host")
@pytest.mark.parametrize("target", TARGETS)
def test_against_interpreter(target: str, tmp_path: Path) -> None:
    check(network(isa_of(target)), target, tmp_path)


def test_row_by_row(tmp_path: Path) -> None:
    """In blocks, an op is called for a tensor of one row; some operands have rows and some are the same for all."""
    target = TARGETS[0]
    isa = isa_of(target)
    net = Network(10)
    build, zero = net.build, _zero(isa, 0.4)
    full: Any = _bounds(isa, 0)
    x = net.floats(2, 24, 20, 24)
    q = build.op("quantize", x, build.const(0.02, "f32"), build.const(zero, isa.byte))
    pool: Any = dict(kernel=(3, 3), strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), layout="nhwc")
    most = build.op("max_pool", q, **pool)
    mean = build.op("qsum_pool", most, x_zero=zero, bias=-8 * zero, multiplier=65536 // 9, shift=17, **pool, **full)
    gate = _bytes(net, isa, 2, 1, 1, 24)
    scaled = build.op("qmul", mean, gate, x_zero=zero, y_zero=zero, bias=300, multiplier=600, shift=17, **full)
    both = build.op("qadd", scaled, mean, x_scale=9000, y_scale=7000, bias=-zero * 9, shift=14, **full)
    changed = build.op("table", both, build.const(net.rng.permutation(256).astype(DTYPES[isa.byte]), isa.byte))
    scales = build.const(net.rng.uniform(0.01, 0.1, 24), "f32")
    zeros = build.const(net.rng.integers(0, 100, 24), isa.byte)
    net.done(build.op("dequantize", changed, scales, zeros, axis=3))
    for threads in (1, 3):
        with compiled(net.graph, target, tmp_path, threads=threads) as session:
            (found,) = session.run(None, net.feeds)
        np.testing.assert_array_equal(found, net.expected()[net.graph.outputs[0][0]])
