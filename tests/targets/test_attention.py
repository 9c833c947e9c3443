"""Attention kernels against the interpreter: blocks and single queries, masks, groups of heads, hidden rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import assert_close, compiled

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.types import DTYPES, Type

# batch, heads, key heads, queries, keys, key length, value length, mask shape, mask dtype, causal
FORMS = [
    (2, 4, 2, 19, 37, 16, 7, (), "", False),
    (1, 2, 2, 33, 33, 5, 9, (), "", True),
    (2, 2, 1, 5, 70, 8, 4, (5, 70), "f32", False),
    (2, 3, 3, 17, 11, 12, 8, (2, 1, 17, 11), "bool", False),
    (1, 2, 2, 4, 6, 8, 6, (1, 2, 1, 6), "f32", True),
    (1, 2, 2, 1, 50, 13, 5, (50,), "f32", False),
    (1, 1, 1, 6, 9, 130, 3, (), "", False),
]


def _network() -> tuple[Graph, dict[str, np.ndarray]]:
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(3)
    feeds: dict[str, np.ndarray] = {}

    def source(array: np.ndarray, dtype: str) -> object:
        name = f"x{len(feeds)}"
        feeds[name] = array.astype(DTYPES[dtype])
        return graph.add_input(name, Type(dtype, array.shape))

    for batch, heads, kv, n, m, d, e, shape, dtype, causal in FORMS:
        q = source(3 * rng.standard_normal((batch, heads, n, d)), "f32")
        k = source(rng.standard_normal((batch, kv, m, d)), "f32")
        v = source(rng.standard_normal((batch, kv, m, e)), "f32")
        operands = [q, k, v]
        if shape:
            mask = rng.standard_normal(shape) if dtype == "f32" else rng.integers(0, 2, shape)
            if dtype == "bool":
                mask[..., 3, :] = 0  # a query that sees nothing gives zeros
            else:
                mask[..., 0] = -np.inf
            operands.append(b.const(mask, dtype) if shape == (5, 70) else source(mask, dtype))
        made = b.op("attention", *operands, scale=0.4, causal=causal)  # type: ignore[arg-type]
        graph.outputs.append((f"y{len(graph.outputs)}", made))
    return graph, feeds


@pytest.mark.parametrize("target", ["host:avx2", "host", "arm"])
def test_attention(target: str, tmp_path: Path) -> None:
    graph, feeds = _network()
    expected = interp.run(graph, feeds)
    with compiled(graph, target, tmp_path) as session:
        for (name, _), found in zip(graph.outputs, session.run(None, feeds), strict=True):
            assert_close(found, expected[name], f"{name} {FORMS[int(name[1:])]}")


def test_lanes_do_not_matter(tmp_path: Path) -> None:
    """A query gives the same bits alone in its block and in the middle of a full one."""
    rows = []
    rng = np.random.default_rng(4)
    q = rng.standard_normal((1, 1, 40, 8)).astype(np.float32)
    k = rng.standard_normal((1, 1, 21, 8)).astype(np.float32)
    for n in (40, 33):
        graph = Graph(Module())
        inputs = [graph.add_input(f"x{i}", Type("f32", a.shape)) for i, a in enumerate((q[:, :, :n], k, k))]
        graph.outputs.append(("y", Builder(graph).op("attention", *inputs, scale=1.0)))
        folder = tmp_path / str(n)
        folder.mkdir()
        with compiled(graph, "host", folder) as session:
            rows.append(session.run(None, {"x0": q[:, :, :n], "x1": k, "x2": k})[0])
    assert np.array_equal(rows[0][:, :, :33], rows[1])
