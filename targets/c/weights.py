"""Where the weights live: linked into the library, as an array in the source, or in a file that the caller brings.

A weights file begins with a tag of 64 bytes: magic, sha256 of the rest, zeros. The code holds the same tag and refuses
any other file, which would else give wrong answers in silence.
"""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

from edgec.ir.errors import UsageError

Storage = Literal["linked", "inline", "file"]
STORAGES: tuple[str, ...] = get_args(Storage)

MAGIC = b"EDGECW1\n"
TAG_BYTES = 64
# C compilers take seconds and hundreds of megabytes for larger arrays
INLINE_LIMIT = 1 << 20


def tagged(weights: bytes) -> bytes:
    """The weights file."""
    return (MAGIC + hashlib.sha256(weights).digest()).ljust(TAG_BYTES, b"\0") + weights


def check_inline(name: str, size: int) -> None:
    """UsageError when there are more weights than a C array should hold."""
    if size > INLINE_LIMIT:
        raise UsageError(
            f"--single-file: the weights of {name} are {size:,} bytes, and at most {INLINE_LIMIT:,} may stand in a C "
            "file; build without it, or with --weights file"
        )


def base(name: str, storage: Storage) -> str:
    """The C expression of the first weight, inside of a call."""
    return "m->weights" if storage == "file" else f"{name}_weights"


def declaration(name: str, storage: Storage, weights: bytes) -> str:
    """What stands in the source before the calls."""
    if storage == "file":
        return f"static const unsigned char weights_tag[{TAG_BYTES}] = {{{_numbers(weights[:TAG_BYTES])}}};\n" + _CHECK
    if not weights:
        return ""
    if storage == "inline":
        return (
            f"static const unsigned char {name}_weights[{len(weights)}] __attribute__((aligned(64))) = {{\n"
            f"{_numbers(weights)}}};\n"
        )
    return f'extern const unsigned char {name}_weights[] __attribute__((visibility("hidden")));\n'


_CHECK = """static int check_weights(const void *weights) {
  if (!weights) return EDGEC_NULL_ARGUMENT;
  if ((uintptr_t)weights % 64) return EDGEC_MISALIGNED;
  for (size_t i = 0; i < sizeof weights_tag; i++) {
    if (((const unsigned char *)weights)[i] != weights_tag[i]) return EDGEC_BAD_WEIGHTS;
  }
  return EDGEC_OK;
}
"""


def _numbers(data: bytes) -> str:
    return "".join(",".join(map(str, data[i : i + 32])) + ",\n" for i in range(0, len(data), 32))


def emit_weights(name: str, macho: bool = False) -> str:
    """The assembly file that links the weights in."""
    symbol = f"_{name}_weights" if macho else f"{name}_weights"
    section = "__TEXT,__const" if macho else ".rodata"
    hide = ".private_extern" if macho else ".hidden"
    note = "" if macho else '    .section .note.GNU-stack,"",%progbits\n'
    return (
        f"    .section {section}\n    .p2align 6\n    .globl {symbol}\n    {hide} {symbol}\n{symbol}:\n"
        f'    .incbin "{name}_weights.bin"\n    .byte 0\n{note}'
    )
