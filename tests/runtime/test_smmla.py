"""What stands for smmla in the emulator: sums, registers, counts and places, on a program written by hand."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

import numpy as np
import unicorn
from unicorn import arm64_const as a64

from edgec.runtime.elf import Image, Segment
from edgec.runtime.emulator import _map_copies, _map_image
from edgec.runtime.smmla import Copies, copies

START, DATA = 0x10000, 0x40000
Q = [a64.UC_ARM64_REG_Q0 + i for i in range(32)]


def smmla(d: int, n: int, m: int) -> int:
    return 0x4E80A400 | m << 16 | n << 5 | d


def image(words: list[int]) -> Image:
    data = memoryview(struct.pack(f"<{len(words)}I", *words))
    return Image("aarch64", (Segment(START, len(data), 5, data),), {}, ((START, "all"),))


def executed(words: list[int], registers: np.ndarray) -> tuple[np.ndarray, int, int, Copies]:
    """Registers, x16 and the count of instructions after all words."""
    program = image(words)
    found = copies(program, 0x20000)
    assert found is not None
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    uc.ctl_set_cpu_model(a64.UC_CPU_ARM64_MAX)
    uc.reg_write(a64.UC_ARM64_REG_CPACR_EL1, 3 << 20)
    _map_image(uc, program)
    _map_copies(uc, found)
    uc.mem_map(DATA, 4096)
    for i, q in enumerate(Q):
        uc.reg_write(q, int.from_bytes(registers[i].tobytes(), "little"))
    uc.reg_write(a64.UC_ARM64_REG_X16, 0x123456789)
    uc.reg_write(a64.UC_ARM64_REG_X0, 5)
    blocks: Counter[tuple[int, int]] = Counter()

    def note(uc: Any, address: int, size: int, data: Any) -> None:
        blocks[address, size] += 1

    uc.hook_add(unicorn.UC_HOOK_BLOCK, note)
    uc.emu_start(START, START + 4 * len(words))
    after = np.stack([np.frombuffer(uc.reg_read(q).to_bytes(16, "little"), np.int8) for q in Q])
    count = sum(times * found.instructions(*block) for block, times in blocks.items())
    return after, uc.reg_read(a64.UC_ARM64_REG_X16), count, found


def meant(registers: np.ndarray, d: int, n: int, m: int) -> None:
    a, b = (registers[i].reshape(2, 8).astype(np.int32) for i in (n, m))
    sums = registers[d].view(np.int32).reshape(2, 2) + a @ b.T
    registers[d] = sums.ravel().view(np.int8)


def test_sums_and_registers() -> None:
    """Every register in every place, all other registers as they were; -128 times -128 and sums beyond 2^31 too."""
    registers = np.random.default_rng(1).integers(-128, 128, (32, 16)).astype(np.int8)
    registers[3], registers[4] = -128, -128
    triples = [(d, (d * 7 + 3) % 32, (d * 11 + 5) % 32) for d in range(32)]
    triples += [(0, 1, 1), (2, 2, 1), (5, 1, 5), (6, 3, 4)]
    after, x16, count, _ = executed([smmla(*t) for t in triples], registers.copy())
    for t in triples:
        meant(registers, *t)
    np.testing.assert_array_equal(after, registers)
    assert x16 == 0x123456789
    assert count == len(triples)


def test_a_loop() -> None:
    """Five rounds that begin in the middle of what is copied, with a load relative to its place after it."""
    sub, cbnz = 0xD1000400, 0xB5FFFF80  # sub x0, x0, #1; cbnz x0, the second instruction
    literal = 0x58000001  # ldr x1, itself
    nop = 0xD503201F
    words = [smmla(0, 1, 2), smmla(3, 1, 2), sub, smmla(4, 1, 2), 0x8B010021, cbnz, literal, smmla(5, 1, 2), nop]
    registers = np.random.default_rng(2).integers(-128, 128, (32, 16)).astype(np.int8)
    after, _, count, found = executed(words, registers.copy())
    for d in (0, *[3, 4] * 5, 5):
        meant(registers, d, 1, 2)
    np.testing.assert_array_equal(after, registers)
    assert count == 1 + 5 * 5 + 3
    assert sorted(found.branches) == [START, START + 4, START + 12, START + 28]
    assert [found.origin(place) for place in found.places] == [START + 4 * i for i in (0, 1, 2, 3, 4, 7)]
    assert found.origin(found.places[1] + 8) == START + 4


def test_an_image_without() -> None:
    assert copies(image([0xD503201F]), 0x20000) is None
