"""Writing an artifact directory: whole or not at all. An older artifact stays until the new one is complete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgec.ir.errors import UsageError
from edgec.targets.files import temporary_folder, write_file

MANIFEST = "manifest.json"
RECEIPT = "receipt.json"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def check_output(directory: Path) -> None:
    """UsageError when something that edgec did not make stands in the way, before anything is computed."""
    for parent in directory.parents:
        if parent.exists() and not parent.is_dir():
            raise UsageError(f"{directory} cannot be made: {parent} is a file")
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file; give a folder that edgec may make")
    if directory.is_dir() and any(directory.iterdir()) and not (directory / MANIFEST).is_file():
        raise UsageError(f"{directory} is a folder that edgec did not make; give an empty or new one")


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(content) for name, content in files.items()}


def with_hashes(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """The manifest as it is written: it lists every other file."""
    return {**manifest, "files": hashes(files)}


@contextmanager
def staged(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Iterator[Path]:
    """The artifact in a folder that is gone afterwards, to be run."""
    with temporary_folder("edgec-staged-") as temporary:
        folder = temporary / str(manifest["name"])
        folder.mkdir()
        write_files(folder, {**files, MANIFEST: to_json(with_hashes(manifest, files))})
        yield folder


@contextmanager
def staged_files(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder with these files that is gone afterwards."""
    with temporary_folder("edgec-staged-") as folder:
        write_files(folder, files)
        yield folder


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """By path inside of the folder. The image NAME.elf is a program, the rest is data."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_file(folder / name, content)
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
        if name.endswith(".elf"):
            (folder / name).chmod(0o755)


def write_artifact(directory: Path, files: Mapping[str, bytes]) -> None:
    """Replaces `directory` by one with these files; UsageError when the disk does not let it."""
    check_output(directory)
    parent = directory.resolve().parent
    made: Path | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=parent))
        write_files(made, files)
        made.chmod(0o755)
        _swap(made, directory.resolve())
    except OSError as error:
        raise UsageError(f"the artifact cannot be written to {directory}: {error.strerror or error}") from error
    finally:
        if made is not None and made.exists():
            shutil.rmtree(made, ignore_errors=True)


def _swap(made: Path, directory: Path) -> None:
    old = made.with_name(made.name + ".old")
    if directory.exists():
        directory.rename(old)
        try:
            made.rename(directory)
        except OSError:
            old.rename(directory)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        made.rename(directory)
