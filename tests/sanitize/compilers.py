"""The C compilers of this machine: zig, which the project brings, and gcc and clang where they are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STANDARD = ("-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-Wall", "-Wextra", "-Werror")
OLDEST = {"gcc": 12, "clang": 14}
# An instruction set, or a device of one, as gcc and clang name it; zig has names of its own (host/devices/*.toml).
GNU_FLAGS = {
    "avx2": ("-march=x86-64-v3",),
    "avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
    "avx512vnni": ("-march=x86-64-v4", "-mavx512vnni", "-mprefer-vector-width=512"),
    "amx": ("-march=x86-64-v4", "-mavx512vnni", "-mamx-tile", "-mamx-int8", "-mprefer-vector-width=512"),
    "avx512bf16": ("-march=x86-64-v4", "-mavx512vnni", "-mavx512bf16", "-mprefer-vector-width=512"),
    "neon": ("-mcpu=generic",),
}
X86_64, AARCH64 = ("-target", "x86_64-linux-gnu.2.28"), ("-target", "aarch64-linux-musl")
ZIG_FLAGS = {
    "avx2": (*X86_64, "-mcpu=x86_64_v3"),
    "avx512": (*X86_64, "-mcpu=x86_64_v4", "-mprefer-vector-width=512"),
    "avx512vnni": (*X86_64, "-mcpu=x86_64_v4+avx512vnni", "-mprefer-vector-width=512"),
    "amx": (*X86_64, "-mcpu=x86_64_v4+avx512vnni+amx_tile+amx_int8", "-mprefer-vector-width=512"),
    "avx512bf16": (*X86_64, "-mcpu=x86_64_v4+avx512vnni+avx512bf16", "-mprefer-vector-width=512"),
    "neon": (*AARCH64, "-mcpu=generic"),
    "neon with matrices": (*AARCH64, "-mcpu=generic+dotprod+i8mm"),
}
# As the product links: zig makes runtime libraries for each -mcpu, and more of them without -O2.
ZIG_LINKS = {isa: (*(AARCH64 if isa.startswith("neon") else X86_64), "-O2") for isa in ZIG_FLAGS}


@dataclass(frozen=True)
class Compiler:
    """`flags`: by instruction set; one that is not there is one that this compiler does not make code for. `links`: the
    same for linking."""

    name: str
    command: tuple[str, ...]
    flags: dict[str, tuple[str, ...]]
    links: dict[str, tuple[str, ...]]
    cxx: tuple[str, ...]

    def __str__(self) -> str:
        return self.name

    def run(self, folder: Path, arguments: Sequence[str], cxx: bool = False) -> None:
        """AssertionError with what the compiler says when it is not content."""
        command = [*(self.cxx if cxx else self.command), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{self.name}: {' '.join(arguments)}\n{done.stderr[:6000]}"


def _machine() -> tuple[str, ...]:
    import platform

    if platform.machine() in ("aarch64", "arm64"):
        return ("neon",)
    return ("avx2", "avx512", "avx512vnni", "avx512bf16", "amx")


def zig() -> Compiler:
    start = (sys.executable, "-m", "ziglang")
    return Compiler("zig", (*start, "cc"), {**ZIG_FLAGS, "scalar": ("-DEDGEC_SCALAR",)}, ZIG_LINKS, (*start, "c++"))


def gnu(name: str) -> Compiler | None:
    """gcc or clang of this machine when it is there and new enough. clang makes code for AArch64 everywhere, but has
    the C library's headers of this machine alone: -ffreestanding asks for none."""
    path, cxx = shutil.which(name), shutil.which({"gcc": "g++", "clang": "clang++"}[name])
    if path is None or cxx is None:
        return None
    version = subprocess.run([path, "-dumpversion"], capture_output=True, text=True, check=True).stdout
    if int(re.split(r"\D", version.strip())[0]) < OLDEST[name]:
        return None
    flags = {isa: GNU_FLAGS[isa] for isa in _machine()} | {"scalar": ("-DEDGEC_SCALAR",)}
    if name == "clang":
        flags.setdefault("neon", ("--target=aarch64-none-elf", "-ffreestanding", *GNU_FLAGS["neon"]))
    return Compiler(name, (path,), flags, flags, (cxx,))


def found() -> list[Compiler]:
    return [zig(), *(c for c in map(gnu, OLDEST) if c is not None)]


def needed(*names: str) -> list[Compiler]:
    """The named ones of gcc and clang; AssertionError that says how to get one that is missing."""
    there = {name: gnu(name) for name in names}
    missing = [name for name, compiler in there.items() if compiler is None]
    assert not missing, (
        f"this test needs {' and '.join(f'{n} >= {OLDEST[n]}' for n in missing)} with C++: "
        f"apt-get install {' '.join({'gcc': 'gcc g++', 'clang': 'clang'}[n] for n in missing)}"
    )
    return [compiler for compiler in there.values() if compiler is not None]
