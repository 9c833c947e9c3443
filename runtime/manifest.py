"""manifest.json: what an artifact directory holds, read and checked against the files' hashes."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgec.runtime.errors import RunError

FORMAT = 1
FILE = "manifest.json"

_NUMPY = {
    "f64": "float64",
    "f32": "float32",
    "f16": "float16",
    "i64": "int64",
    "i32": "int32",
    "i16": "int16",
    "i8": "int8",
    "u64": "uint64",
    "u32": "uint32",
    "u16": "uint16",
    "u8": "uint8",
    "bool": "bool",
}


# types that numpy gets from the package ml_dtypes; those of 8 bits and fewer have a byte an element
_ML_DTYPES = {
    "bf16": "bfloat16",
    "f8e4m3fn": "float8_e4m3fn",
    "f8e4m3fnuz": "float8_e4m3fnuz",
    "f8e5m2": "float8_e5m2",
    "f8e5m2fnuz": "float8_e5m2fnuz",
    "f8e8m0": "float8_e8m0fnu",
    "f4e2m1": "float4_e2m1fn",
    "i4": "int4",
    "u4": "uint4",
    "i2": "int2",
    "u2": "uint2",
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """numpy's dtype of an element type; ml_dtypes is imported only for those that numpy has not."""
    if name in _NUMPY:
        return np.dtype(_NUMPY[name])
    try:
        import ml_dtypes
    except ImportError as error:
        raise RunError(
            f"this model has {name} tensors, which numpy gets from the package ml_dtypes: install it"
        ) from error
    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, _ML_DTYPES[name]))
    return found


@dataclass(frozen=True)
class TensorInfo:
    """An input, output or state tensor as its caller sees it: dense, row-major."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        return numpy_dtype(self.dtype)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.numpy.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Manifest:
    """`files` are sha256 by name; `raw` is the JSON, for keys that only some runners read."""

    directory: Path
    name: str
    entry: str
    target: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    states: tuple[TensorInfo, ...]
    scratch_bytes: int
    state_bytes: int
    files: dict[str, str]
    cpu: str
    cpu_features: tuple[str, ...]
    extensions: tuple[str, ...]  # instructions that emulators may not have
    raw: dict[str, Any]

    def brought_weights(self) -> bytes | None:
        """The weights file's bytes when they are handed to each call; None when the library holds them."""
        if self.raw.get("weights", "linked") != "file":
            return None
        path = self.directory / f"{self.name}_weights.bin"
        try:
            return path.read_bytes()
        except OSError as error:
            raise RunError(f"{path}, a part of the artifact, cannot be read: {error.strerror}") from error


def read_manifest(directory: str | Path) -> Manifest:
    """The manifest of an artifact directory; RunError when there is none, or none that can be used."""
    folder = Path(directory)
    path = folder / FILE
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        what = "does not exist" if not folder.exists() else f"has no {FILE}"
        raise RunError(f"{folder} is not an edgec artifact: it {what}") from None
    except NotADirectoryError:
        raise RunError(f"{folder} is not an edgec artifact: it is a file; give the directory that was built") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict) or "format" not in raw:
        raise RunError(f"{path} is not the manifest of an edgec artifact")
    if raw["format"] != FORMAT:
        raise RunError(
            f"{path} has format {raw['format']}, and this edgec reads format {FORMAT}: build the model again"
        )
    try:
        return _manifest(folder, raw)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunError(f"{path} is damaged: {type(error).__name__} {error}") from error


def _manifest(folder: Path, raw: dict[str, Any]) -> Manifest:
    return Manifest(
        directory=folder,
        name=str(raw["name"]),
        entry=str(raw.get("entry", "main")),
        target=str(raw["target"]),
        inputs=_tensors(raw["inputs"]),
        outputs=_tensors(raw["outputs"]),
        states=_tensors(raw.get("states", [])),
        scratch_bytes=int(raw["scratch_bytes"]),
        state_bytes=int(raw["state_bytes"]),
        files={str(name): str(digest) for name, digest in raw["files"].items()},
        cpu=str(raw.get("cpu", "")),
        cpu_features=tuple(map(str, raw.get("cpu_features", []))),
        extensions=tuple(map(str, raw.get("extensions", []))),
        raw=raw,
    )


def _tensors(items: list[dict[str, Any]]) -> tuple[TensorInfo, ...]:
    tensors = tuple(TensorInfo(str(t["name"]), str(t["dtype"]), tuple(map(int, t["shape"]))) for t in items)
    for tensor in tensors:
        if tensor.dtype not in {**_NUMPY, **_ML_DTYPES}:
            raise ValueError(f"unknown dtype {tensor.dtype}")
    return tensors


def check_files(manifest: Manifest) -> None:
    """RunError unless every file is there and is byte for byte what was built."""
    for name, digest in sorted(manifest.files.items()):
        path = manifest.directory / name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RunError(f"{path}, a part of the artifact, cannot be read: {error.strerror}") from error
        if found != digest:
            raise RunError(f"{path} is not the file that was built (its sha256 differs from {FILE}): build it again")
