"""Runs zig's C compiler: objects, archives, shared libraries, the emulator's image. One deterministic line each."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgec.ir.errors import ToolError
from edgec.targets.files import temporary_folder

COMMON = ("-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-g0", "-fno-asynchronous-unwind-tables",
          "-fno-unwind-tables", "-Wall", "-Wextra", "-Werror")  # fmt: skip

# --os -> zig's target for AArch64; `none` is bare metal.
ARM_TRIPLES = {
    "linux": "aarch64-linux-musl",
    "android": "aarch64-linux-android",
    "macos": "aarch64-macos-none",
    "ios": "aarch64-ios-none",
    "none": "aarch64-freestanding-none",
}


def zig() -> list[str]:
    """The command of zig; ToolError when the package is missing."""
    if importlib.util.find_spec("ziglang") is None:
        raise ToolError("the C compiler zig is missing: pip install ziglang")
    return [sys.executable, "-m", "ziglang"]


def run(command: Sequence[str], folder: Path) -> None:
    """ToolError with the compiler's first error line when it fails."""
    try:
        with temporary_folder("edgec-cc-") as cache:
            done = subprocess.run(
                list(command), cwd=folder, capture_output=True, text=True, check=False, env=_environment(cache)
            )
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error.strerror}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        found = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no message")
        shown = shlex.join(a for a in command if "/" not in a)
        raise ToolError(f"the C compiler failed with exit code {done.returncode}: {found} (command: {shown})")


def _environment(cache: Path) -> dict[str, str]:
    """What zig makes of our files goes into `cache`, deleted at once: in its own folder it would stay for ever, about
    a megabyte a build. Its libraries (libc, compiler-rt) stay in that folder and are made once."""
    return {**os.environ, "SOURCE_DATE_EPOCH": "0", "ZERO_AR_DATE": "1", "ZIG_LOCAL_CACHE_DIR": str(cache)}


def compile_c(folder: Path, source: str, output: str, target: str, flags: Sequence[str]) -> None:
    run([*zig(), "cc", "-target", target, *COMMON, *flags, "-I.", "-c", source, "-o", output], folder)


def assemble(folder: Path, source: str, output: str, target: str) -> None:
    run([*zig(), "cc", "-target", target, "-I.", "-c", source, "-o", output], folder)


def archive(folder: Path, output: str, objects: Sequence[str]) -> None:
    run([*zig(), "ar", "rcsD", output, *objects], folder)


def link(folder: Path, output: str, target: str, objects: Sequence[str], flags: Sequence[str]) -> None:
    run([*zig(), "cc", "-target", target, *objects, *flags, "-o", output], folder)
