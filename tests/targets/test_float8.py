"""8-bit floats in memory against the interpreter, bit by bit, on every kernel set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import HOSTS, block_and_alone
from network import Network

from edgec.ir.encodings import FLOAT8

pytestmark = pytest.mark.usefixtures("scalar_host")
TARGETS = [*HOSTS, "host:scalar", "arm:cortex-a76"]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e30, -1e30, 448.0, 464.0, 463.9, 480.0, 57344.0, 61440.0]


def _numbers(format: str) -> np.ndarray[Any, Any]:
    """Every number of the format, what lies in the middle of two neighbours, and beside that."""
    with np.errstate(all="ignore"):
        every = np.arange(256, dtype=np.uint8).view(FLOAT8[format]).astype(np.float32)
        every = np.unique(every[np.isfinite(every)])
        middle = (every[1:] + every[:-1]) / 2
        beside = [np.nextafter(middle, np.float32(side)) for side in (-np.inf, np.inf)]
    return np.concatenate([SPECIAL, every, middle, *beside]).astype(np.float32)


def network() -> Network:
    net = Network(17)
    for format in FLOAT8:
        for n in (1, 3, 16, 31, 64, 65, 0):
            values = _numbers(format)
            x = net.source(net.rng.choice(values, n) if n else values)
            for scale in (1.0, 0.25, 2.0**-30, 2.0**20):
                code = net.op("to_float8", x, format=format, scale=scale)
                net.op("from_float8", code, format=format, scale=scale)
    return net


@pytest.mark.parametrize("target", TARGETS)
def test_every_number(target: str, tmp_path: Path) -> None:
    net = network()
    found, expected = net.run(target, tmp_path), net.expected()
    for name, value in net.graph.outputs:
        assert value.op is not None
        np.testing.assert_array_equal(found[name], expected[name], f"{target} {value.op.kind} {value.op.attrs}")
        if value.type.dtype == "f32":
            assert np.isfinite(found[name]).all()


@pytest.mark.parametrize("target", [HOSTS[0], "arm:cortex-a76"])
@pytest.mark.parametrize("step", [1, 4])
def test_a_block(target: str, step: int, tmp_path: Path) -> None:
    """Rings of bytes between convolutions: the same bits as one operator after the other."""
    net = Network(18)
    x = net.floats(2, 13, 11, 5)
    for o, size, stride, pad in [(8, 3, 2, 1), (20, 1, 1, 0), (6, 3, 1, 1)]:
        w = net.const(o, x.type.dims[3], size, size)
        x = net.build.op("conv", x, w, net.const(o), strides=(stride,) * 2, pads=(pad,) * 4, dilations=(1, 1),
                         layout="nhwc", act="relu")  # fmt: skip
        x = net.build.op("to_float8", x, format="e4m3", scale=0.5)
        x = net.build.op("from_float8", x, format="e4m3", scale=0.5)
    net.done(x)
    found = block_and_alone(net.graph, target, tmp_path, step, net.feeds)
    np.testing.assert_array_equal(*found)
    assert np.unique(found[0]).size > 20
