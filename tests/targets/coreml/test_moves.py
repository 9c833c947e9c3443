"""Routes of what moves elements, in the evaluator against the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coreml_run import agree
from network import Network

from edgec.ir.errors import UnsupportedError
from edgec.targets.coreml.deployment import DEPLOYMENTS, choose
from edgec.targets.coreml.program import emit

DTYPES = ("f32", "f16", "i64", "i8", "u8", "bool")


def values(net: Network, dtype: str, *shape: int) -> Any:
    return net.source(net.rng.integers(-100, 100, shape) if dtype != "u8" else net.rng.integers(0, 200, shape), dtype)


@pytest.mark.parametrize("name", DEPLOYMENTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype: str, name: str) -> None:
    net = Network(1)
    x = values(net, dtype, 2, 3, 4)
    net.op("reshape", x, shape=(4, 6))
    net.op("transpose", x, perm=(2, 0, 1))
    net.op("broadcast_to", x, shape=(2, 2, 3, 4))
    net.op("slice", x, starts=(1, 2, 0), stops=(0, -1, 4), steps=(-1, -2, 3))
    net.op("concat", x, values(net, dtype, 2, 1, 4), x, axis=1)
    for mode in ("constant", "edge", "reflect", "wrap"):
        net.op("pad", x, before=(1, 0, 2), after=(1, 2, 0), mode=mode, value=1.0)
    agree(net, name)


def test_halves() -> None:
    net = Network(2)
    x = net.floats(2, 3, 4)
    y = net.build.op("transpose", x, perm=(1, 0, 2))
    net.op("pad", y, before=(0, 1, 1), after=(0, 1, 0), mode="reflect")
    net.op("concat", y, y, axis=2)
    agree(net, halves=True)


def most_axes(net: Network) -> int:
    """Of all values of the program."""
    function = emit(net.graph.module, choose(""), halves=False).model.mlProgram.functions["main"]
    (block,) = function.block_specializations.values()
    return max(o.type.tensorType.rank for op in block.operations for o in op.outputs)


# axes, perm
SIX = [
    ((2, 3, 2, 4, 2, 3), (0, 1, 4, 2, 5, 3)),  # DepthToSpace
    ((2, 2, 3, 2, 4, 2, 3), (6, 5, 4, 3, 2, 1, 0)),  # nothing stays neighbours
    ((1, 2, 1, 3, 1, 4, 5, 2), (7, 1, 0, 6, 2, 3, 4, 5)),
    ((2, 2, 2, 2, 2, 2, 2), (0, 2, 4, 6, 1, 3, 5)),
    ((2, 3, 4, 1, 2, 2), (0, 1, 2, 3, 4, 5)),
]


@pytest.mark.parametrize(("dims", "perm"), SIX)
def test_more_than_five_axes(dims: tuple[int, ...], perm: tuple[int, ...]) -> None:
    net = Network(3)
    flat = net.source(np.arange(np.prod(dims)))
    x = net.build.op("transpose", net.build.op("reshape", flat, shape=dims), perm=perm)
    net.op("reshape", x, shape=(int(np.prod(dims)),))
    agree(net)
    assert most_axes(net) <= 5


def test_other_moves_of_six_axes() -> None:
    net = Network(4)
    flat = net.source(np.arange(2 * 3 * 2 * 4 * 1 * 3))
    x = net.build.op("reshape", flat, shape=(2, 3, 2, 4, 1, 3))
    made = [
        net.build.op("slice", x, starts=(0, 2, 0, 3, 0, 0), stops=(2, 0, 2, -1, 1, 3), steps=(1, -1, 1, -2, 1, 2)),
        net.build.op("concat", x, x, axis=1),
        net.build.op("pad", x, before=(0, 1, 0, 2, 0, 0), after=(1, 0, 0, 0, 0, 1), mode="reflect"),
        net.build.op("pad", x, before=(0, 1, 0, 2, 0, 0), after=(1, 0, 0, 0, 0, 1), value=3.0),
        net.build.op("broadcast_to", x, shape=(2, 3, 2, 4, 5, 3)),
        net.build.op("broadcast_to", net.build.op("reshape", flat, shape=(3, 1, 2, 1, 24)), shape=(2, 3, 3, 2, 2, 24)),
    ]
    few = net.source([1.0, 2.0, 3.0, 4.0])
    few = net.build.op("reshape", few, shape=(2, 1, 2, 1, 1))
    made.append(net.build.op("broadcast_to", few, shape=(2, 2, 3, 2, 2, 2)))
    made.append(net.build.op("gather", x, net.source([1, -1, 0], "i64"), axis=3))
    for value in made:
        net.op("reshape", value, shape=(value.type.size,))
    agree(net)
    assert most_axes(net) <= 5


def test_elements_and_reductions_of_six_axes() -> None:
    net = Network(7)
    x = net.build.op("reshape", net.floats(2 * 3 * 2 * 4 * 1 * 3), shape=(2, 3, 2, 4, 1, 3))
    y = net.build.op("add", net.build.op("mul", x, net.floats(4, 1, 3)), net.floats(3, 1, 1, 1, 3))
    flags = net.build.op("lt", net.floats(2, 1, 1, 1), net.floats(3))
    y = net.build.op("where", flags, net.build.op("sigmoid", y), net.build.const(np.float32(2)))
    net.op("reduce_sum", y, axes=(1, 2))
    net.op("reduce_max", y, axes=(0, 4, 5), keepdims=False)
    net.op("reshape", net.build.op("reduce_mean", y, axes=(3,), keepdims=True), shape=(36,))
    agree(net)


def test_scalars_and_what_is_empty() -> None:
    net = Network(5)
    x = net.floats(1, 1)
    scalar = net.build.op("reshape", x, shape=())
    net.done(scalar)
    net.op("reshape", scalar, shape=(1, 1, 1))
    net.op("broadcast_to", scalar, shape=(2, 3))
    net.op("transpose", scalar, perm=())
    many = net.floats(2, 3)
    empty = net.build.op("slice", many, starts=(0, 1), stops=(2, 1), steps=(1, 1))
    net.op("concat", empty, many, empty, axis=1)
    net.op("pad", empty, before=(0, 1), after=(0, 1), value=2.5)
    agree(net)


def test_what_reads_too_many_axes_is_refused() -> None:
    net = Network(6)
    x = net.build.op("reshape", net.floats(64), shape=(2,) * 6)
    net.op("reshape", net.build.op("layer_norm", x, axis=5), shape=(64,))
    with pytest.raises(UnsupportedError, match=r"layer_norm has f32.* Core ML's tensors have at most 5 axes"):
        emit(net.graph.module, choose(""), halves=False)
