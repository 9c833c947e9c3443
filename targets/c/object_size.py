"""Bytes of code and constants in an object file: what the linker will place, not its symbols and relocations."""

from __future__ import annotations

import struct

_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_ELF_SECTION = struct.Struct("<IIQQQQIIQQ")
_SHF_ALLOC = 2
_MACH_MAGIC = 0xFEEDFACF
_MACH = struct.Struct("<8I")
_LC_SEGMENT_64 = 0x19
_MACH_SECTION = struct.Struct("<16s16sQQ8I")


def code_bytes(raw: bytes) -> int:
    """Of an ELF64 or Mach-O 64 object."""
    if raw[:4] == b"\x7fELF":
        header = _ELF.unpack_from(raw)
        offset, each, count = header[6], header[11], header[12]
        sections = [_ELF_SECTION.unpack_from(raw, offset + i * each) for i in range(count)]
        return sum(s[5] for s in sections if s[2] & _SHF_ALLOC)
    magic, _, _, _, commands, *_ = _MACH.unpack_from(raw)
    assert magic == _MACH_MAGIC, "the compiler made neither ELF nor Mach-O"
    total, at = 0, _MACH.size
    for _ in range(commands):
        kind, size = struct.unpack_from("<II", raw, at)
        if kind == _LC_SEGMENT_64:
            (count,) = struct.unpack_from("<I", raw, at + 64)
            total += sum(_MACH_SECTION.unpack_from(raw, at + 72 + 80 * i)[3] for i in range(count))
        at += size
    return total
