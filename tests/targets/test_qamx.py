"""Tiles of AMX: no machine here has them, so that the kernels run over a model of tiles in C (amx_model.h), and the
object code is looked at."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import compiled, emitted, native
from network import Network
from test_qconv import _bytes, _requant, _weights, _zero, network

import edgec
from edgec.ir.errors import ToolError
from edgec.plan.schedule import Segment
from edgec.runtime.cpu import cpu_features, missing_features
from edgec.runtime.errors import RunError
from edgec.runtime.session import load
from edgec.targets.c import qtiles
from edgec.targets.c.build import Platform, make_files, make_plan
from edgec.targets.c.devices import Device
from edgec.targets.c.emit import Identity
from edgec.targets.c.lower import qmatmul
from edgec.targets.c.qtiles import QTiles, choose_qtiles
from edgec.targets.c.tiles import Tiles
from edgec.targets.c.toolchain import COMMON, run, zig
from edgec.targets.host import target as host

MODEL = Path(__file__).with_name("amx_model.h")
EXAMPLE = Path(__file__).parents[2] / "examples" / "resnet8_fashion_mnist.onnx"
AMX = host.devices()["amx"]
X86_64 = Platform("x86_64-linux-gnu.2.28")
# TDPBUSD, LDTILECFG and TILERELEASE (Intel SDM, volume 2): 66 and no prefix, 0F38, W0, opcodes 5E and 49
ASK = b"\xb8\x9e\0\0\0"  # mov eax, 158: arch_prctl
PRODUCT, CONFIGURE, RELEASE = rb"\xc4\xe2[\x01-\x79]\x5e[\xc0-\xff]", rb"\xc4\xe2\x78\x49", rb"\xc4\xe2\x78\x49\xc0"


def modelled(net: Network, folder: Path, vectors: tuple[str, ...], segments: list[Segment] | None = None) -> None:
    """Against the interpreter: the same source, with the model in the place of the header that has the instructions."""
    emitted(net.graph, "host:amx", folder, segments)
    flags = (*COMMON, *vectors, "-fPIC", "-O2", "-I.", "-include", str(MODEL))
    target = ("-target", X86_64.triple)
    run([*zig(), "cc", *target, *flags, "-c", "unit.c", "-o", "unit.o"], folder)
    run([*zig(), "cc", *target, "-I.", "-c", "unit_weights.S", "-o", "weights.o"], folder)
    run([*zig(), "cc", *target, "-shared", "-O2", "unit.o", "weights.o", "-o", "libunit.so"], folder)
    with load(folder, runner="host", verify_files=False) as session:
        found = session.run(None, net.feeds)
    expected = net.expected()
    for (name, value), y in zip(net.graph.outputs, found, strict=True):
        np.testing.assert_array_equal(y, expected[name], f"{name} {value.op} {value.type}")


VECTORS = [device.flags for device in native() if device.name == "avx512vnni"]


@pytest.mark.parametrize("vectors", VECTORS)
def test_against_interpreter(vectors: tuple[str, ...], tmp_path: Path) -> None:
    modelled(network(AMX.isa), tmp_path, vectors)
    assert "edgec_qamx_short_16x4" in (tmp_path / "unit.c").read_text()


@pytest.mark.parametrize("vectors", VECTORS)
def test_every_tile(vectors: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs below, at and above a tile's 64 bytes, and no multiple of four; few rows."""
    net, tiles = Network(41), []
    for nv in qtiles.ROWS_AMX:
        for mr, k in ((16, 43), (16, 64), (16, 128), (15, 131), (3, 191), (1, 70)):
            m, n = 2 * mr + 1, (3 * nv - 1) * 16 + 3
            consts, bounds = _requant(net, AMX.isa, n, k)
            x, w = _bytes(net, AMX.isa, m, k, spread=k % 2), _weights(net, n, k, spread=k % 2)
            net.op("qmatmul", x, w, *consts, x_zero=_zero(AMX.isa, 0.4), **bounds)
            net.op("qmatmul", x, w, x_zero=_zero(AMX.isa, 0.4))
            tiles += [QTiles(Tiles(16, mr, nv, max(1, nv - 1), 2), "bytes", "amx")] * 2
    used = iter(tiles)
    monkeypatch.setattr(qmatmul, "choose_qtiles", lambda *given: replace(next(used), result=given[6]))
    modelled(net, tmp_path, vectors)
    assert next(used, None) is None


@pytest.mark.parametrize("vectors", VECTORS)
def test_a_block(vectors: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network(42)
    x = _bytes(net, AMX.isa, 2, 13, 11, 3)
    for i, (o, size, stride, pad) in enumerate([(40, 3, 2, 1), (80, 1, 1, 0), (24, 3, 1, 1), (70, 3, 1, 2)]):
        c = x.type.dims[3]
        consts, bounds = _requant(net, AMX.isa, o, c * size * size)
        attrs: Any = dict(strides=(stride,) * 2, pads=(pad,) * 4, dilations=(1, 1), layout="nhwc",
                          x_zero=_zero(AMX.isa, 0.15 * i))  # fmt: skip
        x = net.build.op("qconv", x, _weights(net, o, c, size, size), *consts, **attrs, **bounds)
    net.done(x)
    modelled(net, tmp_path, vectors, [Segment(tuple(net.graph.ops), 2)])
    assert "edgec_qamx_" in (tmp_path / "unit.c").read_text()


def object_code(device: Device, flags: tuple[str, ...]) -> bytes:
    """Of a library without its weights."""
    plan = make_plan(network(device.isa).graph, device, "unit", 1)
    files = make_files(plan, replace(device, flags=flags), Identity("", ""), X86_64, lambda _: None, "file").files
    return files["libunit.a"]


def test_the_instructions_are_there() -> None:
    code = object_code(AMX, AMX.flags)
    products = re.findall(PRODUCT, code, re.DOTALL)
    # sums in tiles 0 to 3, and in two forms: modrm is sums and A, vvvv is B upside down
    assert {(word[4] >> 3 & 7, word[4] & 7, ~word[2] >> 3 & 15) for word in products} >= {
        (sums, a, a + 1) for sums in range(4) for a in (4, 6)
    }
    assert re.search(CONFIGURE, code, re.DOTALL)
    assert re.search(RELEASE, code, re.DOTALL)
    assert ASK in code
    assert b"\x0f\x05" in code  # syscall
    others = host.devices()["avx512vnni"]
    assert not re.search(PRODUCT + b"|" + CONFIGURE + b"|" + ASK, object_code(others, others.flags), re.DOTALL)


def test_other_flags_are_refused() -> None:
    with pytest.raises(ToolError, match=r"flags of CMakeLists\.txt.*AMX"):
        object_code(AMX, host.devices()["avx512vnni"].flags)


@pytest.mark.parametrize("vectors", VECTORS)
def test_the_system_is_asked(vectors: tuple[str, ...], tmp_path: Path) -> None:
    """Each run asks before it uses tiles, and ends where there are none."""
    net = Network(43)
    x, w = _bytes(net, AMX.isa, 32, 64), _weights(net, 64, 64)
    net.op("qmatmul", x, w, x_zero=3)
    with compiled(net.graph, "host:amx", tmp_path) as session:
        if missing_features(AMX.features, cpu_features() or frozenset()):
            with pytest.raises(RunError, match="does not let this process use AMX"):
                session.run(None, net.feeds)
            return
        np.testing.assert_array_equal(session.run(None, net.feeds)[0], net.expected()[net.graph.outputs[0][0]])


def test_what_cannot_be_verified_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    have = frozenset({"avx2", "fma", "f16c", "avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512_vnni"})
    monkeypatch.setattr("edgec.runtime.host.cpu_features", lambda: have)
    shapes = {"input": (1, 1, 28, 28)}
    with pytest.raises(ToolError, match=r"cannot be verified here \(build with --verify none.* amx-tile, amx-int8"):
        edgec.compile(EXAMPLE, "host:amx", tmp_path / "out", shapes=shapes)
    assert not (tmp_path / "out").exists()
    receipt = edgec.compile(EXAMPLE, "host:amx", tmp_path / "out", shapes=shapes, verify="none")
    assert "verification" not in receipt


def test_where_tiles_pay() -> None:
    def form(rows: int, columns: int, length: int) -> str:
        return choose_qtiles(AMX.isa, rows, columns, length, rows, 1, "bytes").form

    assert form(49, 960, 160) == form(196, 64, 384) == "amx"
    assert form(1, 1000, 1280) == form(64, 16, 4) == "dots"
    other = host.devices()["avx512vnni"].isa
    assert choose_qtiles(other, 49, 960, 160, 49, 1, "bytes").form == "dots"
