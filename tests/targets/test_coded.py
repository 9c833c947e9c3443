"""Weights of bytes, half bytes and 8-bit floats in the GEMM of floats, against the interpreter, on every kernel set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import HOSTS, compiled
from network import Network

from edgec.ir.encodings import E2M1, FLOAT8, grouped_dims
from edgec.ir.graph import Value
from edgec.ir.types import Encoding, Float8, Palette, Quant, Scale, Type
from edgec.plan.schedule import Segment
from edgec.targets.arm import target as arm
from edgec.targets.c import coded
from edgec.targets.c.coded import FORMS, CodedTiles, short_scale
from edgec.targets.c.lower import matmul
from edgec.targets.c.tiles import Tiles
from edgec.targets.host import target as host

pytestmark = pytest.mark.usefixtures("scalar_host")
TARGETS = [*HOSTS, "host:scalar", "arm:cortex-a76"]
SHOWN = ["i8", "i4", "e4m3", "e5m2", "e4m3s", "i4f", "i8z", "e5m2h", "i4y", "e2m1f"]  # every decoding, and every letter

# (image NHWC, kernel OIHW, strides, pads, dilations, groups, act, residual)
CONVS: list[Any] = [
    ((1, 8, 8, 3), (16, 3, 3, 3), 1, (1, 1, 1, 1), 1, 1, "relu", False),
    ((1, 9, 7, 3), (5, 3, 3, 3), 2, (0, 0, 1, 1), 1, 1, "", False),
    ((2, 5, 5, 40), (24, 40, 1, 1), 1, (0, 0, 0, 0), 1, 1, "clip:0.0:6.0", True),
    ((1, 13, 11, 64), (70, 64, 1, 1), 2, (0, 0, 0, 0), 1, 1, "silu", False),
    ((1, 12, 12, 8), (12, 4, 3, 3), 1, (1, 1, 1, 1), 1, 2, "relu", True),
    ((1, 12, 12, 6), (9, 6, 3, 3), 1, (2, 2, 2, 2), 2, 1, "gelu", False),
    ((1, 6, 6, 32), (20, 32, 3, 3), 1, (1, 1, 1, 1), 1, 1, "", True),
    ((1, 6, 6, 35), (7, 35, 3, 3), 1, (2, 1, 2, 1), 1, 1, "", False),
    ((1, 6, 6, 4), (4, 4, 3, 3), 1, (-1, 0, -1, 0), 1, 1, "", False),
]


def weights(net: Network, format: str, dims: tuple[int, ...], channels: int, products: int) -> Value:
    """A constant of random codes, with scales a channel, or a group along the products."""
    module, form = net.graph.module, FORMS[format]
    group, axis = form.group, products if form.group else channels
    of = grouped_dims(dims, products, group) if group else (dims[channels],)
    scale = net.rng.uniform(0.01, 2, of).astype(np.float32)
    if form.scale != np.float32:
        scale = short_scale(scale)
    elif group:
        scale *= net.rng.choice(np.float32([-1, 1]), of)
    if form.format == "e2m1":
        codes, key = net.rng.integers(0, 16, dims).astype(np.uint8), module.intern(scale)
        return net.graph.encoded(codes, Type("f32", dims, (Scale(key, axis, group), Palette(4, module.intern(E2M1)))))
    if form.format in FLOAT8:
        stored = (net.rng.standard_normal(dims) * 60).astype(FLOAT8[form.format]).view(np.uint8)
        encoding: Encoding = Float8(form.format, module.intern(scale), axis, group)
    else:
        top = 8 if form.format == "i4" else 128
        zero = net.rng.integers(-top, top, of) if form.zeros else np.zeros(of)
        stored = net.rng.integers(-top, top, dims).astype(np.int8)
        encoding = Quant(form.format, module.intern(scale), module.intern(zero.astype(np.int8)), axis, group)
    return net.graph.encoded(stored, Type("f32", dims, (encoding,)))


def network(format: str) -> Network:
    net = Network(11)
    for image, kernel, stride, pads, dilation, groups, act, residual in CONVS:
        attrs: Any = dict(strides=(stride,) * 2, pads=pads, dilations=(dilation,) * 2, groups=groups, layout="nhwc",
                          act=act)  # fmt: skip
        operands = [net.floats(*image), weights(net, format, kernel, 0, 1), net.const(kernel[0])]
        if residual:
            operands.append(net.floats(*net.build.op("conv", *operands, **{**attrs, "act": ""}).type.dims))
        net.op("conv", *operands, **attrs)
    for m, k, n, turned in [
        *((5, k, 19, False) for k in (1, 2, 3, 7, 8, 9, 15, 31, 32, 33, 40, 64, 65, 97)),
        *((m, 36, n, True) for m, n in zip((1, 2, 3, 5, 8, 13, 29) * 3, range(1, 66, 3), strict=False)),
    ]:
        b = weights(net, format, (n, k) if turned else (k, n), 0 if turned else 1, 1 if turned else 0)
        net.op("matmul", net.floats(m, k), b, net.const(n), trans_b=turned)
    return net


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("format", SHOWN)
def test_against_interpreter(target: str, format: str, tmp_path: Path) -> None:
    network(format).check(target, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("format", SHOWN)
def test_every_tile(target: str, format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every code is met, with a rest of rows, of columns and of products."""
    isa = {"arm": arm, "host": host}[target.partition(":")[0]].choose(target.partition(":")[2]).isa  # type: ignore[attr-defined]
    net, tiles = Network(12), []
    for nv in range(1, max(coded.ROWS[isa.name]) + 1):
        mr = coded.ROWS[isa.name][min(n for n in coded.ROWS[isa.name] if n >= nv)]
        m, k, n = 2 * mr + 1, 77, (3 * nv - 1) * isa.lanes + 3
        net.op("matmul", net.floats(m, k), weights(net, format, (k, n), 1, 0))
        tiles.append(CodedTiles(Tiles(isa.lanes, mr, nv, max(1, nv - 1), 2), FORMS[format], isa.name == "neon"))
    used = iter(tiles)
    monkeypatch.setattr(matmul, "choose_coded_tiles", lambda *_: next(used))
    net.check(target, tmp_path)
    assert next(used, None) is None


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("format", SHOWN)
def test_a_block(format: str, step: int, tmp_path: Path) -> None:
    """Convolutions depth-first, over the ends of the image, where kernel rows are left out."""
    net = Network(13)
    x = net.floats(2, 13, 11, 3)
    for o, size, stride, pad in [(40, 3, 2, 1), (20, 1, 1, 0), (6, 3, 1, 1), (9, 3, 1, 2), (5, 1, 2, 0)]:
        w = weights(net, format, (o, x.type.dims[3], size, size), 0, 1)
        x = net.build.op("conv", x, w, net.const(o), strides=(stride,) * 2, pads=(pad,) * 4, dilations=(1, 1),
                         layout="nhwc", act="relu")  # fmt: skip
    net.done(x)
    for target in (HOSTS[0], "arm:cortex-a76"):
        folder = tmp_path / target.replace(":", "-")
        folder.mkdir()
        segments = [Segment(tuple(net.graph.ops), step)]
        with compiled(net.graph, target, folder, segments=segments) as session:
            (found,) = session.run(None, net.feeds)
        expected = net.expected()["y0"]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max(), err_msg=target)


@pytest.mark.parametrize("format", FORMS)
def test_sums_are_those_of_floats(format: str, tmp_path: Path) -> None:
    """Decoded weights are the very floats: the same bits as with weights that are floats already."""
    assert len(FORMS) == 24
    net = Network(14)
    x, w = net.floats(9, 70), weights(net, format, (70, 50), 1, 0)
    net.op("matmul", x, w)
    net.op("matmul", x, net.build.const(net.graph.array(w)))
    for target in (HOSTS[0], "arm:cortex-a76"):
        folder = tmp_path / target.replace(":", "-")
        folder.mkdir()
        found = net.run(target, folder)
        np.testing.assert_array_equal(found["y0"], found["y1"], target)


@pytest.mark.parametrize("format", FORMS)
def test_weights_take_their_bits(format: str) -> None:
    """Those of a code, and of a scale and a zero point for all that share them; a bias of 4 bytes a column."""
    from compiled import native

    from edgec.targets.c.build import make_plan

    net, form = Network(15), FORMS[format]
    net.op("matmul", net.floats(4, 256), weights(net, format, (256, 128), 1, 0))
    size = len(make_plan(net.graph, native()[0], "unit", 1).weights)
    bits = 8 / form.halves + (8 * form.scale.itemsize + 16 * form.zeros) / (form.group or 256)
    assert 0 <= size - 256 * 128 * bits / 8 - 4 * 128 <= 64
