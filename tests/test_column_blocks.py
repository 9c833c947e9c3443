"""Moments of wide layers in blocks of columns: bounded memory, and weights that still make up for one another."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import made, written

import edgec
from edgec import column_blocks
from edgec.column_blocks import MATRIX_BYTES, blocks_of
from edgec.encode_weights import encode_weights
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.types import Type
from edgec.operand_rows import Met, Moments
from edgec.receipt_text import render


@pytest.mark.parametrize(("groups", "k", "count"), [
    (1, 1, 1), (1, 2896, 1), (1, 2897, 2), (1, 25088, 76), (32, 512, 1), (2, 2100, 2), (1, 400000, 19048),
])  # fmt: skip
def test_a_matrix_is_never_larger(groups: int, k: int, count: int) -> None:
    blocks = blocks_of(groups, k)
    assert blocks.count == count
    assert (blocks.count - 1) * blocks.width < k <= blocks.count * blocks.width
    assert 8 * groups * blocks.count * blocks.width**2 <= 1.2 * MATRIX_BYTES, "but for what fills the last one up"


def test_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_blocks, "MATRIX_BYTES", 8 * 2 * 50)
    blocks = blocks_of(2, 10)
    assert (blocks.count, blocks.width) == (2, 5)
    blocks = blocks_of(2, 11)
    assert (blocks.count, blocks.width) == (3, 4)
    x = np.arange(2 * 3 * 11.0).reshape(2, 3, 11)
    cut = blocks.cut(x, 7.0)
    assert cut.shape == (6, 3, 4)
    np.testing.assert_array_equal(cut[4], x[1, :, 4:8])
    np.testing.assert_array_equal(cut[5, :, 3], 7.0)
    np.testing.assert_array_equal(blocks.joined(cut), x)
    np.testing.assert_array_equal(blocks.cut(x[..., :1]), x[[0, 0, 0, 1, 1, 1], :, :1])


def test_blocks_are_those_of_the_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).standard_normal((1, 30, 12)).astype(np.float32)
    whole = Moments(1, 12)
    monkeypatch.setattr(column_blocks, "MATRIX_BYTES", 8 * 12 * 4)
    parts = Moments(1, 12)
    for moments in (whole, parts):
        moments.add(rows)
    assert parts.hessian.shape == (3, 4, 4)
    for i, part in enumerate(parts.hessian):
        at = slice(4 * i, 4 * i + 4)
        np.testing.assert_allclose(part, whole.hessian[0, at, at], rtol=1e-5)
    np.testing.assert_array_equal(parts.mean, whole.mean)


def product(k: int, n: int) -> tuple[Graph, Op]:
    graph = Graph(Module())
    b = Builder(graph)
    weights = np.random.default_rng(1).standard_normal((k, n)).astype(np.float32)
    y = b.op("matmul", graph.add_input("x", Type("f32", (1, k))), b.const(weights, "f32"))
    graph.outputs = [("y", y)]
    assert y.op is not None
    return graph, y.op


def test_columns_of_a_block_make_up_for_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that go together lie in one block: products are nearer than with weights rounded to the nearest."""
    rng = np.random.default_rng(2)
    k = 96
    rows = (rng.standard_normal((400, 6)) @ rng.standard_normal((6, k)) + 0.1 * rng.standard_normal((400, k)))[None]
    monkeypatch.setattr(column_blocks, "MATRIX_BYTES", 8 * k * 32)
    errors = []
    for rounded in (False, True):
        graph, op = product(k, 8)
        wanted = graph.array(op.arg(1))
        met = Met(1, k)
        met.add(rows, rows)
        assert met.stored.blocks.count == 3
        encode_weights(graph, op, "i4", met if rounded else None)
        errors.append(float(np.mean((rows[0] @ (graph.array(op.arg(1)) - wanted)) ** 2)))
    assert errors[1] < errors[0] / 2


def test_the_peak_of_a_wide_layer() -> None:
    """One matrix of all columns would take 1.1 GB."""
    k = 12000
    graph, op = product(k, 4)
    rows = np.random.default_rng(3).standard_normal((1, 64, k)).astype(np.float32)
    tracemalloc.start()
    met = Met(1, k)
    met.add(rows, rows)
    encode_weights(graph, op, "i8", met)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 512 << 20


@pytest.mark.parametrize("precision", ["w8", "int8", "int8-dynamic", "fp8-e4m3"])
def test_the_receipt_says_so(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_blocks, "MATRIX_BYTES", 8 * 64 * 32)
    rng = np.random.default_rng(4)
    constants = {"w": rng.standard_normal((64, 48)).astype(np.float32) / 8, "v": rng.standard_normal((48, 4))}
    constants["v"] = constants["v"].astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
             helper.make_node("MatMul", ["r", "v"], ["y"])]  # fmt: skip
    path = written(made(nodes, constants, {"x": (8, 64)}, {"y": TensorProto.FLOAT}, opset=17), tmp_path)
    np.savez(tmp_path / "calib.npz", x=rng.standard_normal((24, 8, 64)).astype(np.float32))
    receipt = edgec.compile(path, "host", tmp_path / "out", precision=precision, calib=str(tmp_path / "calib.npz"))
    found = [(row["products"], row["blocks"]) for row in receipt["quantization"]["rounded_in_blocks"]]
    assert sorted(found) == [(48, 2), (64, 2)]
    assert "rounded in 2 blocks of its 64 products" in render(receipt)
