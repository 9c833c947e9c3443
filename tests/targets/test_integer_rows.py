"""Softmax, norms, PRelu, attention and interpolation of bytes against the interpreter, bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import compiled
from network import Network
from test_qconv import TARGETS, _bytes, _zero, check, isa_of

from edgec.ir.graph import Value
from edgec.ir.ops.integer_rows import HIDDEN, KEY_STEP, TOP_WEIGHT
from edgec.targets.c.isa import Isa

pytestmark = pytest.mark.usefixtures("scalar_host")
LENGTHS = (1, 2, 3, 15, 16, 17, 31, 49, 63, 64, 65, 120, 128, 130, 200)


def _softmaxes(net: Network, isa: Isa) -> None:
    for i, (n, scale) in enumerate(zip((*LENGTHS, 1000, 1024, 1025, 4000), (0.001, 0.02, 0.1, 1.0) * 5, strict=False)):
        table = net.build.const(np.rint(65535 * np.exp(-scale * np.arange(256))), "u16")
        net.op("qsoftmax", _bytes(net, isa, 3, n, spread=i % 3), table, axis=1, to=isa.byte)
        net.op("qsoftmax", _bytes(net, isa, 2, n, 3, spread=i % 3), table, axis=1, to=isa.byte)
        for numerator, finer in ((1 << 15, 6), (40000 + 1000 * i, i % 15 - 8)):
            scaled: Any = {"numerator": numerator, "finer": finer, "axis": 1, "to": isa.byte}
            net.op("qsoftmax", _bytes(net, isa, 3, n, spread=i % 3), table, **scaled)
            net.op("qsoftmax", _bytes(net, isa, 2, n, 2, spread=i % 3), table, **scaled)


def _norms(net: Network, isa: Isa) -> None:
    for i, n in enumerate((*LENGTHS, 256, 768, 5000)):
        gain, offset = (net.build.const(net.rng.integers(-bound, bound, n), "i16") for bound in (32767, 8000))
        full: Any = {"axis": 1, "to": isa.byte}
        x = _bytes(net, isa, 3, n, spread=i % 3)
        narrow = net.source(_zero(isa, 0.5) + net.rng.integers(-2, 3, (4, n)), isa.byte)
        same = net.source(np.full((1, n), _zero(isa, 1.0)), isa.byte)
        for value in (x, narrow, same):
            net.op("qnorm", value, gain, offset, eps=(17 * i * n) << i, shift=1 + i % 7, **full)
            net.op("qnorm", value, gain, offset, centre=0, x_zero=_zero(isa, 0.3), shift=14, **full)
    gain = net.build.const(net.rng.integers(0, 9000, (4, 20)), "i16")
    net.op("qnorm", _bytes(net, isa, 2, 4, 20), gain, gain, axis=1, shift=4, to=isa.byte)


def _prelus(net: Network, isa: Isa) -> None:
    for i, dims in enumerate([(1, 7, 5, 28), (2, 3, 32), (1, 128), (3, 65), (1, 9, 33, 48), (90, 70)]):
        slopes = net.build.const(net.rng.integers(-32767, 32767, dims[-1]), "i16")
        for positive, shift in ((32767, 1), (20000, 6), (300, 8)):
            net.op("qprelu", _bytes(net, isa, *dims, spread=i % 2), slopes, x_zero=_zero(isa, i / 5),
                   zero=_zero(isa, 0.4), positive=positive, shift=shift, to=isa.byte)  # fmt: skip


def exponentials() -> Any:
    return np.rint(TOP_WEIGHT * np.exp(-KEY_STEP * np.arange(256)))


# batch, heads, key heads, queries, keys, length of a key, of a value, shape of the mask
ATTENTIONS: list[Any] = [
    (1, 4, 4, 49, 49, 16, 16, (49, 49)), (1, 8, 8, 40, 40, 15, 15, None), (2, 3, 3, 7, 33, 5, 9, (2, 1, 7, 33)),
    (1, 8, 4, 4, 16, 8, 8, (4, 16)), (1, 1, 1, 1, 1, 1, 1, None), (1, 2, 1, 5, 65, 64, 70, (1, 5, 1)),
    (1, 1, 1, 6, 130, 33, 32, (130,)), (1, 3, 3, 13, 12, 20, 64, (3, 1, 1)), (1, 1, 1, 3, 200, 17, 3, (3, 200)),
]  # fmt: skip


def _attentions(net: Network, isa: Isa) -> None:
    table = net.build.const(exponentials(), "u8")
    for i, (b, heads, kv, n, m, d, e, shape) in enumerate(ATTENTIONS):
        q, k, v = (_bytes(net, isa, *dims, spread=i % 4) for dims in ((b, heads, n, d), (b, kv, m, d), (b, kv, m, e)))
        mask: list[Value] = []
        if shape is not None:
            numbers = net.rng.integers(-9000, 9000, shape)
            mask = [net.build.const(np.where(net.rng.random(shape) < 0.2, HIDDEN, numbers), "i32")]
        for s in (17 + i, 22):
            net.op("qattention", q, k, v, table, *mask, q_zero=_zero(isa, 0.3), v_zero=_zero(isa, i / 9),
                   zero=_zero(isa, 0.6), multiplier=60000 >> i, shift=s, factor=(3 << 31) // (1 + i),
                   to=isa.byte)  # fmt: skip


# (image NHWC, rows, columns, coord)
BLENDS: list[Any] = [
    ((1, 5, 7, 16), 10, 14, "half_pixel"), ((2, 4, 5, 3), 8, 5, "asymmetric"), ((1, 6, 6, 33), 6, 11, "align_corners"),
    ((1, 9, 8, 70), 4, 3, "half_pixel"), ((1, 3, 3, 130), 13, 7, "pytorch_half_pixel"),
]  # fmt: skip


def _resizes(net: Network, isa: Isa) -> None:
    for i, ((n, h, w, c), rows, columns, coord) in enumerate(BLENDS):
        for antialias in (False, True):
            net.op("qresize", _bytes(net, isa, n, h, w, c, spread=i % 2), sizes=(n, rows, columns, c), coord=coord,
                   scales=(1.0, rows / h, columns / w, 1.0), antialias=antialias)  # fmt: skip


def network(isa: Isa) -> Network:
    net = Network(11)
    _resizes(net, isa)
    _softmaxes(net, isa)
    _norms(net, isa)
    _prelus(net, isa)
    _attentions(net, isa)
    return net


@pytest.mark.parametrize("target", TARGETS)
def test_against_interpreter(target: str, tmp_path: Path) -> None:
    check(network(isa_of(target)), target, tmp_path)


def test_row_by_row(tmp_path: Path) -> None:
    """In blocks, an op is called for a tensor of one row."""
    target = TARGETS[0]
    isa = isa_of(target)
    net = Network(12)
    build, zero = net.build, _zero(isa, 0.4)
    q = build.op("quantize", net.floats(2, 24, 20, 24), build.const(0.02, "f32"), build.const(zero, isa.byte))
    pool: Any = dict(kernel=(3, 3), strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), layout="nhwc")
    slopes = build.const(net.rng.integers(-9000, 9000, 24), "i16")
    bent = build.op("qprelu", build.op("max_pool", q, **pool), slopes, x_zero=zero, zero=zero, positive=16000, shift=6,
                    to=isa.byte)  # fmt: skip
    gain, offset = (build.const(net.rng.integers(-2000, 2000, 24), "i16") for _ in range(2))
    normed = build.op("qnorm", bent, gain, offset, axis=3, shift=4, to=isa.byte)
    table = build.const(np.rint(65535 * np.exp(-0.05 * np.arange(256))), "u16")
    net.done(build.op("max_pool", build.op("qsoftmax", normed, table, axis=3, to=isa.byte), **pool))
    for threads in (1, 3):
        with compiled(net.graph, target, tmp_path, threads=threads) as session:
            (found,) = session.run(None, net.feeds)
        np.testing.assert_array_equal(found, net.expected()[net.graph.outputs[0][0]])
