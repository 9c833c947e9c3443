"""A `.mlpackage` folder: Manifest.json, the model file that it names, and weight files beside that.

Nothing but regular files of the package is read, whatever the manifest, the program or a link says: a device or a pipe
may never end.
"""

from __future__ import annotations

import json
import mmap
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edgec.runtime.coreml.blob import WeightFile
from edgec.runtime.coreml.datatypes import DataType
from edgec.runtime.coreml.description import Description, description
from edgec.runtime.coreml.program import BlobFile, Program, program
from edgec.runtime.coreml.wire import Array, Budget, Message, PackageError

MANIFEST = "Manifest.json"
MAX_MANIFEST = 1 << 20
MODEL_PATH = "@model_path/"
ML_PROGRAM = 502  # the field of Model.proto that holds the program


@dataclass(frozen=True)
class Package:
    """`items` are the manifest's paths in Data; weight files are opened when first used."""

    directory: Path
    items: tuple[str, ...]
    model_file: Path
    specification: int
    description: Description
    program: Program
    weights: dict[str, WeightFile] = field(default_factory=dict)

    def weight_file(self, name: str) -> WeightFile:
        """The file that a program calls `@model_path/…`."""
        if name not in self.weights:
            if not name.startswith(MODEL_PATH):
                raise PackageError(f"the weight file '{name}' is not below {MODEL_PATH}")
            folder = self.model_file.parent
            path = _inside(folder, name.removeprefix(MODEL_PATH), f"the weight file '{name}'")
            data = (self.directory / "Data").resolve()
            relative = path.relative_to(data).as_posix()
            if not any(relative == item or relative.startswith(f"{item}/") for item in self.items):
                raise PackageError(f"the weight file '{name}' is no item of {self.directory / MANIFEST}")
            self.weights[name] = WeightFile(_regular(path))
        return self.weights[name]

    def read(self, blob: BlobFile, dtype: DataType, shape: tuple[int, ...]) -> Array:
        return self.weight_file(blob.name).read(blob.offset, dtype, shape)


def read_package(directory: str | Path) -> Package:
    """The package in a directory; PackageError in one sentence when it is none, or damaged."""
    folder = Path(directory)
    root, items = _manifest(folder)
    model_file = _regular(_inside(folder / "Data", root, f"the model file '{root}' of {folder / MANIFEST}"))
    budget = Budget(str(model_file))
    try:
        with model_file.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise PackageError(f"{model_file} cannot be read: {error}") from error
    model = Message(data, budget)
    described = model.message(2)
    body = model.message(ML_PROGRAM)
    if described is None:
        raise budget.error("the model has no description")
    if body is None:
        raise PackageError(f"{model_file} is no ML program: only that kind of Core ML model can be run here")
    return Package(folder, items, model_file, model.integer(1), description(described), program(body))


def _manifest(folder: Path) -> tuple[str, tuple[str, ...]]:
    path = folder / MANIFEST
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise PackageError(f"{path} is not a regular file")
        if found.st_size > MAX_MANIFEST:
            raise PackageError(f"{path} has more than {MAX_MANIFEST:,} bytes")
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        what = "does not exist" if not folder.exists() else f"has no {MANIFEST}"
        raise PackageError(f"{folder} is not a Core ML package: it {what}") from None
    except NotADirectoryError:
        raise PackageError(f"{folder} is not a Core ML package: it is a file") from None
    except OSError as error:
        raise PackageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{path} is not JSON: {type(error).__name__}") from error
    try:
        entries = {str(key): str(item["path"]) for key, item in raw["itemInfoEntries"].items()}
        root = str(raw["rootModelIdentifier"])
    except (KeyError, TypeError, AttributeError) as error:
        raise PackageError(f"{path} is damaged: {type(error).__name__} {error}") from error
    if root not in entries:
        raise PackageError(f"{path} names the root model '{root}', which is none of its items")
    for item in entries.values():
        _inside(folder / "Data", item, f"the item '{item}' of {path}")
    if len(set(entries.values())) != len(entries):
        raise PackageError(f"{path} has two items with the same path")
    return entries[root], tuple(entries.values())


def _regular(path: Path) -> Path:
    if not path.is_file():
        raise PackageError(f"{path} is not a regular file")
    return path


def _inside(folder: Path, relative: str, what: str) -> Path:
    """An existing path below a folder; links that lead out of it do not count as inside."""
    parts = PurePosixPath(relative)
    if not relative or "\0" in relative or parts.is_absolute() or ".." in parts.parts:
        raise PackageError(f"{what} is not a path inside the package")
    try:
        base = folder.resolve(strict=True)
        path = (folder / parts).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise PackageError(f"{what} does not exist: {error}") from None
    if not path.is_relative_to(base) or path == base:
        raise PackageError(f"{what} is not a path inside the package")
    return path
