"""Several functions in one package: their own interfaces, common weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coreml_package import opened, packaged

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type


def two(first: str = "decode", second: str = "prefill") -> Module:
    """x @ w, for one row and for six; `w` are 64 KB in float32."""
    module, rng = Module(), np.random.default_rng(3)
    w = rng.standard_normal((128, 128)).astype(np.float32)
    for name, rows in ((first, 1), (second, 6)):
        graph = Graph(module, name)
        x = graph.add_input("x", Type("f32", (rows, 128)))
        graph.outputs = [("y", Builder(graph).op("matmul", x, graph.constant(w)))]
    return module


@pytest.mark.parametrize("halves", [False, True])
def test_functions(halves: bool, tmp_path: Path) -> None:
    module = two()
    emitted, package = packaged(module, tmp_path, halves=halves)
    assert opened(package).interface.name == "decode"
    for function, rows in (("decode", 1), ("prefill", 6)):
        x = np.random.default_rng(rows).standard_normal((rows, 128)).astype(np.float32)
        found = opened(package, function).run({"x": x})["y"]
        right = interp.run(module.entries[function], {"x": x})["y"]
        np.testing.assert_allclose(found, right, atol=(5e-3 if halves else 1e-6) * np.abs(right).max())
    one = (2 if halves else 4) * 128 * 128
    assert one < len(emitted.weights) < 1.02 * one


def test_the_default(tmp_path: Path) -> None:
    emitted, package = packaged(two(), tmp_path, default="prefill")
    assert opened(package).interface.name == "prefill"
    assert emitted.inputs[0].shape == (6, 128)
    assert [f.interface.function for f in emitted.functions] == ["prefill", "decode"]


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one function up to iOS 17, and these are 2"):
        packaged(two(), tmp_path, "ios17")
    with pytest.raises(UsageError, match="no function 'train'; legal: decode, prefill"):
        packaged(two(), tmp_path, default="train")
    with pytest.raises(UsageError, match="'1x3' cannot be a function's name"):
        packaged(two("1x3"), tmp_path)
    with pytest.raises(UsageError, match="several functions cannot be a classifier"):
        packaged(two(), tmp_path, labels=("a", "b"))


def test_constants_of_one_function_are_written_once(tmp_path: Path) -> None:
    """Equal numbers under two names; others of the same shape stay others."""
    graph, rng = Graph(Module()), np.random.default_rng(3)
    build = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, 64)))
    w, v = rng.standard_normal((2, 64, 64)).astype(np.float32)
    y = x
    for weights in (w, v, w):
        y = build.op("matmul", y, graph.constant(weights))
    graph.outputs = [("y", y)]
    emitted, package = packaged(graph.module, tmp_path)
    assert 2 * w.nbytes < len(emitted.weights) < 2.1 * w.nbytes
    array = rng.standard_normal((1, 64)).astype(np.float32)
    right = array.astype(np.float64) @ w @ v @ w
    np.testing.assert_allclose(opened(package).run({"x": array})["y"], right, atol=1e-5 * np.abs(right).max())
