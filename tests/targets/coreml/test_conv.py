"""Convolutions and pools, in the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coreml_check import check
from coreml_run import evaluated
from network import Network

from edgec.ir.errors import UnsupportedError
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.program import emit


def window(rank: int, pads: Any = 0, strides: int = 1, dilations: int = 1) -> dict[str, Any]:
    pads = (pads,) * (2 * rank) if isinstance(pads, int) else pads
    return {"pads": pads, "strides": (strides,) * rank, "dilations": (dilations,) * rank}


CONVS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1 axis": ((2, 4, 9), (6, 2, 3), {**window(1, (2, 1), 2), "groups": 2}),
    "2 axes": ((1, 4, 9, 8), (6, 4, 3, 2), window(2, (0, 1, 2, 1))),
    "depthwise": ((1, 4, 9, 8), (4, 1, 3, 3), {**window(2, 1, 2), "groups": 4}),
    "dilated": ((1, 3, 9, 9), (2, 3, 3, 2), window(2, (2, 0, 1, 1), dilations=2)),
    "3 axes": ((1, 2, 4, 5, 4), (3, 2, 3, 2, 1), window(3, (1, 0, 0, 1, 1, 0), 2)),
    "cropped": ((1, 2, 8, 9), (3, 2, 3, 3), window(2, (-1, 1, 0, -2))),
}


@pytest.mark.parametrize("name", ["ios15", "ios18"])
@pytest.mark.parametrize("case", CONVS)
def test_conv(case: str, name: str) -> None:
    shape, weight, attrs = CONVS[case]
    net = Network(1)
    x = net.floats(*shape)
    y = net.op("conv", x, net.const(*weight), net.const(weight[0]), **attrs)
    net.op("conv", x, net.const(*weight), None, net.floats(*y.type.dims), act="relu", **attrs)
    assert check(net, name).count("conv") == 2


@pytest.mark.parametrize("case", CONVS)
def test_conv_of_integers(case: str) -> None:
    shape, weight, attrs = CONVS[case]
    net = Network(1)
    x, w = (net.source(net.rng.integers(-(2**20), 2**20, s), "i32") for s in (shape, weight))  # sums wrap
    y = net.op("conv", x, net.source(net.rng.integers(-9, 9, weight), "i32"), **attrs)
    net.op("conv", x, w, net.source(net.rng.integers(-9, 9, weight[0]), "i32"), y, **attrs)
    check(net)


@pytest.mark.parametrize("name", ["ios16", "ios17"])
@pytest.mark.parametrize("dilations", [1, 3])
def test_conv_by_weights_known_at_run_time(name: str, dilations: int) -> None:
    net = Network(1)
    x = net.floats(1, 4, 11, 10)
    net.op("conv", x, net.floats(6, 2, 3, 2), net.floats(6), groups=2, **window(2, 1, dilations=dilations))
    kinds = check(net, name)
    assert ("add" in kinds) == (name == "ios16")  # whose convolution takes constant biases only


TRANSPOSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1 axis": ((2, 4, 5), (4, 3, 3), {**window(1, (1, 0), 2), "output_padding": (0,)}),
    "padding behind": ((1, 2, 5, 4), (2, 3, 3, 3), {**window(2, 1, 2), "output_padding": (1, 1)}),
    "zeros behind": ((1, 2, 5, 4), (2, 3, 2, 2), {**window(2, 0, 3), "output_padding": (2, 1)}),
    "groups": ((1, 4, 3, 4), (4, 2, 3, 2), {**window(2, 0, 2), "groups": 2, "output_padding": (0, 0)}),
    "negative pads": ((1, 2, 3, 3), (2, 3, 2, 2), {**window(2, (-1, 0, 1, -2), 2), "output_padding": (0, 0)}),
    "dilated": ((1, 2, 4, 4), (2, 2, 2, 3), {**window(2, 1, dilations=2), "output_padding": (0, 0)}),
    "3 axes": ((1, 2, 3, 2, 3), (2, 2, 2, 2, 2), {**window(3, 0, 2), "output_padding": (0, 1, 0)}),
}


@pytest.mark.parametrize("name", ["ios15", "ios18"])
@pytest.mark.parametrize("case", TRANSPOSED)
def test_conv_transpose(case: str, name: str) -> None:
    shape, weight, attrs = TRANSPOSED[case]
    net = Network(1)
    outputs = weight[1] * attrs.get("groups", 1)
    net.op("conv_transpose", net.floats(*shape), net.const(*weight), net.const(outputs), act="relu", **attrs)
    net.op("conv_transpose", net.floats(*shape), net.const(*weight), **attrs)
    check(net, name)


def test_conv_transpose_by_weights_known_at_run_time() -> None:
    net = Network(1)
    net.op("conv_transpose", net.floats(1, 2, 4), net.floats(2, 3, 2), output_padding=(1,), **window(1, 0, 2))
    check(net, "ios17")
    with pytest.raises(UnsupportedError, match="weights that are not constant, which Core ML takes from iOS 17 on"):
        emit(net.graph.module, choose("ios16"), halves=False)


MAXIMA: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "1 axis": ((1, 2, 9), {"kernel": (3,), **window(1, (1, 0), 2)}),
    "uneven": ((1, 2, 8, 9), {"kernel": (3, 2), **window(2, (1, 0, 2, 1), 2)}),
    "dilated": ((1, 2, 9, 9), {"kernel": (3, 2), **window(2, (1, 0, 2, 1), 1, 2)}),
    "dilated, in steps": ((1, 2, 4, 9, 7), {"kernel": (2, 3, 2), **window(3, 1, 2, 2)}),
    "3 axes": ((1, 2, 4, 4, 5), {"kernel": (2, 2, 3), **window(3, 0, 2)}),
    "cropped": ((1, 2, 9, 9), {"kernel": (2, 2), **window(2, (-1, 0, 0, -2))}),
}


@pytest.mark.parametrize("case", MAXIMA)
def test_max_pool(case: str) -> None:
    shape, attrs = MAXIMA[case]
    net = Network(1)
    net.op("max_pool", net.source(net.rng.standard_normal(shape) - 4), **attrs)  # padding must not win
    net.op("max_pool", net.source(net.rng.integers(-128, 0, shape), "i8"), **attrs)
    check(net, "ios15")


@pytest.mark.parametrize(("case", "counted"), [*((c, False) for c in MAXIMA), *((c, True) for c in list(MAXIMA)[:-1])])
def test_avg_pool(case: str, counted: bool) -> None:
    shape, attrs = MAXIMA[case]
    net = Network(1)
    net.op("avg_pool", net.source(net.rng.uniform(1, 2, shape)), count_include_pad=counted, **attrs)
    check(net, "ios15")


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("dilations", [1, 2])
def test_avg_pool_does_not_count_what_ceil_mode_adds(counted: bool, dilations: int) -> None:
    net = Network(1)
    attrs = {"kernel": (3, 3), **window(2, (1, 1, 2, 2), 2, dilations), "ceil_pads": (1, 1)}
    net.op("avg_pool", net.source(net.rng.uniform(1, 2, (1, 2, 8, 8))), count_include_pad=counted, **attrs)
    check(net)


def test_dilated_mean_of_large_halves() -> None:
    """The sum of nine is beyond halves, their mean is not."""
    net = Network(1)
    net.op("avg_pool", net.source(np.full((1, 1, 7, 7), 50000.0)), kernel=(3, 3), **window(2, 1, dilations=2))
    found = evaluated(net.graph, net.feeds, halves=True)["y0"]
    np.testing.assert_allclose(found, net.expected()["y0"], rtol=4 * 2**-11)
