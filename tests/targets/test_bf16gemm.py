"""Products of bf16 with sums in float32: by the cores' own instructions, and by floats everywhere else.

A sum is judged by what kernels/bf16.h derives: its K products lie within so many units of the sum of their sizes, on
any core. The exact sum is that of float64, which holds every product of bf16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from compiled import BF16_CORES, HOSTS, block_and_alone, emitted
from network import Network
from test_coded import CONVS as PLAIN_CONVS

from edgec.ir import interp
from edgec.ir.graph import Value
from edgec.ir.types import DTYPES
from edgec.targets.arm import target as arm
from edgec.targets.c import bf16tiles
from edgec.targets.c.bf16tiles import Bf16Tiles, in_blocks
from edgec.targets.c.lower import matmul
from edgec.targets.c.tiles import Tiles
from edgec.targets.host import target as host

pytestmark = pytest.mark.usefixtures("scalar_host")
NATIVE = "arm:neoverse-n2"
TARGETS = [*HOSTS, "host:scalar", "arm:cortex-a76", *BF16_CORES]
UNIT = 2.0**-23  # of a step that rounds to odd; one to nearest is half of that

# one with a residual behind products that fill no vector
CONVS = [*PLAIN_CONVS, ((1, 6, 6, 35), (7, 35, 3, 3), 1, (2, 1, 2, 1), 1, 1, "", True)]


def bf16(net: Network, *dims: int) -> Value:
    return net.build.const(net.rng.standard_normal(dims).astype(ml_dtypes.bfloat16))


def rounded(net: Network, *dims: int) -> Value:
    """An input as products read it."""
    return net.build.op("cast", net.floats(*dims), to="bf16")


def network(to: str = "f32") -> Network:
    """Convolutions, and matmuls over lengths and widths round those of vectors and groups."""
    net = Network(31)
    for image, kernel, stride, pads, dilation, groups, act, residual in CONVS:
        act = act if to == "f32" or act in ("", "relu") or act.startswith("clip") else ""
        attrs: Any = dict(strides=(stride,) * 2, pads=pads, dilations=(dilation,) * 2, groups=groups, layout="nhwc",
                          act=act, to=to)  # fmt: skip
        operands: list[Value] = [rounded(net, *image), bf16(net, *kernel), net.const(kernel[0])]
        if residual:
            operands.append(net.floats(*net.build.op("conv", *operands, **attrs).type.dims))
        net.op("conv", *operands, **attrs)
    for m, k, n, turned in [
        *((5, k, 19, False) for k in (1, 2, 3, 4, 5, 7, 8, 9, 11, 15, 16, 31, 33, 40, 65, 97)),
        *((m, 37, n, True) for m, n in zip((1, 2, 3, 5, 8, 13, 29) * 3, range(1, 66, 3), strict=False)),
    ]:
        b = bf16(net, *((n, k) if turned else (k, n)))
        added = net.floats(m, n) if m % 2 else net.const(n)
        net.op("matmul", rounded(net, m, k), b, added, trans_b=turned, to=to)
    return net


def assert_bounded(found: Any, x: Any, w: Any, added: Any, label: str) -> None:
    """A matmul's results against its exact ones: each product is added and rounded three times at most."""
    exact = x.astype(np.float64) @ w.astype(np.float64) + added
    sizes = np.abs(x.astype(np.float64)) @ np.abs(w.astype(np.float64)) + np.abs(added)
    most = UNIT * (3 * x.shape[1] + 2) * sizes
    assert np.all(np.abs(found - exact) <= most), f"{label}: {np.max(np.abs(found - exact) / most):.2f} of the bound"


def assert_near(found: Any, expected: Any, label: str) -> None:
    """The interpreter's float32 sums lie within the same bound; a result of bf16 is a step beside at most."""
    y, meant = found.astype(np.float64), expected.astype(np.float64)
    largest = np.abs(meant).max()
    most = 2e-5 * largest + (2.0**-7 * np.abs(meant) if found.dtype.itemsize == 2 else 0.0)
    assert np.all(np.abs(y - meant) <= most), f"{label}: {np.abs(y - meant).max()} of {largest}"


def check(net: Network, target: str, folder: Path) -> None:
    found, expected = net.run(target, folder), net.expected()
    for name, value in net.graph.outputs:
        assert_near(found[name], expected[name], f"{target} {value.op}")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("to", ["f32", "bf16"])
def test_against_interpreter(to: str, target: str, tmp_path: Path) -> None:
    check(network(to), target, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_sums_are_within_the_bound(target: str, tmp_path: Path) -> None:
    """Of numbers whose exponents differ much, so that rounding shows."""
    net, cases = Network(32), []
    for m, k, n in ((8, 3, 24), (7, 64, 33), (12, 515, 17), (1, 300, 70)):
        x = (net.rng.standard_normal((m, k)) * 2.0 ** net.rng.integers(-20, 20, (m, k))).astype(ml_dtypes.bfloat16)
        w = (net.rng.standard_normal((k, n)) * 2.0 ** net.rng.integers(-20, 20, (k, n))).astype(ml_dtypes.bfloat16)
        bias = net.rng.standard_normal(n).astype(np.float32)
        net.op("matmul", net.source(x, "bf16"), net.build.const(w), net.build.const(bias), to="f32")
        cases.append((x, w, bias))
    found = net.run(target, tmp_path)
    for i, (x, w, bias) in enumerate(cases):
        assert_bounded(found[f"y{i}"].astype(np.float64), x, w, bias, f"{target} {x.shape}")


@pytest.mark.parametrize("target", TARGETS)
def test_every_tile(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rest of rows, of columns and of products, to floats and to bf16."""
    family, _, cpu = target.partition(":")
    isa = {"arm": arm, "host": host}[family].choose(cpu).isa  # type: ignore[attr-defined]
    net, tiles = Network(33), []
    for nv, most in bf16tiles.ROWS[isa.name, isa.bf16_products > 0].items():
        for mr, to in ((most, "f32"), (max(1, most - 1), "f32"), (most, "bf16")):
            m, k, n = 2 * mr + 1, 43, (3 * nv - 1) * isa.lanes + 3
            net.op("matmul", rounded(net, m, k), bf16(net, k, n), net.const(n), to=to, act="clip:-9.0:9.0")
            of = Tiles(isa.lanes, mr, nv, max(1, nv - 1), 2)
            tiles.append(Bf16Tiles(of, in_blocks(isa, mr), "t" if to == "bf16" else "b"))
    used = iter(tiles)
    monkeypatch.setattr(matmul, "choose_bf16_tiles", lambda *_: next(used))
    check(net, target, tmp_path)
    assert next(used, None) is None


@pytest.mark.parametrize("target", [HOSTS[0], "arm:cortex-a76", *BF16_CORES])
@pytest.mark.parametrize("step", [1, 3])
def test_a_block(target: str, step: int, tmp_path: Path) -> None:
    """Rings of bf16 and of floats, over the ends of the image: the same bits as one operator after the other."""
    net = Network(34)
    x = rounded(net, 2, 13, 11, 3)
    for i, (o, size, stride, pad) in enumerate([(40, 3, 2, 1), (20, 1, 1, 0), (6, 3, 1, 1), (9, 3, 1, 2)]):
        to = "f32" if i % 2 else "bf16"
        x = net.build.op("conv", x, bf16(net, o, x.type.dims[3], size, size), net.const(o), strides=(stride,) * 2,
                         pads=(pad,) * 4, dilations=(1, 1), layout="nhwc", act="relu", to=to)  # fmt: skip
        x = net.build.op("cast", x, to="bf16") if i == 1 else x
    net.done(x)
    found = block_and_alone(net.graph, target, tmp_path, step, net.feeds)
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], interp.run(net.graph, net.feeds)["y0"], rtol=0.02, atol=0.02 * found[0].max())
    assert found[0].max() > 1


@pytest.mark.parametrize("target", TARGETS)
def test_every_number_is_rounded_to_nearest(target: str, tmp_path: Path) -> None:
    """Every number of bf16, the middle of two, and beside it; lengths that fill no vector."""
    every = np.arange(1 << 16, dtype=np.uint32) << 16
    numbers = np.concatenate([every + np.uint32(low) for low in (0, 0x7FFF, 0x8000, 0x8001)]).view(np.float32)
    net = Network(35)
    for n in (1, 3, 4, 17, 31, 33, 66, len(numbers)):
        net.op("cast", net.source(net.rng.choice(numbers, n) if n < 99 else numbers), to="bf16")
    found, expected = net.run(target, tmp_path), net.expected()
    for name in expected:
        nan = np.isnan(expected[name].astype(np.float32))
        assert np.all(np.isnan(found[name][nan].astype(np.float32)))
        np.testing.assert_array_equal(found[name][~nan].view(np.uint16), expected[name][~nan].view(np.uint16), target)


@pytest.mark.parametrize("target", TARGETS)
def test_what_lies_behind_a_row_does_not_count(target: str, tmp_path: Path) -> None:
    """Infinities and NaNs in the next row: blocks read a few numbers of it."""
    net = Network(36)
    for k in (1, 2, 3, 5, 6, 7):
        x = np.ones((9, k), np.float32)
        x[[2, 5, 8]] = np.inf
        x[6] = np.nan
        net.op("matmul", net.build.op("cast", net.source(x), to="bf16"), bf16(net, k, 21), to="f32")
    found, expected = net.run(target, tmp_path), net.expected()
    for name in expected:
        finite = np.isfinite(expected[name])
        assert finite[[0, 1, 3, 4, 7]].all()
        np.testing.assert_allclose(found[name][finite], expected[name][finite], rtol=1e-4, atol=1e-4)
        assert not np.isfinite(found[name][~finite]).any()


def test_an_operand_of_the_caller_is_copied(tmp_path: Path) -> None:
    """Blocks read behind a row, and the caller's memory may end there."""
    net = Network(37)
    x = net.source(net.rng.standard_normal((4, 1023)), "bf16")
    net.op("matmul", x, bf16(net, 1023, 24), to="f32")
    image = net.source(net.rng.standard_normal((1, 4, 4, 3)), "bf16")
    net.op("conv", image, bf16(net, 8, 3, 3, 3), strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), layout="nhwc",
           to="f32")  # fmt: skip
    emitted(net.graph, NATIVE, tmp_path)
    text = (tmp_path / "unit.c").read_text()
    assert text.count("edgec_copy(") > 1, "the definition, and a use"
    assert "edgec_bgemm_blocks_" in text


def test_weights_take_two_bytes() -> None:
    from compiled import native

    from edgec.targets.c.build import make_plan

    net = Network(38)
    net.op("matmul", rounded(net, 4, 256), bf16(net, 256, 128), to="f32")
    plan = make_plan(net.graph, native()[0], "unit", 1)
    assert dict(plan.weights_by_kind)["bf16"] == 256 * 128 * 2
    assert DTYPES["bf16"].itemsize == 2


def test_other_flags_are_refused(tmp_path: Path) -> None:
    """Blocks of weights are for cores that multiply bf16: another compiler flag is an error, not a wrong sum."""
    from dataclasses import replace

    import compiled as of

    from edgec.ir.errors import ToolError

    net = Network(39)
    net.op("matmul", rounded(net, 4, 8), bf16(net, 8, 24), to="f32")
    plan, device, platform = of._planned(net.graph, NATIVE, 1, None, lambda _: None)
    wrong = replace(device, flags=("-mcpu=cortex_a76",))
    with pytest.raises(ToolError, match=r"compile with the flags of CMakeLists\.txt"):
        of.make_files(plan, wrong, of.Identity("test", NATIVE), platform, lambda _: None)
