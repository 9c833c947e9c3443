"""Element-wise, reduction, norm and data-movement kernels against the interpreter, on every dtype they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import assert_close, compiled

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.types import DTYPES, Type
from edgec.targets.c.lower.elementwise import _FLOAT, _FLOAT2, _INTEGER, _INTEGER2

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 88.5, -100.0, 3.0, -2.5, 0.5, 1e30], np.float32)


def _network() -> tuple[Graph, dict[str, np.ndarray]]:
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(5)
    feeds: dict[str, np.ndarray] = {}

    def source(array: np.ndarray, dtype: str) -> Any:
        name = f"x{len(feeds)}"
        feeds[name] = array.astype(DTYPES[dtype])
        return graph.add_input(name, Type(dtype, array.shape))

    def done(value: Any) -> None:
        graph.outputs.append((f"y{len(graph.outputs)}", value))

    wide = np.concatenate([SPECIAL, rng.uniform(-9, 9, 300)]).astype(np.float32)
    x, positive = source(wide, "f32"), source(np.abs(wide), "f32")
    for kind in sorted(_FLOAT):
        done(b.op(kind, positive if kind in ("log", "sqrt", "rsqrt") else x))
    done(b.op("clip", x, lo=-1.0, hi=2.5))
    done(b.op("leaky_relu", x, alpha=0.2))
    done(b.op("elu", x, alpha=0.7))
    done(b.op("hard_sigmoid", x, alpha=0.3, beta=0.4))
    done(b.op("is_nan", x))
    done(b.op("is_inf", x, positive=True, negative=False))
    pair = rng.uniform(-3, 3, (4, 1, 6)), rng.uniform(-3, 3, (3, 6))
    for kind in sorted(_FLOAT2):
        left, right = (np.abs(p) if kind == "pow" else p for p in pair)
        done(b.op(kind, source(left, "f32"), source(right, "f32")))
    for dtype in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"):
        info = np.iinfo(DTYPES[dtype])
        some = rng.integers(info.min, info.max, (5, 7), dtype=DTYPES[dtype], endpoint=True)
        other = rng.integers(0, 5, (7,)).astype(DTYPES[dtype])
        first, second = source(some, dtype), source(other, dtype)
        for kind in sorted(_INTEGER):
            if dtype[0] == "i" or kind not in ("neg", "abs"):
                done(b.op(kind, first))
        for kind in sorted(set(_INTEGER2) - {"mod", "fmod"}):
            done(b.op(kind, first, second))
        done(b.op("mod", first, b.const(3, dtype)))
        done(b.op("lt", first, second))
        done(b.op("reduce_sum", first, axes=(0,)))
        done(b.op("reduce_max", first, axes=(1,), keepdims=True))
        for to in ("f32", "i32", "u8", "i64", "bool"):
            done(b.op("cast", first, to=to))
    real = rng.uniform(-100, 100, (3, 4, 5, 6))
    t = source(real, "f32")
    for to in ("i8", "i32", "i64", "u8", "bool"):
        done(b.op("cast", b.op("abs", t), to=to))
    for axes in ((0,), (3,), (1, 2), (0, 2), (0, 1, 2, 3), (1, 3)):
        done(b.op("reduce_mean", t, axes=axes, keepdims=True))
        done(b.op("reduce_min", t, axes=axes))
    for axis in range(4):
        done(b.op("softmax", t, axis=axis))
        done(b.op("argmax", t, axis=axis, keepdims=False))
    done(b.op("log_softmax", t, axis=3))
    done(b.op("layer_norm", t, source(rng.uniform(1, 2, (6,)), "f32"), source(rng.uniform(1, 2, (6,)), "f32"), axis=3))
    done(b.op("rms_norm", t, source(rng.uniform(1, 2, (5, 6)), "f32"), axis=2, eps=1e-3))
    done(b.op("where", b.op("gt", t, b.const(0.0, "f32")), t, b.const(7.0, "f32")))
    for dtype in ("u8", "f32", "i64", "i16"):
        m = source(rng.integers(0, 100, (3, 4, 5)), dtype)
        done(b.op("transpose", m, perm=(2, 0, 1)))
        done(b.op("slice", m, starts=(2, 0, 1), stops=(-1, 4, 5), steps=(-1, 2, 3)))
        done(b.op("broadcast_to", m, shape=(2, 3, 4, 5)))
        done(b.op("concat", m, m, b.op("slice", m, starts=(0, 1, 0), stops=(3, 2, 5), steps=(1, 1, 1)), axis=1))
        for mode in ("constant", "reflect", "edge", "wrap"):
            done(b.op("pad", m, before=(1, 0, 2), after=(0, 3, 1), mode=mode, value=3.0))
        done(b.op("gather", m, b.op("cast", source(np.array([[0, 2], [-1, 1]]), "i64"), to="i32"), axis=1))
        done(b.op("reshape", m, shape=(4, 15)))
    return graph, feeds


@pytest.mark.parametrize("target", ["host", "host:avx2", "arm"])
def test_against_interpreter(target: str, tmp_path: Path) -> None:
    graph, feeds = _network()
    expected = interp.run(graph, feeds)
    with compiled(graph, target, tmp_path) as session:
        found = session.run(None, feeds)
    failures = []
    for (name, value), array in zip(graph.outputs, found, strict=True):
        try:
            assert_close(array, expected[name], f"{target} {name} {value.op}")
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize("target", ["host", "arm"])
def test_attention_resize_recurrent(target: str, tmp_path: Path) -> None:
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(6)

    def source(*shape: int, dtype: str = "f32") -> Any:
        return graph.add_input(f"x{len(graph.inputs)}", Type(dtype, shape))

    def array(*shape: int) -> Any:
        return b.const(rng.standard_normal(shape) * 0.5, "f32")

    made = [
        b.op("attention", source(2, 4, 5, 8), source(2, 2, 7, 8), source(2, 2, 7, 6), scale=0.3, causal=True),
        b.op(
            "attention",
            source(1, 2, 5, 8),
            source(1, 2, 5, 8),
            source(1, 2, 5, 8),
            source(1, 1, 5, 5, dtype="bool"),
            scale=1.0,
        ),
        b.op("attention", source(1, 2, 5, 8), source(1, 2, 9, 8), source(1, 2, 9, 8), source(5, 9), scale=1.0),
    ]
    for mode, coord, sizes, scales in (
        ("nearest", "asymmetric", (1, 8, 6, 3), (1.0, 2.0, 2.0, 1.0)),
        ("linear", "half_pixel", (1, 7, 5, 3), (1.0, 7 / 4, 5 / 3, 1.0)),
        ("cubic", "align_corners", (1, 8, 9, 3), (1.0, 2.0, 3.0, 1.0)),
    ):
        made.append(b.op("resize", source(1, 4, 3, 3), sizes=sizes, scales=scales, mode=mode, coord=coord))
    sizes, scales = (1, 7, 5, 3), (1.0, 7 / 4, 5 / 3, 1.0)
    double = source(1, 4, 3, 3, dtype="f64")
    made.append(b.op("resize", double, sizes=sizes, scales=scales, mode="linear", coord="half_pixel"))
    crop: Any = {"roi": (0.0, -0.3, 0.2, 0.0, 1.0, 1.4, 0.9, 1.0), "coord": "tf_crop_and_resize", "extrapolation": 9.0}
    made.append(b.op("resize", source(1, 4, 3, 3), sizes=sizes, scales=scales, mode="linear", **crop))
    recurrent: tuple[tuple[str, int, tuple[str, ...], dict[str, int]], ...] = (
        ("lstm", 4, ("Sigmoid", "Tanh", "Tanh"), {}),
        ("gru", 3, ("Sigmoid", "Tanh"), {}),
        ("gru", 3, ("Sigmoid", "Tanh"), {"linear_before_reset": 1}),
        ("rnn", 1, ("Relu",), {}),
    )
    for kind, gates, names, extra in recurrent:
        for constant, h in ((True, 6), (False, 6), (True, 44), (False, 44)):  # 44 units are several panels
            weights = [array(2, gates * h, 5), array(2, gates * h, h), array(2, 2 * gates * h)]
            if not constant:
                weights = [source(*w.type.dims) for w in weights]
            made += b.ops(kind, source(4, 3, 5), *weights, direction="bidirectional", activations=names * 2, **extra)
    graph.outputs = [(f"y{i}", v) for i, v in enumerate(made)]
    feeds = {v.name: rng.standard_normal(v.type.dims).astype(v.type.numpy) for v in graph.inputs}
    expected = interp.run(graph, feeds)
    with compiled(graph, target, tmp_path) as session:
        found = session.run(None, feeds)
    for (name, _), value in zip(graph.outputs, found, strict=True):
        assert_close(value, expected[name], f"{target} {name}")
