"""Compiles a C or C++ program for this machine with zig, warnings as errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edgec.targets.host import target as host


def zig(folder: Path, *arguments: str, text: str | None = None) -> None:
    """`text` comes on stdin. Each line has the target of the product, and -O2: for any other target, processor or mode
    zig first makes itself the runtime libraries of a program."""
    line = [sys.executable, "-m", "ziglang", "cc", "-target", host.platform("linux").triple, "-O2", "-Wall", "-Wextra"]
    subprocess.run([*line, "-Werror", *arguments], cwd=folder, input=text, text=True, check=True)
