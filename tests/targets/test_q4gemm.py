"""Weights of four bits in convolution and matmul of bytes, against the interpreter, bit by bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network import Network
from test_qconv import CONVS, TARGETS, _added, _bytes, _requant, _zero, check, isa_of

from edgec.ir.encodings import grouped_dims
from edgec.ir.errors import UnsupportedError
from edgec.ir.graph import Value
from edgec.plan.schedule import Segment
from edgec.targets.c import qtiles
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower import qmatmul
from edgec.targets.c.qtiles import QTiles
from edgec.targets.c.tiles import Tiles

pytestmark = pytest.mark.usefixtures("scalar_host")
MORE = [
    ((1, 6, 6, 32), (20, 32, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, 0.4, 1),
    ((1, 5, 7, 35), (7, 35, 3, 3), (1, 1), (2, 1, 2, 1), (1, 1), 1, 0.4, 1),
    ((1, 5, 7, 96), (18, 96, 1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1, 0.4, 0),
]


def _four(net: Network, *shape: int, spread: int = 1) -> tuple[Value, Value]:
    """Weights and multipliers; `spread` 0: only the largest."""
    codes = net.rng.integers(-7, 7, shape, endpoint=True)
    times = net.rng.integers(1, 17, grouped_dims(shape, 1, 32), endpoint=True)
    if not spread:
        codes, times = np.where(codes % 2, -7, 7), np.full_like(times, 17)
    return net.build.const(codes, "i8"), net.build.const(times, "i8")


def network(isa: Isa) -> Network:
    net = Network(27)
    for image, kernel, strides, pads, dilations, groups, zero, spread in [*CONVS, *MORE]:
        attrs: Any = dict(strides=strides, pads=pads, dilations=dilations, groups=groups, layout="nhwc",
                          x_zero=_zero(isa, zero))  # fmt: skip
        x, (w, times) = _bytes(net, isa, *image, spread=spread), _four(net, *kernel, spread=spread)
        consts, bounds = _requant(net, isa, kernel[0], int(np.prod(kernel[1:])), 2)
        net.op("qconv", x, w, *consts, times, **attrs, **bounds)
        y = net.op("qconv", x, w, consts[0], None, None, times, **attrs)  # sums
        added = _added(net, isa, *y.type.dims, k=int(np.prod(kernel[1:])))
        net.op("qconv", x, w, *consts, times, *added, **attrs, **bounds)
    for m, k, n in [
        *((5, k, 19) for k in (1, 3, 4, 5, 8, 12, 15, 16, 17, 24, 31, 32, 33, 36, 40, 48, 63, 64, 65, 97)),
        *((m, 40, n) for m, n in zip((1, 2, 3, 4, 5, 8, 13, 29) * 3, range(1, 72, 3), strict=True)),
        (1, 300, 257), (49, 160, 96),
    ]:  # fmt: skip
        consts, bounds = _requant(net, isa, n, k, 2)
        x, (w, times) = _bytes(net, isa, m, k, spread=k % 5), _four(net, n, k, spread=k % 5)
        net.op("qmatmul", x, w, *consts, times, x_zero=_zero(isa, 0.3), **bounds)
    return net


@pytest.mark.parametrize("target", TARGETS)
def test_against_interpreter(target: str, tmp_path: Path) -> None:
    check(network(isa_of(target)), target, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_every_tile(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isa, net = isa_of(target), Network(28)
    tiles: list[QTiles] = []
    ((form, table),) = qtiles.forms(isa, four=True).items()
    for nv, mr in table.items():
        for scale, wide in ((1, False), (1000, False), (1, True)):
            m, k, n = 2 * mr + 1, 75, (3 * nv - 1) * isa.lanes + 3
            consts, bounds = _requant(net, isa, n, k, scale, wide)
            w, times = _four(net, n, k)
            net.op("qmatmul", _bytes(net, isa, m, k), w, *consts, times, x_zero=_zero(isa, 0.4), **bounds)
            of = Tiles(isa.lanes, mr, nv, max(1, nv - 1), 2)
            tiles.append(QTiles(of, "bytes", form, True, 8 * (isa.name != "neon")))
    used = iter(tiles)
    monkeypatch.setattr(qmatmul, "choose_qtiles", lambda *given: replace(next(used), result=given[6]))
    check(net, target, tmp_path)
    assert next(used, None) is None


@pytest.mark.parametrize("target", TARGETS)
def test_a_block(target: str, tmp_path: Path) -> None:
    """Rings of bytes, over the ends of the image, where kernel rows are left out."""
    isa, net = isa_of(target), Network(29)
    x = _bytes(net, isa, 2, 13, 11, 32)
    for i, (o, size, stride, pad) in enumerate([(40, 3, 2, 1), (20, 1, 1, 0), (6, 3, 1, 1), (9, 3, 1, 2)]):
        w, times = _four(net, o, x.type.dims[3], size, size)
        consts, bounds = _requant(net, isa, o, x.type.dims[3] * size * size, 2)
        attrs: Any = dict(strides=(stride,) * 2, pads=(pad,) * 4, dilations=(1, 1), layout="nhwc",
                          x_zero=_zero(isa, 0.15 * i))  # fmt: skip
        x = net.build.op("qconv", x, w, *consts, times, **attrs, **bounds)
    net.done(x)
    check(net, target, tmp_path, [Segment(tuple(net.graph.ops), 2)])


def test_weights_beyond_four_bits_are_refused(tmp_path: Path) -> None:
    isa, net = isa_of(TARGETS[0]), Network(30)
    consts, bounds = _requant(net, isa, 4, 40)
    w, times = net.build.const(np.full((4, 40), 9), "i8"), net.build.const(np.ones((4, 2)), "i8")
    net.op("qmatmul", _bytes(net, isa, 3, 40), w, *consts, times, **bounds)
    with pytest.raises(UnsupportedError, match="weights in groups beyond 7, or multipliers beyond 17"):
        check(net, TARGETS[0], tmp_path)
