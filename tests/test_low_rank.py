"""`--low-rank`: for matmuls that stay smaller than floats, and refused where there is none."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network import Network
from onnx import TensorProto, helper
from quantised import made, written

import edgec
from edgec.calibration import Calibration
from edgec.ir.errors import UsageError
from edgec.low_rank import factor_bytes, rank_for
from edgec.receipt_text import render
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


def test_what_is_stored_counts() -> None:
    """Columns are filled up to registers: of 64 x 8, rank 1 is stored as rank 4 would be on A64, and on AVX-512 both
    factors take more than the weights."""
    net = Network(5)
    op = net.op("matmul", net.floats(6, 64), net.const(64, 8)).op
    assert op is not None
    assert factor_bytes(op, 1, 4) == 4 * (64 * 4 + 4 + 8)
    assert [rank_for(op, rank, 4) for rank in (1, 4, 5)] == [1, 4, 0]
    assert rank_for(op, 1, 16) == 0, "thin columns are as wide as the weights' own"


@pytest.mark.parametrize("rank", [1, 4, 5])
@pytest.mark.parametrize("target", ["host", "arm:cortex-a76"])
def test_the_receipt_says_what_they_cost_and_gain(rank: int, target: str, tmp_path: Path) -> None:
    w = np.random.default_rng(3).standard_normal((128, 96)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = written(made(nodes, {"w": w}, {"x": (4, 128)}, {"y": TensorProto.FLOAT}, opset=17), tmp_path)
    plain, given = (edgec.compile(path, target, tmp_path / f"rank{r}", precision="w4", low_rank=r) for r in (0, rank))
    facts, before = given["quantization"], plain["quantization"]
    (level,) = (row["signal_to_noise_db"] for row in facts["weights"])
    assert facts["low_rank_gained_db"] == [pytest.approx(level - before["weights"][0]["signal_to_noise_db"], abs=0.02)]
    assert facts["low_rank_gained_db"][0] > 0.05
    more = given["memory"]["weights_bytes"] - plain["memory"]["weights_bytes"]
    assert abs(more - facts["low_rank_bytes"]) <= 512, "but for biases and alignment"
    assert f"{facts['low_rank_bytes']:,} B for" in render(given)
