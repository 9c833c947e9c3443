"""A small reader of ELF64 little-endian files: segments to load, and symbols for addresses and error messages."""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

from edgec.runtime.errors import RunError

MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64"}

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")

_PT_LOAD = 1
_ET_EXEC = 2
_SHT_SYMTAB = 2
_STT_NOTYPE, _STT_OBJECT, _STT_FUNC = 0, 1, 2


@dataclass(frozen=True)
class Segment:
    """`data` goes to `address`; the rest of `size` bytes is zero. `flags`: 1 execute, 2 write, 4 read."""

    address: int
    size: int
    flags: int
    data: memoryview


@dataclass(frozen=True)
class Image:
    """A static executable."""

    machine: str
    segments: tuple[Segment, ...]
    symbols: dict[str, int]
    functions: tuple[tuple[int, str], ...] = field(repr=False)  # by address, local ones too

    @property
    def end(self) -> int:
        return max(s.address + s.size for s in self.segments)

    def function_at(self, address: int) -> str | None:
        """The function that holds the address: the nearest symbol at or below it."""
        at = bisect_right(self.functions, (address, "\x7f")) - 1
        inside = any(s.flags & 1 and s.address <= address < s.address + s.size for s in self.segments)
        return self.functions[at][1] if at >= 0 and inside else None

    def where(self, address: int) -> str:
        """An address in words: `0x1010420 (edgec_conv+0x20)`."""
        name = self.function_at(address)
        if name is None:
            return f"{address:#x}"
        start = max(a for a, n in self.functions if n == name and a <= address)
        return f"{address:#x} ({name}+{address - start:#x})"


def elf_machine(path: Path) -> int:
    """e_machine of the file, 0 when it is no 64-bit little-endian ELF."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    return int.from_bytes(head[18:20], "little") if head[:6] == b"\x7fELF\x02\x01" else 0


def read_elf(path: Path) -> Image:
    """The image of a static executable; RunError when it is something else."""
    try:
        return _parse(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except (struct.error, ValueError, IndexError) as error:
        raise RunError(f"{path} is not a static 64-bit ELF executable: {error}") from error


def _parse(raw: bytes) -> Image:
    view = memoryview(raw)
    ident, kind, machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, _ = _HEADER.unpack_from(raw)
    if ident[:6] != b"\x7fELF\x02\x01":
        raise ValueError("wrong magic")
    if kind != _ET_EXEC:
        raise ValueError(f"e_type is {kind}, not {_ET_EXEC}: link with -static and without -pie")
    segments = []
    for i in range(phnum):
        p_type, flags, offset, vaddr, _, filesz, memsz, _ = _PROGRAM.unpack_from(raw, phoff + i * phentsize)
        if p_type == _PT_LOAD and memsz:
            if offset + filesz > len(raw) or filesz > memsz:
                raise ValueError("a segment reaches beyond the file")
            segments.append(Segment(vaddr, memsz, flags, view[offset : offset + filesz]))
    if not segments:
        raise ValueError("nothing to load")
    symbols, functions = _symbols(raw, shoff, shentsize, shnum)
    return Image(MACHINES.get(machine, str(machine)), tuple(segments), symbols, functions)


def _symbols(raw: bytes, shoff: int, entsize: int, count: int) -> tuple[dict[str, int], tuple[tuple[int, str], ...]]:
    sections = [_SECTION.unpack_from(raw, shoff + i * entsize) for i in range(count)]
    symbols: dict[str, int] = {}
    functions = []
    for _, kind, _, _, offset, size, link, _, _, each in sections:
        if kind != _SHT_SYMTAB:
            continue
        strings = sections[link][4]
        for at in range(offset, offset + size, each):
            name_at, info, _, section, value, _ = _SYMBOL.unpack_from(raw, at)
            name = raw[strings + name_at : raw.index(b"\0", strings + name_at)].decode()
            if not name or name.startswith("$") or section == 0:  # $x, $d: ARM's mapping symbols
                continue
            if info & 15 == _STT_FUNC:
                functions.append((value, name))
            if info >> 4 and info & 15 in (_STT_NOTYPE, _STT_OBJECT, _STT_FUNC):  # local names may repeat
                symbols[name] = value
    return symbols, tuple(sorted(functions))
