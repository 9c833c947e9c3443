"""Writing whole files, where a disk that is full or a limit on sizes says which file it was; folders for a while."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Is gone afterwards, as far as what it holds can be removed. tempfile's own is left where a signal comes between
    making it and knowing its name; this one's is known first."""
    folder = Path(tempfile.gettempdir(), f"{prefix}{secrets.token_hex(8)}")
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """OSError has the name: Python's own lacks it where writing fails behind opening."""
    try:
        path.write_bytes(content)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
