"""Products of matrices of bytes (smmla): what is in the object code, and the same bits under qemu and emulated."""

from __future__ import annotations

import shutil
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from compiled import compiled
from network import Network
from test_qconv import _bytes, _requant, _weights, isa_of, network

from edgec.runtime.elf import read_elf
from edgec.runtime.errors import RunError
from edgec.runtime.session import load
from edgec.targets.arm import target as arm

# SMMLA and SDOT by element (Arm Architecture Reference Manual, A64)
SMMLA, SMMLA_MASK = 0x4E80A400, 0xFFE0FC00
SDOT, SDOT_MASK = 0x4F80E000, 0xFFC0F400
MATRICES = [name for name, device in arm.devices().items() if device.isa.mmla]


def found(image: Path) -> Counter[str]:
    """Products in the image's functions, by instruction and what the function's name begins with."""
    elf = read_elf(image)
    count: Counter[str] = Counter()
    for segment in elf.segments:
        if not segment.flags & 1:
            continue
        for i, (word,) in enumerate(struct.iter_unpack("<I", segment.data)):
            name = "_".join((elf.function_at(segment.address + 4 * i) or "").split("_")[:2])
            count[f"smmla in {name}"] += word & SMMLA_MASK == SMMLA
            count[f"sdot in {name}"] += word & SDOT_MASK == SDOT
    return +count


def layers(target: str) -> Network:
    """Several rows, one row, and a depthwise convolution."""
    isa, net = isa_of(target), Network(40)
    for m, k, n in ((32, 64, 48), (1, 64, 48)):
        consts, bounds = _requant(net, isa, n, k)
        net.op("qmatmul", _bytes(net, isa, m, k), _weights(net, n, k), *consts, x_zero=3, **bounds)
    consts, bounds = _requant(net, isa, 16, 9)
    form = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "groups": 16, "layout": "nhwc"}
    net.op("qconv", _bytes(net, isa, 1, 8, 8, 16), _weights(net, 16, 1, 3, 3), *consts, x_zero=3, **form, **bounds)
    return net


@pytest.mark.parametrize("cpu", MATRICES)
def test_where_the_instruction_is(cpu: str, tmp_path: Path) -> None:
    """In tiles of several rows alone; one row and depthwise convolution keep their dot products."""
    with compiled(layers(f"arm:{cpu}").graph, f"arm:{cpu}", tmp_path) as session:
        count = found(tmp_path / "unit.elf")
        assert count["smmla in edgec_qmmla"] >= 32 * 48 // 4 // 32
        assert count["sdot in edgec_qgemm"] >= 32
        assert not count["sdot in edgec_qmmla"]
        assert not count["smmla in edgec_qgemm"]
        net = layers(f"arm:{cpu}")
        for (name, _), y in zip(net.graph.outputs, session.run(None, net.feeds), strict=True):
            np.testing.assert_array_equal(y, net.expected()[name])


def test_cores_without_it_have_none(tmp_path: Path) -> None:
    compiled(layers("arm:cortex-a76").graph, "arm:cortex-a76", tmp_path).close()
    count = found(tmp_path / "unit.elf")
    assert not any(name.startswith("smmla") for name in count)
    assert count["sdot in edgec_qgemm"]


def test_the_instruction_itself(tmp_path: Path) -> None:
    """qemu executes smmla; the emulator what stands for it. Without qemu there is one sentence."""
    net = network(isa_of("arm:neoverse-n2"))
    with compiled(net.graph, "arm:neoverse-n2", tmp_path) as session:
        assert session.executed_on == "unicorn (aarch64, max, smmla as dot products)"
        emulated = session.run(None, net.feeds)
    if shutil.which("qemu-aarch64") is None:
        with pytest.raises(RunError, match="install qemu-user"):
            load(tmp_path, runner="qemu")
        return
    (tmp_path / "unit.elf").chmod(0o755)
    expected = net.expected()
    with load(tmp_path, runner="qemu") as session:
        for (name, _), y, same in zip(net.graph.outputs, session.run(None, net.feeds), emulated, strict=True):
            np.testing.assert_array_equal(y, expected[name])
            np.testing.assert_array_equal(y, same)
