"""Gather, scatter, top-k, arg and cumsum kernels against the interpreter, on every dtype; wild indices stay inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import PLAIN
from network import Network

from edgec.ir.graph import Value

NUMBERS = ("f32", "f64", "f16", "bf16", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8")


class Numbers(Network):
    """Small numbers, of which many are equal, and places in an axis."""

    def numbers(self, dtype: str, *shape: int) -> Value:
        low = 0 if dtype[0] == "u" or dtype == "bool" else -9
        return self.source(self.rng.integers(low, 2 if dtype == "bool" else 10, shape), dtype)

    def places(self, size: int, *shape: int, dtype: str = "i64") -> Value:
        return self.source(self.rng.integers(-size, size, shape), dtype)


def _gathers() -> Numbers:
    net = Numbers(11)
    b, done = net.build, net.done
    for dtype in ("u8", "bool", "f16", "i16", "f32", "i64"):
        m = net.numbers(dtype, 3, 4, 5)
        for axis, dims in enumerate([(7, 4, 2), (3, 6, 5), (3, 2, 9)]):
            done(b.op("gather_elements", m, net.places((3, 4, 5)[axis], *dims), axis=axis))
        done(b.op("gather_elements", m, net.places(4, 2, 1, 3, dtype="i32"), axis=1))
        done(b.op("gather_nd", m, net.places(3, 2, 6, 1)))
        done(b.op("gather_nd", m, net.places(3, 2, 6, 3, dtype="i32")))
        done(b.op("gather_nd", m, net.places(4, 3, 2, 1), batch_dims=1))
        done(b.op("gather_nd", m, net.places(4, 3, 4, 6, 1), batch_dims=2))
    one = net.numbers("f32", 9)
    done(b.op("gather_elements", one, net.places(9, 30), axis=0))
    return net


def _scatters() -> Numbers:
    net = Numbers(11)
    b, done = net.build, net.done
    for dtype in (*NUMBERS, "bool"):
        for reduction in ("none", "add", "mul", "max", "min"):
            x, axis = net.numbers(dtype, 3, 4, 5), net.rng.integers(0, 3)
            dims = [2, 3, 4]
            dims[axis] = 6
            if reduction == "none":  # of two updates of one place either may win: none twice
                dims[axis] = x.type.dims[axis]
                index = net.source(np.argsort(net.rng.random(dims), axis=axis) - x.type.dims[axis], "i64")
            else:
                index = net.places(x.type.dims[axis], *dims, dtype="i32" if axis else "i64")
            args = x, index, net.numbers(dtype, *dims)
            done(b.op("scatter_elements", *args, axis=int(axis), reduction=reduction))
            at = net.source(
                net.rng.permutation(12).reshape(3, 4)[:, :3].ravel()[:, None] // np.array([4, 1]) % [3, 4], "i64"
            )
            done(b.op("scatter_nd", x, at, net.numbers(dtype, 9, 5), reduction=reduction))
    for dtype in ("f32", "bf16", "i8"):
        x = net.numbers(dtype, 6, 3)
        done(b.op("scatter_nd", x, net.places(6, 2, 5, 1, dtype="i32"), net.numbers(dtype, 2, 5, 3), reduction="add"))
        done(b.op("scatter_nd", x, net.places(3, 7, 2), net.numbers(dtype, 7), reduction="mul"))
        fresh = x if dtype == "bf16" else b.op("neg", x)  # an operand of which the result may take the place
        chain = b.op("scatter_elements", fresh, net.places(6, 2, 3), net.numbers(dtype, 2, 3), axis=0)
        done(b.op("scatter_elements", chain, net.places(3, 6, 1), net.numbers(dtype, 6, 1), axis=1))
    odd = net.source([[np.nan, 1, np.inf], [-0.0, np.nan, 2]], "f32")
    for reduction in ("max", "min"):
        updates = net.source([[1, np.nan, 3], [4, 5, -np.inf]], "f32")
        done(b.op("scatter_elements", odd, net.places(2, 2, 3), updates, axis=0, reduction=reduction))
    return net


def _orders() -> Numbers:
    net = Numbers(11)
    b, done = net.build, net.done
    for dtype in (*NUMBERS, "bool"):
        m = net.numbers(dtype, 3, 17, 5)
        for axis, k in ((0, 2), (1, 1), (1, 6), (1, 17), (2, 3)):
            for largest in (True, False):
                done(*b.ops("topk", m, k=k, axis=axis, largest=largest))
        for axis in range(3):
            for kind in ("argmax", "argmin"):
                done(b.op(kind, m, axis=axis), b.op(kind, m, axis=axis, last=True, keepdims=True))
            for exclusive in (True, False):
                for reverse in (True, False):
                    done(b.op("cumsum", m, axis=axis, exclusive=exclusive, reverse=reverse))
    extremes = [np.nan, np.inf, 0.0, -0.0, -np.inf, np.nan, 1.0, 1.0, -np.inf]
    for dtype in ("f32", "f64", "f16", "bf16"):
        odd = net.source(extremes, dtype)
        for largest in (True, False):
            done(*b.ops("topk", odd, k=9, axis=0, largest=largest), *b.ops("topk", odd, k=2, axis=0, largest=largest))
        done(*(b.op(kind, odd, axis=0, last=last) for kind in ("argmax", "argmin") for last in (True, False)))
    wide = net.source(net.rng.standard_normal((3, 1000)), "f32")
    done(*b.ops("topk", wide, k=50, axis=1), b.op("argmax", wide, axis=0), b.op("argmin", wide, axis=1))
    limits = [2**63 - 1, -(2**63), 0, -1, 2**63 - 1]
    done(*b.ops("topk", net.source(limits, "i64"), k=5, axis=0, largest=False))
    return net


@pytest.mark.parametrize("target", PLAIN)
@pytest.mark.parametrize("network", [_gathers, _scatters, _orders])
def test_against_interpreter(network: Any, target: str, tmp_path: Path) -> None:
    network().check(target, tmp_path)


@pytest.mark.parametrize("target", PLAIN)
def test_wild_indices_stay_inside(target: str, tmp_path: Path) -> None:
    """What is out of range is read as the nearest legal index."""
    wild = np.array([[-(2**63), 2**63 - 1, 5], [-5, 4, 1 << 40]])
    expected: dict[str, np.ndarray] = {}
    for tame in (False, True):
        net = Numbers(11)
        b = net.build
        m, updates = net.numbers("f32", 4, 3), net.numbers("f32", 2, 3)

        def index(sizes: Any, shape: tuple[int, ...], net: Numbers = net, tame: bool = tame) -> Value:
            array = wild.reshape(shape)
            limits = np.asarray(sizes)
            return net.source(np.clip(array, -limits, limits - 1) if tame else array, "i64")

        net.done(b.op("gather_elements", m, index(4, (2, 3)), axis=0))
        net.done(b.op("gather_nd", m, index([4, 3], (3, 2))))
        net.done(b.op("gather", m, index(3, (6,)), axis=1))
        net.done(b.op("scatter_elements", m, index(4, (2, 3)), updates, axis=0, reduction="add"))
        net.done(b.op("scatter_nd", m, index([4, 3], (3, 2)), net.numbers("f32", 3), reduction="max"))
        if tame:
            expected = net.expected()
        else:
            wild_net = net
    wild_net.check(target, tmp_path, expected)
