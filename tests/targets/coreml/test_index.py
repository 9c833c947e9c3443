"""Routes of gather, scatter and top-k, in the evaluator against the interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from coreml_run import agree
from network import Network

from edgec.targets.coreml.deployment import DEPLOYMENTS

REDUCTIONS = ("none", "add", "mul", "max", "min")


@pytest.mark.parametrize("name", DEPLOYMENTS)
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("dtype", ["f32", "i32", "u8", "bool"])
def test_gather(dtype: str, known: bool, name: str) -> None:
    net = Network(1)
    x = net.source(net.rng.integers(0, 200, (3, 4, 5)), dtype)

    def index(array: object) -> object:
        return net.build.const(np.array(array), "i64") if known else net.source(array, "i64")

    for axis in range(3):
        net.op("gather", x, index([[0, -1], [2, -3]]), axis=axis)
    net.op("gather", x, index(-2), axis=1)
    net.op("gather_elements", x, index(net.rng.integers(-4, 4, (3, 6, 5))), axis=1)
    net.op("gather_elements", x, index(net.rng.integers(-4, 4, (2, 3, 4))), axis=1)
    net.op("gather_nd", x, index([[0, -1, 2], [-1, 3, -5]]))
    net.op("gather_nd", x, index([[[1, -1]], [[2, 0]]]))
    net.op("gather_nd", x, index(net.rng.integers(-4, 4, (3, 2, 1))), batch_dims=1)
    net.op("gather_nd", x, index(net.rng.integers(-5, 5, (3, 4, 2, 1))), batch_dims=2)
    agree(net, name)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", ["f32", "i32", "i8"])
def test_scatter(dtype: str, reduction: str, known: bool) -> None:
    net = Network(2)

    def numbers(*shape: int) -> object:
        return net.source(net.rng.integers(-100, 100, shape), dtype)

    def index(array: object) -> object:
        return net.build.const(np.array(array), "i64") if known else net.source(array, "i64")

    x = numbers(3, 4, 5)
    # without a reduction, what is written twice is not defined
    twice = reduction != "none"
    rows = [[1, -2, 0, 1 if twice else 3]] * 3
    every = index(np.array(rows)[..., None].repeat(5, 2))
    net.op("scatter_elements", x, every, numbers(3, 4, 5), axis=1, reduction=reduction)
    net.op("scatter_elements", x, index([[[2], [-2]]]), numbers(1, 2, 1), axis=1, reduction=reduction)
    net.op("scatter_nd", x, index([[0], [0 if twice else -1]]), numbers(2, 4, 5), reduction=reduction)
    net.op("scatter_nd", x, index([[0, 1, -1], [2, -1, 3]]), numbers(2), reduction=reduction)
    nothing = net.build.const(np.zeros((0, 4, 5)), dtype)
    net.op("scatter_nd", x, net.build.const(np.zeros((0, 1)), "i64"), nothing, reduction=reduction)
    agree(net)


@pytest.mark.parametrize("name", DEPLOYMENTS)
@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("dtype", ["f32", "i64", "u8"])
def test_topk_keeps_equal_elements_in_order(dtype: str, largest: bool, name: str) -> None:
    net = Network(3)
    x = net.source(net.rng.integers(0, 4, (2, 9, 3)), dtype)
    for axis, k in ((0, 2), (1, 6), (2, 1), (1, 9)):
        net.done(*net.build.ops("topk", x, k=k, axis=axis, largest=largest))
    net.done(net.build.ops("topk", x, k=3, axis=1, largest=largest)[0])
    agree(net, name)


def test_one_element_by_its_indices() -> None:
    net = Network(5)
    net.op("gather_nd", net.floats(2, 3), net.source([1, -1], "i64"))
    agree(net)


def test_bools_scattered() -> None:
    net = Network(4)
    x = net.source([True, False, True, False], "bool")
    net.op("scatter_elements", x, net.source([0, -1], "i64"), net.source([False, True], "bool"), axis=0)
    agree(net)
