"""Casts to and from element types of 8 bits and fewer, and what moves them: artifacts against the interpreter, bit by
bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import PLAIN, compiled

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.types import DTYPES, NARROW, NARROW_FLOATS, WIDE, Type

FORMS = sorted(NARROW)
HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def numbers(dtype: str) -> np.ndarray:
    """A thousand of them, with ties of narrow floats, numbers a little off those, extremes and the special ones."""
    rng = np.random.default_rng(5)
    if dtype == "bool":
        return rng.integers(0, 2, 1000).astype(bool)
    if dtype not in ("f64", "f32", "f16", "bf16"):
        info = np.iinfo(DTYPES[dtype])
        near = rng.integers(max(info.min, -600), min(info.max, 600), 990, dtype=np.int64)
        far = rng.integers(info.min, info.max, 8, dtype=DTYPES[dtype])
        return np.concatenate([near.astype(DTYPES[dtype]), far, np.array([info.min, info.max], DTYPES[dtype])])
    few = rng.integers(16, 33, 600) * 2.0 ** rng.integers(-22, 14, 600)
    few *= 1 + rng.choice([0, 0, 2.0**-40, -(2.0**-40), 2.0**-20], 600)
    wide = 2.0 ** rng.uniform(-150, 150, 394)
    special = [0.0, np.inf, np.nan, 2.0**-127, 1.5 * 2.0**-127, 2.0**127]
    with np.errstate(all="ignore"):
        return (np.concatenate([few, wide, special]) * rng.choice([-1, 1], 1000)).astype(DTYPES[dtype])


def bits(x: np.ndarray) -> np.ndarray:
    return x.view({1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[x.dtype.itemsize])


def check(graph: Graph, feeds: dict[str, np.ndarray], target: str, folder: Path) -> None:
    expected = interp.run(graph, feeds)
    with compiled(graph, target, folder) as session:
        found = dict(zip([n for n, _ in graph.outputs], session.run(None, feeds), strict=True))
    for name, right in expected.items():
        assert found[name].dtype == right.dtype
        np.testing.assert_array_equal(bits(found[name]), bits(right), name)


@pytest.mark.parametrize("target", PLAIN)
def test_to_narrow(target: str, tmp_path: Path) -> None:
    graph = Graph(Module())
    b = Builder(graph)
    feeds = {dtype: HALVES if dtype == "f16" else numbers(dtype) for dtype in sorted(WIDE)}
    for dtype, array in feeds.items():
        x = graph.add_input(dtype, Type(dtype, array.shape))
        for to in FORMS:
            modes = ("up", "down", "nearest") if to == "f8e8m0" else ("up",)
            for mode in modes:
                for saturate in (True, False) if to in NARROW_FLOATS else (True,):
                    y = b.op("cast", x, to=to, saturate=saturate, round_mode=mode)
                    graph.outputs.append((f"{dtype} {to} {saturate} {mode}", y))
    check(graph, feeds, target, tmp_path)


@pytest.mark.parametrize("target", PLAIN)
def test_from_narrow(target: str, tmp_path: Path) -> None:
    """All codes, to every type; bits above an element's own mean nothing."""
    graph = Graph(Module())
    b = Builder(graph)
    feeds = {dtype: np.arange(256, dtype=np.uint8).view(DTYPES[dtype]) for dtype in FORMS}
    for dtype in FORMS:
        x = graph.add_input(dtype, Type(dtype, (256,)))
        graph.outputs += [(f"{dtype} {to}", b.op("cast", x, to=to)) for to in DTYPES if to != dtype]
    check(graph, feeds, target, tmp_path)


@pytest.mark.parametrize("dtype", FORMS)
def test_moved(dtype: str, tmp_path: Path) -> None:
    """By every operator that takes any type."""
    graph = Graph(Module())
    b = Builder(graph)
    x, z = graph.add_input("x", Type(dtype, (3, 5))), graph.add_input("z", Type(dtype, (3, 1)))
    index, pairs = b.const(np.array([[4, 0], [2, 1], [3, 3]]), "i64"), b.const(np.array([[2, 1], [0, 4]]), "i64")
    wide = b.op("broadcast_to", z, shape=(3, 5))
    made = {
        "transpose": b.op("transpose", x, perm=(1, 0)),
        "pad": b.op("pad", x, before=(1, 0), after=(0, 2), value=1.0),
        "slice": b.op("slice", x, starts=(2, 1), stops=(-1, 5), steps=(-2, 2)),
        "concat": b.op("concat", x, wide, axis=0),
        "gather": b.op("gather", x, b.const(np.array([4, 0, 2]), "i64"), axis=1),
        "gather_elements": b.op("gather_elements", x, index, axis=1),
        "gather_nd": b.op("gather_nd", x, pairs),
        "scatter_elements": b.op("scatter_elements", x, index, b.op("slice", wide, starts=(0, 0), stops=(3, 2),
                                                                    steps=(1, 1)), axis=1),
        "scatter_nd": b.op("scatter_nd", x, pairs, b.op("reshape", b.op("slice", z, starts=(0, 0), stops=(2, 1),
                                                                        steps=(1, 1)), shape=(2,))),
        "where": b.op("where", b.const(np.eye(3, 5, dtype=bool)), x, wide),
    }  # fmt: skip
    graph.outputs = list(made.items())
    feeds = {n: np.arange(k, dtype=np.float32).reshape(3, -1).astype(DTYPES[dtype]) for n, k in (("x", 15), ("z", 3))}
    check(graph, feeds, PLAIN[0], tmp_path)
    assert interp.run(graph, feeds)["pad"][0].astype(np.float32).tolist() == [1.0] * 7
