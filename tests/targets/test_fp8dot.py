"""The core's own products of 8-bit floats: nothing here runs them, so that the object code is looked at."""

from __future__ import annotations

import struct
from importlib.resources import files
from pathlib import Path

import pytest

from edgec.ir.errors import ToolError
from edgec.targets.c.toolchain import compile_c

KERNELS = files("edgec.targets.c").joinpath("kernels")
CORE = "generic+v9_2a+fp8+fp8dot4+fp8fma"
SOURCE = """#include "fp8dot.h"
void product(const uint8_t *a, const uint8_t *b, const float *bias, float *c) {
  edgec_fp8_dot_4x4(a, 64, b, bias, c, 16, 4, EDGEC_FPMR_E4M3);
}
"""
# FDOT of 8-bit floats to float32, by element, and MSR to FPMR (Arm Architecture Reference Manual, A64)
BY_ELEMENT, BY_ELEMENT_MASK = 0x0F000000, 0xBFC0F400
SET_FORMATS, SET_FORMATS_MASK = 0xD51B4440, 0xFFFFFFE0


def words(path: Path) -> list[int]:
    """The instructions of an object's .text sections."""
    data = path.read_bytes()
    at, size, count, names = struct.unpack_from("<Q10xHHH", data, 40)
    sections = [struct.unpack_from("<IIQQQQ", data, at + i * size) for i in range(count)]
    strings = sections[names][4]
    found: list[int] = []
    for name, _, _, _, offset, length in sections:
        if data[strings + name :].startswith(b".text"):
            found += struct.unpack_from(f"<{length // 4}I", data, offset)
    return found


def compiled(folder: Path, core: str) -> list[int]:
    for header in ("fp8dot.h", "isa.h", "edgec_base.h"):
        (folder / header).write_text(KERNELS.joinpath(header).read_text())
    (folder / "fp8.c").write_text(SOURCE)
    compile_c(folder, "fp8.c", "fp8.o", "aarch64-linux-gnu", (f"-mcpu={core}", "-O2", "-Wall", "-Wextra", "-Werror"))
    return words(folder / "fp8.o")


def test_the_instruction_is_there(tmp_path: Path) -> None:
    """64 products of four a step: a register of A is used lane by lane, and formats are set before."""
    code = compiled(tmp_path, CORE)
    dots = [word for word in code if word & BY_ELEMENT_MASK == BY_ELEMENT]
    assert len(dots) % 64 == 0
    assert dots
    lanes = {(word >> 21 & 1) | (word >> 11 & 1) << 1 for word in dots}
    assert lanes == {0, 1, 2, 3}
    assert [word for word in code if word & SET_FORMATS_MASK == SET_FORMATS]


def test_another_core_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="edgec_fp8_dot_4x4"):
        compiled(tmp_path, "cortex_a76")
