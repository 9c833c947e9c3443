"""Reductions, places of extremes, running sums and resizing, in the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coreml_check import check
from coreml_run import evaluated
from network import Network

from edgec.ir.ops.reduce import REDUCTIONS
from edgec.ir.ops.resize import COORDINATES, NEAREST


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("kind", REDUCTIONS)
def test_reductions(kind: str, keepdims: bool) -> None:
    net = Network(1)
    x = net.source(net.rng.uniform(0.5, 1.5, (2, 3, 4)))
    for axes in ((0,), (1, 2), (0, 1, 2), ()):
        net.op(kind, x, axes=axes, keepdims=keepdims)
    if kind != "reduce_mean":
        net.op(kind, net.source(net.rng.integers(-9, 9, (2, 3)), "i64"), axes=(1,), keepdims=keepdims)
        net.op(kind, net.source([[100, 100, 3], [-7, 1, 1]], "i8"), axes=(1,), keepdims=keepdims)  # wraps
    if kind in ("reduce_max", "reduce_min"):
        net.op(kind, net.source([[0, 1], [0, 0]], "bool"), axes=(1,), keepdims=keepdims)
    check(net)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", ["argmax", "argmin"])
def test_place_of_the_first_or_last_extreme(kind: str, last: bool) -> None:
    net = Network(1)
    x = net.source([[1, 3, 3, 0, 0], [2, 2, 2, 2, 2], [-1, -5, 4, 4, -5]])
    for axis in (0, 1):
        net.op(kind, x, axis=axis, last=last)
        net.op(kind, net.source(net.rng.integers(0, 3, (4, 3)), "i32"), axis=axis, last=last, keepdims=True)
    check(net)
    place = {("argmax", False): 1, ("argmax", True): 2, ("argmin", False): 3, ("argmin", True): 4}[kind, last]
    assert evaluated(net.graph, net.feeds)["y2"].tolist()[0] == place


def test_along_one_of_more_than_five_axes() -> None:
    net = Network(1)
    x = net.build.op("reshape", net.floats(64), shape=(2, 1, 4, 2, 2, 2))
    for kind in ("softmax", "log_softmax", "cumsum", "argmax", "argmin"):
        for axis in (0, 2, 5):
            y = net.build.op(kind, x, axis=axis)
            net.named(f"{kind}{axis}", net.build.op("reshape", y, shape=(y.type.size,)))
    check(net, condition=4)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_running_sums(exclusive: bool, reverse: bool) -> None:
    net = Network(1)
    for axis in (0, 1):
        net.op("cumsum", net.floats(3, 4), axis=axis, exclusive=exclusive, reverse=reverse)
        net.op("cumsum", net.source(net.rng.integers(0, 99, (3, 4)), "i64"), axis=axis, exclusive=exclusive,
               reverse=reverse)  # fmt: skip
    check(net)


def resized(net: Network, shape: tuple[int, ...], scales: tuple[float, ...], **attrs: Any) -> None:
    sizes = tuple(int(np.floor(d * s)) for d, s in zip(shape, scales, strict=True))
    net.op("resize", net.floats(*shape), sizes=sizes, scales=scales, **attrs)


SCALES = [(1.0, 1.0, 2.0, 3.0), (1.0, 1.0, 1.6, 0.7), (1.0, 2.5, 1.0, 1.0), (1.0, 1.0, 0.5, 1.0)]


@pytest.mark.parametrize("coord", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize(mode: str, coord: str) -> None:
    net = Network(1)
    roi = (0.0, 0.0, 0.2, -0.1, 1.0, 1.0, 0.8, 1.2) if coord == "tf_crop_and_resize" else ()
    for scales in SCALES:
        resized(net, (1, 4, 5, 6), scales, mode=mode, coord=coord, roi=roi, extrapolation=7.0)
    check(net, "ios15", condition=2)


def test_resize_in_other_ways() -> None:
    net = Network(1)
    for nearest in NEAREST:
        resized(net, (2, 5, 6), (1.0, 1.3, 2.0), mode="nearest", coord="half_pixel", nearest=nearest)
    resized(net, (7,), (1.5,), mode="linear", coord="half_pixel")
    resized(net, (1, 2, 4, 4, 4), (1.0, 1.0, 2.0, 1.5, 0.5), mode="linear", coord="half_pixel")
    resized(net, (1, 1, 8, 8), (1.0, 1.0, 0.5, 0.5), mode="cubic", coord="half_pixel", antialias=True)
    resized(net, (1, 1, 8, 8), (1.0, 1.0, 0.6, 2.0), mode="cubic", coord="asymmetric", exclude_outside=True)
    net.op("resize", net.source(net.rng.integers(0, 9, (1, 1, 2, 2)), "u8"), sizes=(1, 1, 4, 6),
           scales=(1.0, 1.0, 2.0, 3.0), mode="nearest", coord="asymmetric", nearest="floor")  # fmt: skip
    check(net, condition=2)


@pytest.mark.parametrize(
    ("attrs", "kind"),
    [
        ({"mode": "nearest", "coord": "asymmetric", "nearest": "floor"}, "upsample_nearest_neighbor"),
        ({"mode": "linear", "coord": "half_pixel"}, "resize_bilinear"),
        ({"mode": "linear", "coord": "align_corners"}, "resize_bilinear"),
        ({"mode": "linear", "coord": "asymmetric"}, "resize_bilinear"),
    ],
)
def test_resize_is_one_operator_where_mil_has_it(attrs: dict[str, Any], kind: str) -> None:
    net = Network(1)
    resized(net, (1, 2, 5, 6), (1.0, 1.0, 2.0, 3.0), **attrs)
    assert check(net) == [kind, "identity"]


def test_bools_are_counted_as_integers() -> None:
    net = Network(1)
    x = net.source([[False, True, True], [False, False, False], [True, False, True]], "bool")
    for last in (False, True):
        net.op("argmax", x, axis=1, last=last)
        net.op("argmin", x, axis=0, last=last)
    net.op("cumsum", x, axis=1)
    net.op("cumsum", x, axis=1, exclusive=True, reverse=True)
    check(net)
