"""Products, softmax, norms and attention, in the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coreml_check import check
from coreml_run import evaluated
from network import Network

from edgec.ir.graph import Value


@pytest.mark.parametrize(
    ("x", "y"), [((2, 3), (3, 4)), ((2, 5, 3, 4), (4, 6)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 4), (2, 4, 5))]
)
def test_matmul(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    net = Network(1)
    a = net.floats(*x)
    net.op("matmul", a, net.const(*y), net.const(y[-1]))
    net.op("matmul", a, net.floats(*y[:-2], y[-1], y[-2]), net.floats(1, 1), trans_b=True, act="relu")
    check(net, "ios15")


def test_linear_layers() -> None:
    """Constant matrices of at most three axes, and a bias that is the same for each row."""
    net = Network(1)
    x, wide = net.floats(2, 3, 4), net.floats(1, 2, 3, 4)
    for bias in ((), (5,), (1, 1, 5)):
        net.op("matmul", x, net.const(4, 5), net.const(*bias), act="relu")
    net.op("matmul", x, net.const(5, 4), trans_b=True)
    net.op("matmul", x, net.const(4, 5), net.const(3, 1))
    net.op("matmul", wide, net.const(4, 5), net.const(5))
    kinds = check(net)
    assert [kinds.count(kind) for kind in ("linear", "matmul", "add")] == [3, 3, 2]


def test_matmul_of_integers_wraps() -> None:
    net = Network(1)
    x = net.source(net.rng.integers(-(2**20), 2**20, (2, 3)), "i32")
    net.op("matmul", x, net.source(net.rng.integers(-(2**20), 2**20, (3, 4)), "i32"))
    check(net)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax(axis: int) -> None:
    net = Network(1)
    x = net.source(net.rng.uniform(-8, 8, (3, 4, 5)))
    net.op("softmax", x, axis=axis)
    net.op("log_softmax", x, axis=axis)
    check(net, condition=16)  # exp: 8 twice


def test_log_softmax_does_not_underflow() -> None:
    """The logarithm of a softmax ends at -104; there are 600 between these."""
    net = Network(1)
    net.op("log_softmax", net.source([[-300.0, 300.0, 299.0], [0.0, -200.0, -1.0]]), axis=1)
    for halves in (False, True):
        found = evaluated(net.graph, net.feeds, halves=halves)["y0"]
        np.testing.assert_allclose(found, net.expected()["y0"], rtol=2**-10 if halves else 1e-6)


def normed(net: Network, kind: str, x: Value, axis: int, eps: float, constant: bool) -> None:
    dims = x.type.dims[axis:]
    net.op(kind, x, axis=axis, eps=eps)
    net.op(kind, x, net.const(*dims) if constant else net.floats(*dims), axis=axis, eps=eps)
    if kind == "layer_norm":
        net.op(kind, x, None, net.const(*dims) if constant else net.floats(*dims), axis=axis, eps=eps)
        net.op(kind, x, net.const(*dims), net.floats(*dims), axis=axis, eps=eps)


@pytest.mark.parametrize("name", ["ios15", "ios18"])
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("kind", ["layer_norm", "rms_norm"])
def test_norms(kind: str, axis: int, name: str) -> None:
    net = Network(1)
    x = net.floats(2, 3, 8)
    normed(net, kind, x, axis, 1e-5, constant=True)
    normed(net, kind, x, axis, 0.5, constant=False)
    check(net, name)


@pytest.mark.parametrize("name", ["ios16", "ios18"])
@pytest.mark.parametrize("kind", ["layer_norm", "rms_norm"])
def test_norms_in_halves_of_large_and_small_numbers(kind: str, name: str) -> None:
    """Squares of 3000 are beyond halves, an epsilon of 1e-9 below them."""
    net = Network(1)
    numbers = net.rng.standard_normal((2, 8))
    for x in map(net.source, (3000 * numbers, 1e-4 * numbers, 0 * numbers)):
        net.op(kind, x, axis=1, eps=1e-9)
    check(net, name)


CASES: dict[str, dict[str, Any]] = {
    "plain": {}, "causal": {"causal": True}, "scaled": {"scale": 0.7}, "shared keys": {"heads": 2},
    "added": {"mask": "floats"}, "added, causal": {"mask": "floats", "causal": True}, "chosen": {"mask": "bools"},
    "chosen, causal": {"mask": "bools", "causal": True}, "chosen, nothing in one row": {"mask": "nothing"},
    "added, nothing in one row": {"mask": "minus infinity"},
}  # fmt: skip


def masks(net: Network, kind: str, n: int, m: int) -> Any:
    if kind == "floats":
        return np.where(net.rng.random((n, m)) < 0.7, net.rng.standard_normal((n, m)), -np.inf).astype(np.float32)
    allowed = net.rng.random((2, 1, n, m)) < 0.6
    allowed[..., 0] = True
    if kind != "bools":
        allowed[:, :, 1] = False
    return allowed if kind != "minus infinity" else np.where(allowed, 0, -np.inf).astype(np.float32)


@pytest.mark.parametrize("name", ["ios15", "ios18"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_attention(case: str, known: bool, name: str) -> None:
    given = CASES[case]
    net = Network(1)
    heads, n, m = given.get("heads", 4), 5, 6
    operands: list[Value | None] = [net.floats(2, 4, n, 8), net.floats(2, heads, m, 8), net.floats(2, heads, m, 3)]
    if "mask" in given:
        mask = masks(net, given["mask"], n, m)
        if given["mask"] == "floats":
            mask[:, 0] = 0.5
        dtype = "bool" if mask.dtype == np.bool_ else "f32"
        operands.append(net.build.const(mask, dtype) if known else net.source(mask, dtype))
    net.op("attention", *operands, scale=given.get("scale", 8**-0.5), causal=given.get("causal", False))
    kinds = check(net, name, condition=8)
    plain = name == "ios18" and "nothing" not in case and ("mask" not in given or known)
    assert ("scaled_dot_product_attention" in kinds) == plain


@pytest.mark.parametrize("shape", [(), (1,), (5, 1), (2, 1, 1, 6)])
def test_attention_with_a_mask_that_broadcasts(shape: tuple[int, ...]) -> None:
    net = Network(1)
    q, k, v = net.floats(2, 2, 5, 8), net.floats(2, 2, 6, 8), net.floats(2, 2, 6, 3)
    net.op("attention", q, k, v, net.const(*shape), scale=8**-0.5)
    net.op("attention", q, k, v, net.floats(*shape), scale=8**-0.5)
    check(net, condition=8)


def test_attention_in_halves_with_a_mask_beyond_them() -> None:
    """-1e9 is no half. Added to all of a row it says as little as nothing does."""
    net = Network(1)
    mask = np.where(net.rng.random((5, 6)) < 0.5, 0, -1e9).astype(np.float32)
    mask[:, 0] = 0
    mask[4] = -np.inf  # sees nothing
    q, k, v = net.floats(1, 2, 5, 8), net.floats(1, 2, 6, 8), net.floats(1, 2, 6, 8)
    net.op("attention", q, k, v, net.build.const(mask), scale=8**-0.5)
    net.op("attention", q, k, v, net.build.const(mask[:4].max(0, keepdims=True)), scale=8**-0.5)
    net.op("attention", net.build.op("mul", q, net.build.const(np.float32(900))), k, v, scale=1e-3)
    for name in ("ios16", "ios18"):
        check(net, name, condition=8)
