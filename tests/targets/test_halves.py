"""Kernels of halves against the interpreter: computed in halves (cortex-a76, and its plans as this machine computes
them), and stored as halves everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_integer
import test_qconv
import test_qdepthwise
from compiled import HOSTS, compiled
from network import Network
from test_blocks import CUTS, cut, network, squeeze_excite, transformer, upwards
from test_conv import _network as convolutions

from edgec.ir import interp
from edgec.ir.graph import Graph
from edgec.paired import signal_to_noise
from edgec.passes.narrow_to_halves import NO_KERNEL, narrow
from edgec.targets.arm import target as arm
from edgec.targets.c.devices import computed_here
from edgec.targets.c.element import element_of
from edgec.targets.c.isa import NEON, Isa
from edgec.targets.c.lower.halves import has_half_form
from edgec.targets.c.tiles import ROWS, choose_tiles
from edgec.targets.host import target as host

COMPUTED, HERE = "arm:cortex-a76", "host:halves"
TARGETS = [*HOSTS, "arm:cortex-a72", COMPUTED, HERE]
# What kernels leave beside the interpreter, which rounds once an operator. Stored halves are rounded as it does, but
# for values between two halves; sums in halves are rounded each time something is added, and F(4) magnifies that.
NOISE_DB = {COMPUTED: 42.0, HERE: 42.0}


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """`host:halves` is a target, too."""
    made = {**host.devices(), "halves": computed_here(arm.choose("cortex-a76"), host.choose(""))}
    monkeypatch.setattr(host, "devices", lambda: made)


def narrowed(graph: Graph) -> list[str]:
    """Makes halves of what has kernels of them; the kinds that stay floats."""
    return [op.kind for op, _ in narrow(graph, lambda op: "" if has_half_form(op) else NO_KERNEL)]


def assert_little_noise(found: Any, expected: Any, label: str, least: float = 60.0) -> None:
    """Halves are rounded elsewhere than in the interpreter; what is no finite half is the same."""
    finite = np.isfinite(expected.astype(np.float64))
    np.testing.assert_array_equal(found[~finite], expected[~finite], label)
    noise = signal_to_noise(found[finite], expected[finite])
    assert noise > least, f"{label}: {noise:.1f} dB"


def check(graph: Graph, feeds: dict[str, Any], target: str, folder: Path) -> None:
    expected = interp.run(graph, feeds)
    with compiled(graph, target, folder) as session:
        found = session.run(None, feeds)
    for (name, value), array in zip(graph.outputs, found, strict=True):
        made = value.op.arg(0).op if value.op is not None and value.op.kind == "cast" else value.op
        assert_little_noise(array, expected[name], f"{name} of {made}", NOISE_DB.get(target, 60.0))


def winograds() -> Network:
    """By F(4) and by F(2), whole tiles and cut ones, channels that fill no vector, residuals."""
    net = Network(8)
    for c, oc, size in ((32, 50, (22, 19)), (16, 24, (24, 24)), (36, 40, (6, 6)), (64, 64, (16, 16))):
        attrs: Any = dict(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), layout="nhwc")
        weights = net.build.const(net.rng.standard_normal((oc, c, 3, 3)) / 9, "f32")
        y = net.op("conv", net.floats(1, *size, c), weights, net.const(oc), **attrs, act="relu")
        net.op("conv", net.floats(1, *size, c), weights, None, net.floats(*y.type.dims), **attrs, act="silu")
    return net


def elements() -> Network:
    """Element by element, along an axis, and only moved; lengths round those of vectors."""
    net = Network(3)
    for n in (1, 7, 8, 9, 40):
        x, z = net.floats(3, n, 5), net.floats(3, n, 5)
        for kind in ("exp", "sigmoid", "gelu", "silu", "hard_swish", "tanh", "relu", "neg", "abs", "floor", "softplus"):
            net.op(kind, x)
        for kind in ("add", "sub", "mul", "max", "min", "prelu"):
            net.op(kind, x, z)
            net.op(kind, x, net.floats(n, 1))
            net.op(kind, net.floats(1), z)
        net.op("pow", net.build.op("abs", x), z)
        net.op("clip", x, lo=-0.5, hi=1.25)
        net.op("leaky_relu", x, alpha=0.1)
        for axis in (1, 2):
            net.op("softmax", x, axis=axis)
            net.op("log_softmax", x, axis=axis)
            for kind in ("reduce_sum", "reduce_mean", "reduce_max"):
                net.op(kind, x, axes=(axis,))
        net.op("reduce_mean", x, axes=(0, 2))
        net.op("layer_norm", net.floats(3, n), net.const(n), net.const(n), axis=1, eps=0.1)
        net.op("rms_norm", net.floats(3, n), net.const(n), axis=1, eps=0.1)
        net.op("concat", x, z, axis=1)
        net.op("transpose", x, perm=(2, 0, 1))
        net.op("pad", x, before=(0, 1, 0), after=(0, 0, 2))
    net.op("transpose", net.floats(2, 3, 5, 9), perm=(0, 2, 3, 1))
    net.op("transpose", net.floats(1, 4, 5, 9), perm=(0, 2, 3, 1))
    net.op("where", net.source(net.rng.integers(0, 2, (4, 9)), "bool"), net.floats(4, 9), net.floats(9))
    return net


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("make", [convolutions, winograds, elements])
def test_against_interpreter(make: Callable[[], Network], target: str, tmp_path: Path) -> None:
    net = make()
    assert not narrowed(net.graph)
    check(net.graph, net.feeds, target, tmp_path)
    if make is winograds and target in (COMPUTED, HERE):
        text = (tmp_path / "unit.c").read_text()
        assert "edgec_hwinograd_input_4," in text
        assert "edgec_hwinograd_input_2," in text


@pytest.mark.parametrize("target", [HOSTS[0], "arm:cortex-a72", COMPUTED, HERE])
@pytest.mark.parametrize(("make", "floats"), [(squeeze_excite, []), (transformer, []), (upwards, ["resize", "resize"])])
def test_in_blocks(make: Callable[[int], Graph], floats: list[str], target: str, tmp_path: Path) -> None:
    graph = make(2)
    assert narrowed(graph) == floats
    rng = np.random.default_rng(0)
    check(graph, {v.name: rng.standard_normal(v.type.dims).astype(np.float32) for v in graph.inputs}, target, tmp_path)


@pytest.mark.parametrize("target", [HOSTS[0], COMPUTED, HERE])
def test_the_same_bits_however_cut(target: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((1, 3, 23, 19)).astype(np.float32)
    results = []
    for i, (lengths, step) in enumerate([([1] * 14, 0), *(([1, *lengths, 1], step) for lengths, step in CUTS[1:4])]):
        graph = network(1)
        narrowed(graph)
        assert len(graph.ops) == 14, "a cast in front and one behind"
        folder = tmp_path / str(i)
        folder.mkdir()
        with compiled(graph, target, folder, segments=cut(graph, lengths, step)) as session:
            results.append(session.run(None, {"x": x})[0])
    assert np.abs(results[0]).max() > 0.5
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_a_tile_fits_the_registers() -> None:
    """A vector of A a row among the lower half of the registers, from where lanes of halves are broadcast."""
    for nv, most in ROWS["neon_halves"].items():
        assert most * nv + most + 4 <= NEON.registers
        assert most <= 12


@pytest.mark.parametrize("target", [COMPUTED, HERE])
def test_every_tile(target: str, tmp_path: Path) -> None:
    net = Network(4)
    a76 = element_of(arm.choose("cortex-a76").isa, "f16")
    used = set()
    for nv, most in ROWS["neon_halves"].items():
        for rows, columns, k in ((most, 8 * nv, 21), (2 * most + 1, 16 * nv - 1, 130), (most, 8 * nv, 16)):
            tiles = choose_tiles(a76, rows, columns, k)
            used |= {(tiles.mr, tiles.nv), (tiles.mr, tiles.last_nv)}
            net.op("matmul", net.floats(rows, k), net.const(k, columns), net.const(columns), act="clip:-1.0:2.0")
            net.op("matmul", net.floats(rows, k), net.const(k, columns), net.floats(rows, columns))
    assert used >= {(most, nv) for nv, most in ROWS["neon_halves"].items()}, "no case has this tile"
    narrowed(net.graph)
    check(net.graph, net.feeds, target, tmp_path)


@pytest.mark.parametrize("target", [HOSTS[0], COMPUTED, HERE])
def test_long_sums_keep_what_they_add(target: str, tmp_path: Path) -> None:
    """A sum of ones in halves would end at 2048."""
    net = Network(5)
    net.op("matmul", net.source(np.ones((1, 8000))), net.build.const(np.ones((8000, 9)), "f32"))
    image, kernel = net.source(np.ones((1, 5, 5, 512))), net.build.const(np.ones((8, 512, 3, 3)), "f32")
    net.op("conv", image, kernel, strides=(2, 2), pads=(0, 0, 0, 0), dilations=(1, 1), layout="nhwc")
    narrowed(net.graph)
    found = net.run(target, tmp_path)
    np.testing.assert_array_equal(found["y0"], 8000.0)
    np.testing.assert_array_equal(found["y1"], 4608.0)


def test_this_machine_adds_as_the_core_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Sums in halves, in the same order: but for a multiply-add that is rounded twice, the same numbers."""
    net = Network(6)
    for rows, k in ((9, 40), (3, 700)):
        net.op("matmul", net.floats(rows, k), net.const(k, 24), net.const(24))
    x = net.floats(1, 8, 9, 16)
    attrs: Any = dict(strides=(2, 2), pads=(1, 1, 1, 1), dilations=(1, 1), layout="nhwc")
    net.op("conv", x, net.const(24, 16, 3, 3), net.const(24), **attrs, act="relu")
    net.op("conv", x, net.const(16, 1, 3, 3), net.const(16), groups=16, **attrs)
    narrowed(net.graph)
    core, here, floats = (net.run(target, tmp_path_factory.mktemp("net")) for target in (COMPUTED, HERE, HOSTS[0]))
    for name, array in core.items():
        assert np.mean(here[name] == array) > 0.99, name
        assert np.mean(floats[name] == array) < 0.9, f"{name}: sums in floats are others"


@pytest.mark.parametrize("made", [test_qconv.network, test_qdepthwise.network, test_integer.network])
def test_bytes_beside_halves(made: Callable[[Isa], Network], tmp_path: Path) -> None:
    """What stands for a core with halves has its bytes, too, bit by bit."""
    net = made(NEON)
    expected = interp.run(net.graph, net.feeds)
    with compiled(net.graph, HERE, tmp_path) as session:
        found = session.run(None, net.feeds)
    for (name, _), array in zip(net.graph.outputs, found, strict=True):
        np.testing.assert_array_equal(array, expected[name], name)
