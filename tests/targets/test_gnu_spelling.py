"""Flags in CMakeLists.txt are those of gcc and clang, whatever zig calls them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgec.targets.arm import target as arm
from edgec.targets.c.emit_interface import emit_cmake, gnu_spelling
from edgec.targets.host import target as host


@pytest.mark.parametrize(("zig", "gnu"), [
    ("-mcpu=cortex_a76", "-mcpu=cortex-a76"),
    ("-mcpu=generic", "-mcpu=generic"),
    ("-mcpu=neoverse_v1-sve", "-mcpu=neoverse-v1+nosve"),
    ("-mcpu=x86_64_v3", "-march=x86-64-v3"),
    ("-mcpu=x86_64_v4+avx512vnni+avx512bf16", "-march=x86-64-v4 -mavx512vnni -mavx512bf16"),
    ("-mcpu=x86_64_v4+amx_tile+amx_int8", "-march=x86-64-v4 -mamx-tile -mamx-int8"),
    ("-mprefer-vector-width=512", "-mprefer-vector-width=512"),
    ("-DEDGEC_SCALAR", "-DEDGEC_SCALAR"),
])  # fmt: skip
def test_spelling(zig: str, gnu: str) -> None:
    assert gnu_spelling(zig) == gnu
    assert gnu in emit_cmake("model", zig, "linked")


def test_no_flag_is_left_in_zigs_spelling() -> None:
    for device in (*arm.devices().values(), *host.devices().values()):
        for flag in map(gnu_spelling, device.flags):
            assert "_" not in flag, f"{device.name}: {flag}"
            assert flag.count("-m") >= 1


def test_gcc_takes_those_of_this_machine(tmp_path: Path) -> None:
    gcc = shutil.which("gcc")
    assert gcc, "this test needs gcc: apt-get install gcc"
    (tmp_path / "x.c").write_text("int x;\n")
    for flag in map(gnu_spelling, host.choose("").flags):
        subprocess.run([gcc, *flag.split(), "-c", "x.c"], cwd=tmp_path, check=True)
