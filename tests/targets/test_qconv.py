"""Convolution and matmul of bytes against the interpreter, bit by bit, many forms in one compiled unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import HOSTS, compiled
from network import Network

from edgec.ir.errors import ToolError
from edgec.ir.graph import Value
from edgec.plan.schedule import Segment
from edgec.targets.arm import target as arm
from edgec.targets.c import qtiles
from edgec.targets.c.build import Platform, make_files, make_plan
from edgec.targets.c.emit import Identity
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower import qmatmul
from edgec.targets.c.qtiles import QTiles
from edgec.targets.c.tiles import Tiles
from edgec.targets.host import target as host

pytestmark = pytest.mark.usefixtures("scalar_host")
TARGETS = [*HOSTS, "host:scalar", "arm:cortex-a76", "arm:cortex-a72", "arm:neoverse-n2"]

# (image NHWC, kernel OIHW, strides, pads, dilations, groups, x_zero, spread)
CONVS: list[Any] = [
    ((1, 8, 8, 3), (16, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, 0.1, 1),
    ((1, 9, 7, 3), (5, 3, 3, 3), (2, 2), (0, 0, 1, 1), (1, 1), 1, 0.0, 1),
    ((2, 5, 5, 8), (24, 8, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1, 1.0, 1),
    ((1, 13, 11, 8), (70, 8, 1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1, 0.5, 1),
    ((1, 12, 12, 8), (12, 4, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 2, 0.3, 1),
    ((1, 12, 12, 6), (9, 6, 3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 1, 0.7, 1),
    ((1, 6, 7, 10), (20, 5, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 2, 0.3, 1),
    ((1, 1, 40, 5), (6, 5, 1, 9), (1, 2), (0, 4, 0, 4), (1, 1), 1, 0.2, 1),
    ((1, 6, 6, 4), (4, 4, 3, 3), (1, 1), (-1, 0, -1, 0), (1, 1), 1, 0.9, 1),
    ((1, 20, 1, 4), (130, 4, 3, 1), (1, 1), (1, 0, 1, 0), (1, 1), 1, 0.4, 1),
    ((1, 3, 5, 16), (32, 16, 5, 5), (1, 1), (2, 2, 2, 2), (1, 1), 1, 0.6, 1),
    ((1, 2, 6, 7), (9, 7, 3, 3), (1, 1), (4, 1, 4, 1), (1, 1), 1, 0.6, 1),
    ((1, 9, 9, 12), (40, 12, 3, 3), (2, 1), (1, 1, 1, 1), (1, 1), 1, 0.2, 0),
    ((1, 14, 15, 17), (33, 17, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1, 0.4, 0),
]


def _bytes(net: Network, isa: Isa, *shape: int, spread: int = 1) -> Value:
    """`spread` 0: only the ends of the range."""
    low, high = (0, 255) if isa.byte == "u8" else (-128, 127)
    array = net.rng.integers(low, high, shape, endpoint=True)
    return net.source(array if spread else np.where(array % 2, low, high), isa.byte)


def _weights(net: Network, *shape: int, spread: int = 1) -> Value:
    array = net.rng.integers(-127, 127, shape, endpoint=True)
    return net.build.const(array if spread else np.where(array % 2, -127, 127), "i8")


def _zero(isa: Isa, part: float) -> int:
    return round(255 * part) - (0 if isa.byte == "u8" else 128)


def _requant(
    net: Network, isa: Isa, n: int, k: int, times: float = 1, wide: bool = False
) -> tuple[list[Value], dict[str, Any]]:
    """Bias, multiplier and shift so that most results are inside the bounds and some are not, for `times` 1. `wide`: a
    sum is not exact in floats, and a multiplier large, so that results do not become bytes by way of 16 bits."""
    bias = net.rng.integers(-5000, 5000, n)
    scale = net.rng.uniform(0.3, 3.0, n) * times * 100 / (np.sqrt(k) * 74 * 74)
    if wide:
        bias[0], scale[1] = 1 << 25, 0.49
    s = np.clip(np.floor(15 - np.log2(scale)), 17, 31).astype(np.int64)
    m = np.clip(np.rint(scale * 2.0**s), 1, 65535)
    consts = [net.build.const(v, "i32") for v in (bias, m, s)]
    low = 0 if isa.byte == "u8" else -128
    bounds = [(low, low + 255), (low + 3, low + 200)][int(net.rng.integers(2))]
    return consts, {"lo": bounds[0], "hi": bounds[1], "to": isa.byte}


def _added(net: Network, isa: Isa, *shape: int, k: int, times: float = 1) -> tuple[Value, Value]:
    """Bytes that are added to sums of `k` products, and how many steps of these one of theirs is."""
    most = int(min(np.sqrt(k) * 74 * times, (1 << 15) - 1))
    steps = net.rng.integers(1, most, shape[-1], endpoint=True)
    steps[0] = (1 << 15) - 1
    return _bytes(net, isa, *shape), net.build.const(steps, "i32")


def network(isa: Isa) -> Network:
    net = Network(7)
    for image, kernel, strides, pads, dilations, groups, zero, spread in CONVS:
        attrs: Any = dict(strides=strides, pads=pads, dilations=dilations, groups=groups, layout="nhwc",
                          x_zero=_zero(isa, zero))  # fmt: skip
        x, w = _bytes(net, isa, *image, spread=spread), _weights(net, *kernel, spread=spread)
        consts, bounds = _requant(net, isa, kernel[0], int(np.prod(kernel[1:])))
        y = net.op("qconv", x, w, *consts, **attrs, **bounds)
        net.op("qconv", x, w, consts[0], **attrs)  # sums
        added = _added(net, isa, *y.type.dims, k=int(np.prod(kernel[1:])))
        net.op("qconv", x, w, *consts, None, *added, **attrs, **bounds)
    # rows, columns and products below, at and above those of tiles
    for m, k, n in [
        *((7, k, 19) for k in range(1, 41)),
        *((m, 20, n) for m, n in zip((1, 2, 3, 4, 5, 6, 8, 13, 15, 29, 31) * 7, range(1, 78), strict=True)),
        (1, 300, 257), (49, 160, 960), (64, 16, 96), (50, 96, 24), (33, 64, 64),
    ]:  # fmt: skip
        consts, bounds = _requant(net, isa, n, k)
        x, w = _bytes(net, isa, m, k, spread=k % 5), _weights(net, n, k, spread=k % 5)
        net.op("qmatmul", x, w, *consts, x_zero=_zero(isa, 0.3), **bounds)
        if m % 3 == 0:
            net.op("qmatmul", x, w, x_zero=_zero(isa, 0.7))
    return net


def isa_of(target: str) -> Isa:
    family, _, cpu = target.partition(":")
    return {"arm": arm, "host": host}[family].choose(cpu).isa  # type: ignore[attr-defined, no-any-return]


def check(net: Network, target: str, folder: Path, segments: Sequence[Segment] | None = None) -> None:
    with compiled(net.graph, target, folder, segments=segments) as session:
        found = session.run(None, net.feeds)
    expected = net.expected()
    for (name, value), y in zip(net.graph.outputs, found, strict=True):
        np.testing.assert_array_equal(y, expected[name], f"{target} {name} {value.op} {value.type}")


@pytest.mark.parametrize("target", TARGETS)
def test_against_interpreter(target: str, tmp_path: Path) -> None:
    check(network(isa_of(target)), target, tmp_path)


def forced(tiles: Sequence[QTiles], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes lowering take these tiles, one after the other; fills the list with the results that it asks for."""
    results: list[str] = []

    def next_tiles(*arguments: Any) -> QTiles:
        results.append(arguments[6])
        return replace(tiles[len(results) - 1], result=arguments[6])

    monkeypatch.setattr(qmatmul, "choose_qtiles", next_tiles)
    return results


@pytest.mark.parametrize("target", TARGETS)
def test_every_tile(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rest of rows, of columns and of products; results that become bytes by way of 16 bits, and not."""
    isa, net = isa_of(target), Network(8)
    tiles: list[QTiles] = []
    every = [(form, nv, most) for form, table in qtiles.forms(isa).items() for nv, most in table.items()]
    odd = [(form, nv, most - 1) for form, nv, most in every if form == "mmla" and most > 1]  # its last pair is one row
    for form, nv, mr in every + odd:
        for times, wide in ((1, False), (1000, False), (1, True)):
            m, k, n = 2 * mr + 1, 43, (3 * nv - 1) * isa.lanes + 3
            consts, bounds = _requant(net, isa, n, k, times, wide)
            net.op("qmatmul", _bytes(net, isa, m, k), _weights(net, n, k), *consts, x_zero=_zero(isa, 0.4), **bounds)
            tiles.append(QTiles(Tiles(isa.lanes, mr, nv, max(1, nv - 1), 2), "bytes", form))
    results = forced(tiles, monkeypatch)
    check(net, target, tmp_path)
    large = "short" if isa.name in ("scalar", "avx512") else "bytes"
    assert results == ["short", large, "short" if isa.name == "scalar" else "bytes"] * (len(tiles) // 3)


@pytest.mark.parametrize("target", TARGETS)
def test_every_tile_that_adds_bytes(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the other tiles; columns of the last may be fewer than one vector, and nothing behind them is read."""
    isa, net = isa_of(target), Network(18)
    tiles: list[QTiles] = []
    for form, table in qtiles.forms(isa).items():
        for nv, mr in table.items():
            for times, wide, rest in ((1, False, 0), (1000, False, 1 - isa.lanes), (1000, True, 1 - isa.lanes)):
                rows, k, n = 2 * mr + 1, 43, (3 * nv - 1) * isa.lanes + 3 + rest
                consts, bounds = _requant(net, isa, n, k, times, wide)
                added = _added(net, isa, 1, rows, 1, n, k=k, times=times)
                attrs: Any = dict(strides=(1, 1), pads=(0,) * 4, dilations=(1, 1), layout="nhwc")
                x, w = _bytes(net, isa, 1, rows, 1, k), _weights(net, n, k, 1, 1)
                net.op("qconv", x, w, *consts, None, *added, x_zero=_zero(isa, 0.4), **attrs, **bounds)
                tiles.append(QTiles(Tiles(isa.lanes, mr, nv, max(1, nv - 1), 2), "bytes", form, onto=True))
    results = forced(tiles, monkeypatch)
    check(net, target, tmp_path)
    assert len(results) == len(tiles)
    assert isa.name == "scalar" or {"short", "bytes"} == set(results)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_block_that_adds_bytes(target: str, step: int, tmp_path: Path) -> None:
    """What is added lies in a ring of another depth, and with columns beside it."""
    isa, net = isa_of(target), Network(19)
    x = _bytes(net, isa, 2, 13, 11, 7)
    sizes = [(3, 1), (1, 0), (3, 1), (3, 1)]
    before = x
    for i, (size, pad) in enumerate(sizes):
        c = x.type.dims[3]
        consts, bounds = _requant(net, isa, 7, c * size * size)
        attrs: Any = dict(strides=(1, 1), pads=(pad,) * 4, dilations=(1, 1), layout="nhwc", x_zero=_zero(isa, 0.15 * i))
        more = (None, before, net.build.const(net.rng.integers(1, 700, 7), "i32")) if i % 2 else ()
        y = net.build.op("qconv", x, _weights(net, 7, c, size, size), *consts, *more, **attrs, **bounds)
        before, x = (y, y) if i % 2 else (before, y)
    net.done(x)
    check(net, target, tmp_path, [Segment(tuple(net.graph.ops), step)])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_block(target: str, step: int, tmp_path: Path) -> None:
    """Rings of bytes between convolutions, with columns that hold the zero points."""
    isa, net = isa_of(target), Network(9)
    x = _bytes(net, isa, 2, 13, 11, 3)
    for i, (o, size, stride, pad) in enumerate([(8, 3, 2, 1), (20, 1, 1, 0), (6, 3, 1, 1), (9, 3, 1, 2), (5, 1, 2, 0)]):
        c = x.type.dims[3]
        consts, bounds = _requant(net, isa, o, c * size * size)
        attrs: Any = dict(strides=(stride,) * 2, pads=(pad,) * 4, dilations=(1, 1), layout="nhwc",
                          x_zero=_zero(isa, 0.15 * i))  # fmt: skip
        x = net.build.op("qconv", x, _weights(net, o, c, size, size), *consts, **attrs, **bounds)
    net.done(x)
    check(net, target, tmp_path, [Segment(tuple(net.graph.ops), step)])


def test_flags_of_another_core_are_refused(tmp_path: Path) -> None:
    """Packed weights mean something else there."""
    known = host.devices()
    wrong = replace(known["avx512vnni"], flags=known["avx512"].flags)
    plan = make_plan(network(wrong.isa).graph, wrong, "unit", 1)
    with pytest.raises(ToolError, match=r"flags of CMakeLists\.txt"):
        make_files(plan, wrong, Identity("", ""), Platform("x86_64-linux-gnu.2.28"), lambda _: None)
    cores = arm.devices()
    wrong = replace(cores["neoverse-n2"], flags=cores["cortex-a76"].flags)
    plan = make_plan(network(wrong.isa).graph, wrong, "unit", 1)
    with pytest.raises(ToolError, match=r"flags of CMakeLists\.txt.*matrices"):
        make_files(plan, wrong, Identity("", ""), arm.platform("linux"), lambda _: None)
