"""Attention kernels against the interpreter: blocks and single queries, masks, groups of heads, hidden rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import TARGETS
from network import Network

# batch, heads, key heads, queries, keys, key length, value length, mask shape, mask dtype, causal
FORMS = [
    (2, 4, 2, 19, 37, 16, 7, (), "", False),
    (1, 2, 2, 33, 33, 5, 9, (), "", True),
    (2, 2, 1, 5, 70, 8, 4, (5, 70), "f32", False),
    (2, 3, 3, 17, 11, 12, 8, (2, 1, 17, 11), "bool", False),
    (1, 2, 2, 4, 6, 8, 6, (1, 2, 1, 6), "f32", True),
    (1, 2, 2, 1, 50, 13, 5, (50,), "f32", False),
    (1, 1, 1, 6, 9, 130, 3, (), "", False),
    (1, 2, 2, 5, 5, 8, 8, (1, 1, 5, 5), "bool", False),
    (1, 2, 2, 5, 9, 8, 8, (5, 9), "f32", False),
]


def _network() -> Network:
    net = Network(3)
    for batch, heads, kv, n, m, d, e, shape, dtype, causal in FORMS:
        q = net.source(3 * net.rng.standard_normal((batch, heads, n, d)))
        operands = [q, net.floats(batch, kv, m, d), net.floats(batch, kv, m, e)]
        if shape:
            mask = net.rng.standard_normal(shape) if dtype == "f32" else net.rng.integers(0, 2, shape)
            if dtype == "bool":
                mask[..., 3, :] = 0  # a query that sees nothing gives zeros
            else:
                mask[..., 0] = -np.inf
            operands.append(net.build.const(mask, dtype) if shape == (5, 70) else net.source(mask, dtype))
        net.op("attention", *operands, scale=0.4, causal=causal)
    return net


@pytest.mark.parametrize("target", TARGETS)
def test_attention(target: str, tmp_path: Path) -> None:
    _network().check(target, tmp_path)


def test_lanes_do_not_matter(tmp_path: Path) -> None:
    """A query gives the same bits alone in its block and in the middle of a full one."""
    net = Network(4)
    q, k = (net.rng.standard_normal((1, 1, n, 8)) for n in (40, 21))
    keys = net.source(k)
    for n in (40, 33):
        net.op("attention", net.source(q[:, :, :n]), keys, keys, scale=1.0)
    found = net.run("host", tmp_path)
    assert np.array_equal(found["y0"][:, :, :33], found["y1"])
