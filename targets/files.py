"""Writing whole files, where a disk that is full or a limit on sizes says which file it was."""

from __future__ import annotations

from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """OSError has the name: Python's own lacks it where writing fails behind opening."""
    try:
        path.write_bytes(content)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
