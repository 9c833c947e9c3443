"""smmla (FEAT_I8MM) for unicorn, which has no such instruction: the same sums by dot products, beside the image.

Each smmla becomes a branch to a copy of what follows it, up to the next branch, in which dot products stand for it:
    Vd[i][j] += sum over k of Vn[i][k] * Vm[j][k]
is, for each row i of Vn in both halves of a register, a dot product with Vm whose lanes are added in pairs. Sums are
exact, so that results have the same bits. Copies count as the instructions that they were made of.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from edgec.runtime.elf import Image
from edgec.runtime.memory import PAGE

_SMMLA, _SMMLA_MASK = 0x4E80A400, 0xFFE0FC00
_BRANCH = 0x14000000
_X16 = 16


@dataclass(frozen=True)
class Copies:
    """A page at `saved` for registers, `code` at `start`, and what stands in the image's place of each smmla.
    `origins` are the image's addresses of the instructions that begin at `places`, both in order."""

    saved: int
    start: int
    code: bytes
    branches: dict[int, bytes]
    places: tuple[int, ...]
    origins: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + len(self.code)

    def origin(self, address: int) -> int:
        """The image's address of an instruction, wherever it was executed."""
        if not self.start <= address < self.end:
            return address
        return self.origins[bisect_right(self.places, address) - 1]

    def instructions(self, address: int, size: int) -> int:
        """Of a block that was executed. A branch to a copy is none."""
        if self.start <= address < self.end:
                return bisect_left(self.places, address + size) - bisect_left(self.places, address)
        return size // 4 - (address + size - 4 in self.branches)


def copies(image: Image, base: int) -> Copies | None:
    """For an image that has smmla, on pages from `base` on; None for another."""
    saved, start = base, base + PAGE
    words: list[int] = []
    branches: dict[int, bytes] = {}
    places: list[int] = []
    origins: list[int] = []
    for run in _runs(image):
        for address, word in run:
            at = start + 4 * len(words)
            places.append(at)
            origins.append(address)
            if word & _SMMLA_MASK == _SMMLA:
                branches[address] = struct.pack("<I", _branch(address, at))
                words += _by_dot_products(word, at, saved)
            else:
                words.append(word)
        back = start + 4 * len(words)
        words.append(_branch(back, run[-1][0] + 4))
    if not words:
        return None
    code = struct.pack(f"<{len(words)}I", *words)
    return Copies(saved, start, code, branches, tuple(places), tuple(origins))


def _runs(image: Image) -> Iterator[list[tuple[int, int]]]:
    """Addresses and instructions from a smmla to the last one before what cannot be copied."""
    for segment in image.segments:
        if not segment.flags & 1:
            continue
        run: list[tuple[int, int]] = []
        for i, (word,) in enumerate(struct.iter_unpack("<I", segment.data[: len(segment.data) // 4 * 4])):
            if run and _stays(word):
                yield run
                run = []
            elif run or word & _SMMLA_MASK == _SMMLA:
                run.append((segment.address + 4 * i, word))
        if run:
            yield run


def _stays(word: int) -> bool:
    """Branches and system instructions, and what is relative to its place: adr, adrp, loads of literals."""
    return word >> 26 & 7 == 5 or word & 0x1F000000 == 0x10000000 or word & 0x3B000000 == 0x18000000


def _branch(source: int, target: int) -> int:
    assert abs(target - source) < 1 << 27  # code is linked behind constants, near the image's end
    return _BRANCH | (target - source) >> 2 & 0x3FFFFFF


def _by_dot_products(word: int, at: int, saved: int) -> list[int]:
    d, n, m = word & 31, word >> 5 & 31, word >> 16 & 31
    a, b, row = [register for register in range(6) if register not in (d, n, m)][:3]
    pages = (saved >> 12) - (at + 4 >> 12)
    return [
        0xD51BD040 | _X16,  # msr tpidr_el0, x16
        0x90000000 | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5 | _X16,  # adrp x16, saved
        0xAD000000 | b << 10 | _X16 << 5 | a,  # stp qa, qb, [x16]
        0x3D800000 | 2 << 10 | _X16 << 5 | row,  # str qrow, [x16, #32]
        0x4F000400 | a,  # movi a.4s, #0
        0x4F000400 | b,
        0x4E080400 | n << 5 | row,  # dup row.2d, n.d[0]
        0x4E809400 | m << 16 | row << 5 | a,  # sdot a.4s, row.16b, m.16b
        0x4E180400 | n << 5 | row,  # dup row.2d, n.d[1]
        0x4E809400 | m << 16 | row << 5 | b,
        0x4EA0BC00 | b << 16 | a << 5 | a,  # addp a.4s, a.4s, b.4s
        0x4EA08400 | a << 16 | d << 5 | d,  # add d.4s, d.4s, a.4s
        0xAD400000 | b << 10 | _X16 << 5 | a,  # ldp qa, qb, [x16]
        0x3DC00000 | 2 << 10 | _X16 << 5 | row,  # ldr qrow, [x16, #32]
        0xD53BD040 | _X16,  # mrs x16, tpidr_el0
    ]
