"""Element-wise, reduction, norm, data-movement, resize and recurrent kernels against the interpreter, on every dtype
they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import TARGETS
from network import Network

from edgec.ir.types import DTYPES
from edgec.targets.c.lower.elementwise import _FLOAT, _FLOAT2, _INTEGER, _INTEGER2

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 88.5, -100.0, 3.0, -2.5, 0.5, 1e30], np.float32)


def _network() -> Network:
    net = Network(5)
    op, source, b, rng = net.op, net.source, net.build, net.rng
    wide = np.concatenate([SPECIAL, rng.uniform(-9, 9, 300)]).astype(np.float32)
    x, positive = source(wide, "f32"), source(np.abs(wide), "f32")
    for kind in sorted(_FLOAT):
        op(kind, positive if kind in ("log", "sqrt", "rsqrt") else x)
    op("clip", x, lo=-1.0, hi=2.5)
    op("leaky_relu", x, alpha=0.2)
    op("elu", x, alpha=0.7)
    op("hard_sigmoid", x, alpha=0.3, beta=0.4)
    op("is_nan", x)
    op("is_inf", x, positive=True, negative=False)
    pair = rng.uniform(-3, 3, (4, 1, 6)), rng.uniform(-3, 3, (3, 6))
    for kind in sorted(_FLOAT2):
        left, right = (np.abs(p) if kind == "pow" else p for p in pair)
        op(kind, source(left, "f32"), source(right, "f32"))
    for dtype in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"):
        info = np.iinfo(DTYPES[dtype])
        some = rng.integers(info.min, info.max, (5, 7), dtype=DTYPES[dtype], endpoint=True)
        other = rng.integers(0, 5, (7,)).astype(DTYPES[dtype])
        first, second = source(some, dtype), source(other, dtype)
        for kind in sorted(_INTEGER):
            if dtype[0] == "i" or kind not in ("neg", "abs"):
                op(kind, first)
        for kind in sorted(set(_INTEGER2) - {"mod", "fmod"}):
            op(kind, first, second)
        op("mod", first, b.const(3, dtype))
        op("lt", first, second)
        op("reduce_sum", first, axes=(0,))
        op("reduce_max", first, axes=(1,), keepdims=True)
        for to in ("f32", "i32", "u8", "i64", "bool"):
            op("cast", first, to=to)
    real = rng.uniform(-100, 100, (3, 4, 5, 6))
    t = source(real, "f32")
    for to in ("i8", "i32", "i64", "u8", "bool"):
        op("cast", b.op("abs", t), to=to)
    for axes in ((0,), (3,), (1, 2), (0, 2), (0, 1, 2, 3), (1, 3)):
        op("reduce_mean", t, axes=axes, keepdims=True)
        op("reduce_min", t, axes=axes)
    for axis in range(4):
        op("softmax", t, axis=axis)
        op("argmax", t, axis=axis, keepdims=False)
    op("log_softmax", t, axis=3)
    op("layer_norm", t, source(rng.uniform(1, 2, (6,)), "f32"), source(rng.uniform(1, 2, (6,)), "f32"), axis=3)
    op("rms_norm", t, source(rng.uniform(1, 2, (5, 6)), "f32"), axis=2, eps=1e-3)
    op("where", b.op("gt", t, b.const(0.0, "f32")), t, b.const(7.0, "f32"))
    for dtype in ("u8", "f32", "i64", "i16"):
        m = source(rng.integers(0, 100, (3, 4, 5)), dtype)
        op("transpose", m, perm=(2, 0, 1))
        op("slice", m, starts=(2, 0, 1), stops=(-1, 4, 5), steps=(-1, 2, 3))
        op("broadcast_to", m, shape=(2, 3, 4, 5))
        op("concat", m, m, b.op("slice", m, starts=(0, 1, 0), stops=(3, 2, 5), steps=(1, 1, 1)), axis=1)
        for mode in ("constant", "reflect", "edge", "wrap"):
            op("pad", m, before=(1, 0, 2), after=(0, 3, 1), mode=mode, value=3.0)
        op("gather", m, b.op("cast", source(np.array([[0, 2], [-1, 1]]), "i64"), to="i32"), axis=1)
        op("reshape", m, shape=(4, 15))
    return net


@pytest.mark.parametrize("target", TARGETS)
def test_against_interpreter(target: str, tmp_path: Path) -> None:
    _network().check(target, tmp_path)


@pytest.mark.parametrize("target", ["host", "arm"])
def test_resize_and_recurrent(target: str, tmp_path: Path) -> None:
    net = Network(6)
    sizes, scales = (1, 7, 5, 3), (1.0, 7 / 4, 5 / 3, 1.0)
    for mode, coord, to, by in (
        ("nearest", "asymmetric", (1, 8, 6, 3), (1.0, 2.0, 2.0, 1.0)),
        ("linear", "half_pixel", sizes, scales),
        ("cubic", "align_corners", (1, 8, 9, 3), (1.0, 2.0, 3.0, 1.0)),
    ):
        net.op("resize", net.floats(1, 4, 3, 3), sizes=to, scales=by, mode=mode, coord=coord)
    double = net.floats(1, 4, 3, 3, dtype="f64")
    net.op("resize", double, sizes=sizes, scales=scales, mode="linear", coord="half_pixel")
    crop: Any = {"roi": (0.0, -0.3, 0.2, 0.0, 1.0, 1.4, 0.9, 1.0), "coord": "tf_crop_and_resize", "extrapolation": 9.0}
    net.op("resize", net.floats(1, 4, 3, 3), sizes=sizes, scales=scales, mode="linear", **crop)
    recurrent: tuple[tuple[str, int, tuple[str, ...], dict[str, int]], ...] = (
        ("lstm", 4, ("Sigmoid", "Tanh", "Tanh"), {}),
        ("gru", 3, ("Sigmoid", "Tanh"), {}),
        ("gru", 3, ("Sigmoid", "Tanh"), {"linear_before_reset": 1}),
        ("rnn", 1, ("Relu",), {}),
    )
    for kind, gates, names, extra in recurrent:
        for make in (net.const, net.floats):
            for h in (6, 44):  # 44 units are several panels
                weights = [make(2, gates * h, 5), make(2, gates * h, h), make(2, 2 * gates * h)]
                given: dict[str, Any] = {"direction": "bidirectional", "activations": names * 2, **extra}
                net.done(*net.build.ops(kind, net.floats(4, 3, 5), *weights, **given))
                net.done(*net.build.ops(kind, net.floats(4, 3, 2 * gates * h), None, *weights[1:], **given))
    net.check(target, tmp_path)
