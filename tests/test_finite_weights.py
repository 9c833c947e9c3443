"""Weights that are no finite numbers are refused by name, where the precision has no form for them."""

from __future__ import annotations

import numpy as np
import pytest
from network import Network

from edgec.finite_weights import check_finite
from edgec.ir.errors import UsageError


@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_the_operator_is_named(number: float) -> None:
    net = Network(1)
    weights = net.rng.standard_normal((4, 3))
    net.named("z", net.build.op("matmul", net.floats(2, 4), net.build.const(weights, "f32")))
    check_finite(net.graph, "int8")
    weights[1, 2] = number
    net.named("y", net.build.op("matmul", net.floats(2, 4), net.build.const(weights, "f32")))
    check_finite(net.graph, "fp16")
    for precision in ("int8", "w4", "fp8-e4m3"):
        with pytest.raises(UsageError, match=f"--precision {precision}: weights of matmul.* hold infinities or NaN"):
            check_finite(net.graph, precision)


def test_masks_are_no_weights() -> None:
    net = Network(1)
    scores = net.build.op("matmul", net.floats(2, 4), net.const(4, 3))
    net.named("y", net.build.op("add", scores, net.build.const(np.array([0.0, -np.inf, 0.0]), "f32")))
    check_finite(net.graph, "int8")
