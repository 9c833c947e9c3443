"""Functions of single elements, comparisons, logic and activations, in the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coreml_check import check, compare
from coreml_run import evaluated, run_package
from network import Network

from edgec.ir.ops.activation import ACTIVATIONS
from edgec.ir.ops.functions import COMPARE, PARAMETRIC, UNARY
from edgec.ir.types import FLOATS
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.program import emit

ALL = [-7.5, -3.0, -1.5, -0.75, -0.01, 0.0, 0.003, 0.5, 1.0, 2.5, 3.0, 9.0]
POSITIVE = [6e-5, 0.003, 0.3, 0.5, 1.0, 2.5, 9.0, 800.0]
INSIDE = [-0.9, -0.5, -0.01, 0.0, 0.001, 0.3, 0.95]
# where each function is tried, and what it makes of a relative change of its operand
DOMAINS: dict[str, tuple[list[float], float]] = {
    "log": (POSITIVE, 1), "sqrt": (POSITIVE, 1), "rsqrt": (POSITIVE, 1), "reciprocal": (POSITIVE, 1),
    "asin": (INSIDE, 3), "acos": (INSIDE, 3), "atanh": (INSIDE, 6), "acosh": ([1.0, 1.001, 1.25, 3.0, 200.0], 1),
    "asinh": ([-300.0, -2.0, -0.5, 0.0, 0.002, 0.75, 1.0, 300.0], 1), "exp": (ALL, 9), "sinh": (ALL, 9),
    "cosh": (ALL, 9), "softplus": ([*ALL, 11.5, 30.0, 900.0], 1),
}  # fmt: skip
FUNCTIONS = [kind for kind, (legal, _) in UNARY.items() if legal & FLOATS]


@pytest.mark.parametrize("name", ["ios15", "ios18"])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_functions(kind: str, name: str) -> None:
    points, condition = DOMAINS.get(kind, (ALL, 1))
    net = Network(1)
    net.op(kind, net.source(points))
    check(net, name, condition)


@pytest.mark.parametrize("kind", PARAMETRIC)
def test_functions_with_parameters(kind: str) -> None:
    net = Network(1)
    x = net.source(ALL)
    net.op(kind, x)
    numbers = {"clip": {"lo": -1.5, "hi": 2.0}, "selu": {"alpha": 1.5, "gamma": 0.75}}
    net.op(kind, x, **numbers.get(kind, {"alpha": 0.375}))
    check(net)


def test_clip_by_what_halves_do_not_reach() -> None:
    net = Network(1)
    x = net.source([-65504.0, -3.0, 2.0, 65504.0])
    net.op("clip", x, lo=-3e38, hi=3e38)
    net.op("clip", x, lo=2.0, hi=1.0)  # ONNX: the upper bound wins
    net.op("clip", x, lo=-1.0)
    net.op("clip", x, lo=0.0, hi=6.0)
    net.op("clip", x, lo=0.0, hi=5.0)
    kinds = check(net)
    assert [kinds.count(kind) for kind in ("clip", "relu6", "maximum", "minimum")] == [2, 1, 2, 1]


def test_small_operands_have_no_epsilon() -> None:
    """MIL adds 1e-4 in inverse, 1e-12 in rsqrt and 1e-45 in log where it is not told otherwise."""
    net = Network(1)
    x = net.source([0.0, 1e-14, 3e-9, 1e-5])
    for kind in ("reciprocal", "rsqrt", "log"):
        net.op(kind, x)
    for key, y in evaluated(net.graph, net.feeds).items():
        np.testing.assert_allclose(y, net.expected()[key], rtol=1e-6, err_msg=key)


def test_round_halves_to_even() -> None:
    net = Network(1)
    net.op("round", net.source([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 0.49999997]))
    assert evaluated(net.graph, net.feeds)["y0"].tolist() == [-2, -2, 0, 0, 2, 2, 4, 0]


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div", "min", "max", "prelu"])
def test_arithmetic_broadcasts(kind: str) -> None:
    net = Network(1)
    x = net.source(net.rng.uniform(0.5, 2, (2, 1, 4)) * net.rng.choice([-1, 1], (2, 1, 4)))
    for shape in ((3, 4), (1,), (2, 3, 1), ()):
        net.op(kind, x, net.source(net.rng.uniform(0.5, 2, shape)))
        net.op(kind, x, net.build.const(net.rng.uniform(0.5, 2, shape), "f32"))
    check(net)


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 1), (1, 3, 1, 1), (3, 2, 2), (2,)])
@pytest.mark.parametrize("rank", [4, 5])
def test_prelu_with_any_slope(shape: tuple[int, ...], rank: int) -> None:
    net = Network(2)
    x = net.floats(*(1,) * (rank - 4), 2, 3, 2, 2)
    net.op("prelu", x, net.const(*shape))
    kinds = check(net)
    assert ("prelu" in kinds) == (rank == 4 and shape in ((3, 1, 1), (1, 3, 1, 1)))


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.0, 2.5, [1.0, 2.0, 3.0, 0.0, 4.0]])
def test_powers(exponent: Any) -> None:
    net = Network(1)
    net.op("pow", net.source([0.25, 0.5, 1.0, 3.0, 5.0]), net.build.const(np.asarray(exponent, np.float32)))
    if isinstance(exponent, float) and exponent == int(exponent):
        net.op("pow", net.source([-5.0, -0.5, 2.0]), net.build.const(np.float32(exponent)))
    kinds = check(net, condition=4)
    assert ("pow" in kinds) == (exponent not in (2.0, 3.0))  # a negative base stays out of MIL's pow


def test_remainders_have_the_sign_of_the_dividend_or_the_divisor() -> None:
    net = Network(1)
    x = net.source([5.5, -5.5, 5.5, -5.5, 6.0, -6.0, 0.0, 3.0])
    y = net.source([3.0, 3.0, -3.0, -3.0, 3.0, -3.0, 2.0, np.inf])
    net.op("fmod", x, y)
    net.op("mod", x, y)
    check(net)
    found = evaluated(net.graph, net.feeds)
    assert found["y0"].tolist() == [2.5, -2.5, 2.5, -2.5, 0, 0, 0, 3]
    assert found["y1"].tolist() == [2.5, 0.5, -0.5, -2.5, 0, 0, 0, 3]


@pytest.mark.parametrize("dtype", ["f32", "i64", "bool"])
def test_comparisons(dtype: str) -> None:
    net = Network(1)
    x, y = net.source([[0, 1, 1], [0, 0, 1]], dtype), net.source([[0], [1]], dtype)
    for kind in COMPARE:
        net.op(kind, x, y)
    check(net)


def test_logic_and_where() -> None:
    net = Network(1)
    p, q = net.source([[True, False], [True, True]], "bool"), net.source([False, True], "bool")
    for kind in ("and", "or", "xor"):
        net.op(kind, p, q)
    net.op("not", p)
    net.op("where", p, net.floats(2), net.floats(1))  # the condition alone has the result's shape
    net.op("where", q, net.floats(3, 1), net.build.const(np.float32(2)))
    net.op("where", p, net.build.const(np.float32(-1)), net.build.const(np.float32(2)))
    net.op("where", p, net.source([[1], [2]], "i64"), net.source([5, -6], "i64"))
    net.op("where", p, q, net.build.op("not", q))
    check(net)


def test_not_numbers_and_infinities() -> None:
    net = Network(1)
    x = net.source([np.nan, np.inf, -np.inf, 0.0, 1.0])
    net.op("is_nan", x)
    for positive in (True, False):
        for negative in (True, False):
            net.op("is_inf", x, positive=positive, negative=negative)
    found = evaluated(net.graph, net.feeds)
    for key, y in net.expected().items():
        compare(found[key], y, 0, key)


@pytest.mark.parametrize("act", [*sorted(ACTIVATIONS), "clip:-0.5:1.5", "leaky:0.25"])
def test_fused_activations(act: str) -> None:
    net = Network(1)
    x = net.source(ALL)
    net.op("add", x, x, act=act)
    y = net.floats(2, 3)
    net.op("matmul", y, net.const(3, 4), act=act)
    check(net, condition=2)


def test_operators_kept_in_float32_beside_halves() -> None:
    """exp(12) is beyond halves; its logarithm is not."""
    net = Network(1)
    x = net.source([12.0, 1.0, -3.0])
    y = net.build.op("exp", x)
    z = net.build.op("log", y)
    net.done(net.build.op("mul", z, z))
    kept = [op for op in net.graph.ops if op.kind in ("exp", "log")]
    found = {
        len(wide): run_package(emit(net.graph.module, choose(""), True, wide), net.graph, net.feeds)["y0"]
        for wide in ([], kept)
    }
    assert np.isinf(found[0][0])
    np.testing.assert_allclose(found[2], [144, 1, 9], rtol=4 * 2**-11)


def test_softplus_stays_where_its_exponential_fits_halves() -> None:
    """log(1 + exp(x)) is infinite in halves from 11.1 on, and the Neural Engine gives 0."""
    net = Network(1)
    net.op("softplus", net.source([11.5, 40.0, 60000.0]))
    net.op("mish", net.source([11.5, 40.0, 60000.0]))
    found = evaluated(net.graph, net.feeds, halves=True)
    for key in ("y0", "y1"):
        np.testing.assert_allclose(found[key], [11.5, 40, 60000], rtol=2e-3)


