"""`--low-rank`: for matmuls that stay smaller than floats, and refused where there is none."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from network import Network

from edgec.calibration import Calibration
from edgec.ir.errors import UsageError
from edgec.static_float8 import static_float8
from edgec.weight_only import weight_only


def encoded(precision: str, rank: int, *widths: int) -> tuple[dict[str, Any], Network]:
    """Matmuls from one width to the next."""
    net = Network(5)
    x = net.floats(6, widths[0])
    for k, n in pairwise(widths):
        x = net.op("matmul", x, net.const(k, n))
    if precision == "w4":
        return weight_only(net.graph.module, precision, None, rank), net
    samples = [net.feeds, {name: x + 1 for name, x in net.feeds.items()}]
    return static_float8(net.graph.module, precision, Calibration(samples, "random", 2, ""), rank), net


@pytest.mark.parametrize("precision", ["w4", "fp8-e4m3"])
def test_a_small_matmul_is_left_out(precision: str) -> None:
    """Of 64 x 2, two matrices of rank 4 would take twice the floats."""
    facts, net = encoded(precision, 4, 64, 64, 2)
    assert facts["low_rank"] == 4
    assert len(facts["low_rank_operators"]) == 1
    assert len(facts["weights"]) == 2
    assert sum(op.kind == "matmul" for op in net.graph.ops) == 4, "two of them thin"
    assert encoded(precision, 0, 64, 64, 2)[0]["low_rank_operators"] == []


@pytest.mark.parametrize("precision", ["w4", "fp8-e4m3"])
def test_the_largest_rank(precision: str) -> None:
    """31 (64 + 64) < 64 x 64."""
    assert len(encoded(precision, 31, 64, 64)[0]["low_rank_operators"]) == 1
    with pytest.raises(UsageError, match=r"--low-rank 32: .* as the weights of any matmul do .*; give 1 to 31"):
        encoded(precision, 32, 64, 64)


def test_no_matmul_at_all() -> None:
    net = Network(5)
    net.op("relu", net.floats(6, 4))
    with pytest.raises(UsageError, match=r"--low-rank 1: .*; leave it out"):
        weight_only(net.graph.module, "w4", None, 1)
