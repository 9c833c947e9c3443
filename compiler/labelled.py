"""Labelled data: an .npz file with an array an input, whose first axis counts the items, and `labels` (or `y`)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.types import FLOATS, Type
from edgec.runtime.buffers import read_back

Array = np.ndarray[Any, Any]
Ports = Sequence[tuple[str, Type]]


@dataclass(frozen=True)
class Labelled:
    """`labels` are class numbers, one an item; iterating gives what the model takes for each."""

    shown: str
    arrays: Mapping[str, Array]
    labels: Array
    ports: Ports

    def __len__(self) -> int:
        return self.labels.size

    def check_classes(self, count: int) -> None:
        """UsageError where a label is none of so many classes."""
        beyond = self.labels[self.labels >= count]
        if beyond.size:
            raise UsageError(f"{self.shown}: `labels` hold {int(beyond[0])}, and the model's first output has {count} "
                             "numbers an item; legal are class numbers from 0")  # fmt: skip

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for i in range(len(self)):
            yield {name: _one(self.shown, name, self.arrays[name][i], type) for name, type in self.ports}


def _one(shown: str, name: str, found: Any, type: Type) -> Array:
    one = read_back(np.asarray(found), type.numpy)
    if one.size != type.size:
        raise UsageError(f"{shown}: an item of '{name}' has {one.size} elements, and the model takes {type}")
    if one.dtype.kind not in "fiub" and one.dtype != type.numpy:  # bfloat16 is of kind V
        raise UsageError(f"{shown}: '{name}' is {one.dtype}, and the model takes {type}: give numbers")
    if one.dtype.kind == "f" and type.dtype not in FLOATS:
        raise UsageError(f"{shown}: '{name}' is {one.dtype}, and the model takes {type}: give bytes")
    return one.reshape(type.dims).astype(type.numpy)


def read_labelled(path: Path, ports: Ports) -> Labelled:
    """UsageError names what is missing or does not fit."""
    arrays = read_data(path)
    if "labels" not in arrays and "y" in arrays:
        arrays["labels"] = arrays["y"]
    names = (*(name for name, _ in ports), "labels")
    missing = [name for name in names if name not in arrays]
    if missing:
        raise UsageError(f"{path} has no array '{missing[0]}'; it needs one an input, and `labels` (or `y`)")
    count = arrays["labels"].size
    short = [name for name in names if not count or arrays[name].shape[:1] != (count,)]
    if short:
        raise UsageError(f"{path}: '{short[0]}' has the shape {list(arrays[short[0]].shape)} for {count} labels")
    labels = np.asarray(arrays["labels"]).ravel()
    if labels.dtype.kind not in "iuf" or not np.array_equal(labels, np.abs(np.rint(labels))):
        raise UsageError(f"{path}: `labels` are no class numbers; legal are whole numbers from 0")
    return Labelled(str(path), arrays, labels, ports)


def read_data(path: Path) -> dict[str, Array]:
    """Arrays of an .npz file; UsageError when it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, AttributeError, TypeError, BadZipFile, zlib.error, NotImplementedError):
        raise UsageError(f"{path} is not an .npz file of arrays") from None
