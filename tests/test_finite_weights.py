"""Weights that are no finite numbers are refused by name, where the precision has no form for them."""

from __future__ import annotations

import numpy as np
import pytest
from network import Network

from edgec.bounds import MostError
from edgec.calibration import Calibration
from edgec.finite_weights import check_finite
from edgec.ir.errors import UsageError
from edgec.quantize import operators_on_bytes
from edgec.static_int8 import static_int8
from edgec.static_w4a8 import static_w4a8
from edgec.target_table import TARGETS


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


@pytest.mark.parametrize("precision", ["int8", "w4a8"])
def test_what_adds_an_infinity_stays_in_floats(precision: str) -> None:
    """A mask behind a product is its bias: no scale of sums holds it, and the other product is on bytes. A bound of
    error sees no error in what is masked."""
    net = Network(1)
    hidden = net.build.op("matmul", net.floats(2, 64), net.const(64, 64), net.const(64), act="relu")
    mask = net.build.const(np.array([0.0, -np.inf] * 8), "f32")
    net.named("y", net.build.op("matmul", hidden, net.const(64, 16), mask, act=""))
    assert operators_on_bytes(net.graph) == {hidden.op}
    samples = [{net.graph.inputs[0].name: net.rng.standard_normal((2, 64)).astype(np.float32)} for _ in range(16)]
    device, data = TARGETS["host"].choose(""), Calibration(samples, "", 16, "")
    bound = 0.5
    if precision == "int8":
        facts = static_int8(net.graph.module, device, data, "minmax", True, lambda w: MostError(bound, samples, w))
    else:
        facts = static_w4a8(net.graph.module, device, data, "minmax", lambda w: MostError(bound, samples, w))
    assert [row["code"] for row in facts["kept_in_floats"]] == ["NOT_FINITE"]
    assert 0 < facts["search"]["measured"]["error"] < bound
    assert facts["search"]["in_floats"] == 0
    assert all(10 < row["signal_to_noise_db"] < 80 for row in facts["trials"]["tried"]), "masked scores are no signal"
    assert all(0 < row["disturbs"] < bound for row in facts["search"]["layers"])
