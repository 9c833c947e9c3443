"""No core's code needs what its table does not say."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from edgec.runtime.elf import read_elf
from edgec.targets.arm import target as arm
from edgec.targets.c.toolchain import ARM_TRIPLES, zig

LOOP = "void f(float *restrict a, const float *restrict b, long n) { for (long i = 0; i < n; i++) a[i] += b[i]; }\n"


@pytest.mark.parametrize("cpu", arm.devices())
def test_no_scalable_vectors(cpu: str, tmp_path: Path) -> None:
    """Systems switch SVE off on cores that have it, and the device tables do not ask for it."""
    (tmp_path / "f.c").write_text(LOOP)
    flags = [*arm.devices()[cpu].flags, "-O2", "-nostdlib", "-static", "-Wl,-e,f"]
    command = [*zig(), "cc", "-target", ARM_TRIPLES["none"], *flags, "f.c", "-o", "f.elf"]
    subprocess.run(command, cwd=tmp_path, check=True)
    elf = read_elf(tmp_path / "f.elf")
    code = [w for s in elf.segments if s.flags & 1 for (w,) in struct.iter_unpack("<I", s.data)]
    assert code
    assert not [word for word in code if word >> 25 & 15 == 2]  # the encodings of SVE
