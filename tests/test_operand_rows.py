"""Rows of operands: times the weights they are what the operator computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgec.flat_weights import weights_of
from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type
from edgec.operand_rows import Met, Moments, group_count, operand_rows, row_means

CONV: dict[str, Any] = {"layout": "nhwc", "dilations": (1, 1)}


@pytest.mark.parametrize(
    ("kind", "x", "w", "attrs"),
    [
        ("conv", (2, 7, 6, 4), (6, 4, 3, 3), {**CONV, "strides": (2, 1), "pads": (1, 0, 1, 2)}),
        ("conv", (1, 7, 6, 4), (6, 2, 3, 2), {**CONV, "strides": (1, 1), "pads": (0, 0, 0, 0), "groups": 2}),
        ("conv", (1, 5, 5, 4), (4, 1, 3, 3),
         {**CONV, "strides": (1, 1), "pads": (2, 2, 2, 2), "dilations": (2, 2), "groups": 4}),
        ("matmul", (2, 3, 8), (8, 5), {}),
        ("matmul", (3, 8), (5, 8), {"trans_b": True}),
    ],
)  # fmt: skip
def test_rows_times_weights_are_the_results(
    kind: str, x: tuple[int, ...], w: tuple[int, ...], attrs: dict[str, Any]
) -> None:
    rng = np.random.default_rng(0)
    graph = Graph(Module())
    b = Builder(graph)
    weights = rng.standard_normal(w)
    graph.outputs = [("y", b.op(kind, graph.add_input("x", Type("f32", x)), b.const(weights, "f32"), **attrs))]
    (op,) = graph.ops
    array = rng.standard_normal(x).astype(np.float32)
    rows = operand_rows(op, array)
    groups = group_count(op)
    flat = graph.array(op.arg(1)).transpose(weights_of(op))
    flat = flat.reshape(groups, len(flat) // groups, -1)
    found = np.concatenate([part @ own.T for part, own in zip(rows, flat, strict=True)], axis=1)
    expected = interp.run(graph, {"x": array})["y"]
    np.testing.assert_allclose(found, expected.reshape(-1, expected.shape[-1]), rtol=1e-4, atol=1e-5)
    few = operand_rows(op, array, 4)
    count = rows.shape[1]
    np.testing.assert_array_equal(few, rows[:, [i * count // min(4, count) for i in range(min(4, count))]])


def test_moments_of_parts() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2, 50, 7))
    moments = Moments(2, 7)
    for part in np.array_split(rows, 3, axis=1):
        moments.add(part)
    assert moments.rows == 50
    np.testing.assert_allclose(moments.hessian, rows.transpose(0, 2, 1) @ rows / 50, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=1), rtol=1e-4, atol=1e-6)


def test_what_stored_rows_are_off_by() -> None:
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((1, 40, 5)).astype(np.float32)
    stored = np.rint(wide * 4) / 4
    met = Met(1, 5)
    for part in (slice(0, 15), slice(15, 40)):
        met.add(wide[:, part], stored[:, part])
    np.testing.assert_allclose(met.drift[0], (wide - stored)[0].T @ stored[0] / 40, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(met.wanted, wide.mean(axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(met.stored.mean, stored.mean(axis=1), rtol=1e-4, atol=1e-6)
    assert np.abs(met.wanted - met.stored.mean).max() > 1e-3


def test_numbers_of_which_no_mean_is_known_are_refused() -> None:
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (2, 4)))
    op = b.op("matmul", x, b.const(np.ones((4, 3)), "f32")).op
    assert op is not None
    large = np.full((2, 4), 3e38, np.float32)
    for rows, words in ((large, "as large as 3e"), (large * np.inf, "reads infinities or NaN")):
        with pytest.raises(UsageError, match=words):
            row_means([op], [{x: rows}])
    (mean,) = row_means([op], [{x: np.full((2, 4), 1e17, np.float32)}]).values()
    np.testing.assert_allclose(mean, np.full((1, 4), 1e17), rtol=1e-6)
