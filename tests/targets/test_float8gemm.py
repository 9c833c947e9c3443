"""Products of 8-bit floats as they lie in memory. Nothing here has the cores' instruction: what runs is the same C with
a model of it, on every kernel set and on A64 tile by tile as the core would; of the instruction, the object code is
looked at."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import HOSTS, _planned, _write
from network import Network
from test_coded import CONVS, weights

from edgec.ir.errors import IRError, ToolError
from edgec.ir.graph import Value
from edgec.plan.schedule import Segment
from edgec.runtime.errors import RunError
from edgec.runtime.session import load
from edgec.targets.arm import target as arm
from edgec.targets.c import qtiles
from edgec.targets.c.build import make_files
from edgec.targets.c.emit import Identity
from edgec.targets.c.float8tiles import Float8Tiles
from edgec.targets.c.lower import matmul
from edgec.targets.c.tiles import Tiles

pytestmark = pytest.mark.usefixtures("scalar_host")
CORE = "arm:olympus"
MODELLED = "-mcpu=cortex_a76"  # the flags under which C stands for the core's instruction
TARGETS = [*HOSTS, "host:scalar", "arm:cortex-a76", CORE]
# FDOT of 8-bit floats to float32, by element and of vectors, and MSR to FPMR (Arm Architecture Reference Manual, A64)
BY_ELEMENT, BY_ELEMENT_MASK = 0x0F000000, 0xBFC0F400
OF_VECTORS, OF_VECTORS_MASK = 0x0E00FC00, 0xBFE0FC00
SET_FORMATS, SET_FORMATS_MASK = 0xD51B4440, 0xFFFFFFE0


def codes(net: Network, format: str, *dims: int, scale: float = 0.25) -> Value:
    return net.build.op("to_float8", net.floats(*dims), format=format, scale=scale)


def network(format: str) -> Network:
    net = Network(41)
    read: dict[str, Any] = dict(to="f32", format=format, scale=0.25)
    for image, kernel, stride, pads, dilation, groups, act, residual in CONVS:
        attrs: Any = dict(strides=(stride,) * 2, pads=pads, dilations=(dilation,) * 2, groups=groups, layout="nhwc",
                          act=act, **read)  # fmt: skip
        operands = [codes(net, format, *image), weights(net, format, kernel, 0, 1), net.const(kernel[0])]
        if residual:
            operands.append(net.floats(*net.build.op("conv", *operands, **attrs).type.dims))
        net.op("conv", *operands, **attrs)
    for m, k, n, turned in [
        *((5, k, 19, False) for k in (1, 2, 3, 4, 5, 7, 15, 16, 17, 19, 31, 32, 33, 40, 65, 97)),
        *((m, 37, n, True) for m, n in zip((1, 2, 3, 5, 8, 13, 29) * 3, range(1, 66, 3), strict=False)),
    ]:
        b = weights(net, format, (n, k) if turned else (k, n), 0 if turned else 1, 1 if turned else 0)
        net.op("matmul", codes(net, format, m, k), b, net.const(n), trans_b=turned, **read)
    return net


def found_by(net: Network, target: str, folder: Path, segments: Any = None) -> Mapping[str, Any]:
    """What kernels give; where the core's own instruction cannot run, by its model, and nothing else differs."""
    plan, device, platform = _planned(net.graph, target, 4, segments, lambda _: None)
    if device.isa.float8_products:
        device = replace(device, flags=(MODELLED,), isa=replace(device.isa, float8_products=0, bf16_products=0))
    files = make_files(plan, device, Identity("test", target), platform, lambda _: None).files
    _write(folder, files, plan, device, target)
    with load(folder) as session:
        return dict(zip([name for name, _ in net.graph.outputs], session.run(None, net.feeds), strict=True))


def check(net: Network, target: str, folder: Path) -> None:
    """A product of codes is exact, and four of them are rounded once; the interpreter rounds each sum."""
    found, expected = found_by(net, target, folder), net.expected()
    for name, value in net.graph.outputs:
        y, meant = found[name], expected[name]
        most = 3e-5 * np.abs(meant).max()
        assert np.all(np.abs(y - meant) <= most), f"{target} {value.op}: {np.abs(y - meant).max() / most}"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("format", ["e4m3", "e5m2"])
def test_against_interpreter(format: str, target: str, tmp_path: Path) -> None:
    check(network(format), target, tmp_path)


def test_every_product_of_two_codes(tmp_path: Path) -> None:
    """Bit for bit: a sum of one product is exact, small numbers included."""
    from edgec.ir.encodings import FLOAT8
    from edgec.ir.types import Float8, Type

    net = Network(42)
    for format, dtype in FLOAT8.items():
        every = np.arange(256, dtype=np.uint8)
        every = every[np.isfinite(every.view(dtype).astype(np.float32))]
        scale = net.graph.module.intern(np.ones(len(every), np.float32))
        w = net.graph.encoded(every[None, :], Type("f32", (1, len(every)), (Float8(format, scale, 1),)))
        net.op("matmul", net.source(every[:, None], "u8"), w, to="f32", format=format, scale=1.0)
    for target in ("host:scalar", CORE):
        folder = tmp_path / target.replace(":", "-")
        folder.mkdir()
        found, expected = found_by(net, target, folder), net.expected()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], target)


def test_every_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rest of rows, of columns and of products, as the core would take them."""
    net, tiles = Network(43), []
    for nv, mr in qtiles.ROWS["neon", True].items():
        net.op("matmul", codes(net, "e4m3", 2 * mr + 1, 43), weights(net, "e4m3", (43, 12 * nv - 1), 1, 0),
               net.const(12 * nv - 1), to="f32", format="e4m3", scale=0.25)  # fmt: skip
        tiles.append(Float8Tiles(Tiles(4, mr, nv, max(1, nv - 1), 2), "e4m3"))
    used = iter(tiles)
    monkeypatch.setattr(matmul, "choose_float8_tiles", lambda *_: next(used))
    check(net, CORE, tmp_path)
    assert next(used, None) is None


@pytest.mark.parametrize("step", [1, 3])
def test_a_block(step: int, tmp_path: Path) -> None:
    """Rings of codes over the ends of the image: the same bits as one operator after the other."""
    net = Network(44)
    x = net.floats(2, 13, 11, 3)
    for o, size, stride, pad in [(40, 3, 2, 1), (20, 1, 1, 0), (6, 3, 1, 1)]:
        w = weights(net, "e4m3", (o, x.type.dims[3], size, size), 0, 1)
        x = net.build.op("to_float8", x, format="e4m3", scale=0.5)
        x = net.build.op("conv", x, w, net.const(o), strides=(stride,) * 2, pads=(pad,) * 4, dilations=(1, 1),
                         layout="nhwc", act="relu", to="f32", format="e4m3", scale=0.5)  # fmt: skip
    net.done(x)
    found = []
    for segments in ([Segment(tuple(net.graph.ops), step)], [Segment((op,), 0) for op in net.graph.ops]):
        folder = tmp_path / str(len(segments))
        folder.mkdir()
        found.append(found_by(net, CORE, folder, segments)["y0"])
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], net.expected()["y0"], rtol=0.1, atol=0.02 * np.abs(found[0]).max())


def words(data: bytes) -> list[int]:
    """The instructions of an ELF image's .text."""
    at, size, count, names = struct.unpack_from("<Q10xHHH", data, 40)
    sections = [struct.unpack_from("<IIQQQQ", data, at + i * size) for i in range(count)]
    strings = sections[names][4]
    found: list[int] = []
    for name, _, _, _, offset, length in sections:
        if data[strings + name :].startswith(b".text"):
            found += struct.unpack_from(f"<{length // 4}I", data, offset)
    return found


def test_the_core_gets_its_instruction(tmp_path: Path) -> None:
    """Every lane of A's registers, the rest of products by whole registers, and formats set once a tile function."""
    net = Network(45)
    w = weights(net, "e4m3", (67, 31), 1, 0)
    net.op("matmul", codes(net, "e4m3", 9, 67), w, to="f32", format="e4m3", scale=0.25)
    plan, device, platform = _planned(net.graph, CORE, 1, None, lambda _: None)
    files = make_files(plan, device, Identity("test", CORE), platform, lambda _: None).files
    code = words(files["unit.elf"])
    dots = [word for word in code if word & BY_ELEMENT_MASK == BY_ELEMENT]
    lanes = Counter((word >> 21 & 1) | (word >> 11 & 1) << 1 for word in dots)
    assert set(lanes) == {0, 1, 2, 3}
    assert len(set(lanes.values())) == 1
    assert [word for word in code if word & OF_VECTORS_MASK == OF_VECTORS]
    (product,) = [call for call in plan.calls if call.header == "fmatmul.h"]
    assert len([word for word in code if word & SET_FORMATS_MASK == SET_FORMATS]) == len(product.instances)
    _write(tmp_path, files, plan, device, CORE)
    with pytest.raises(RunError, match="uses fp8 instructions, which no emulator here has"):
        load(tmp_path)
    with pytest.raises(RunError, match="uses fp8 instructions, which the qemu runner has not"):
        load(tmp_path, runner="qemu")


def test_what_does_not_go_together() -> None:
    net = Network(46)
    x, w = codes(net, "e4m3", 3, 8), weights(net, "e5m2", (8, 5), 1, 0)
    with pytest.raises(IRError, match="matmul of e3m4 of u8, f32: legal are u8, f32"):
        net.build.op("matmul", x, w, to="f32", format="e3m4")
    with pytest.raises(IRError, match="legal are u8, f32"):
        net.build.op("matmul", x, w, to="bf16", format="e4m3")
    net.op("matmul", x, w, to="f32", format="e4m3", scale=0.25)
    from edgec.ir.errors import UnsupportedError
    from edgec.targets.c.build import make_plan

    with pytest.raises(UnsupportedError, match="8-bit floats needs weights of the same format"):
        make_plan(net.graph, arm.choose("olympus"), "unit", 1)


def test_a_compiler_that_does_not_know_the_core_is_an_error(tmp_path: Path) -> None:
    net = Network(47)
    net.op("matmul", codes(net, "e4m3", 3, 8), weights(net, "e4m3", (8, 5), 1, 0), to="f32", format="e4m3", scale=0.25)
    plan, device, platform = _planned(net.graph, CORE, 1, None, lambda _: None)
    with pytest.raises(ToolError, match="unknown CPU"):
        make_files(plan, replace(device, flags=("-mcpu=olympia",)), Identity("test", CORE), platform, lambda _: None)
