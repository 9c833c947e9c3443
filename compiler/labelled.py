"""Labelled data: an .npz file with an array an input, whose first axis counts the items, and `labels` (or `y`)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from edgec.given_input import as_input
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph
from edgec.ir.types import Type

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
            shown = f"{self.shown}: item {i}"
            yield {name: as_input(shown, name, self.arrays[name][i], type) for name, type in self.ports}


def read_labelled(path: Path, ports: Ports, graph: Graph) -> Labelled:
    """UsageError names what is missing or does not fit, or why the first output of the model gives no classes."""
    _check_scores(path, graph)
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
    whole = labels.dtype.kind in "iuf" and np.isfinite(labels).all() and np.array_equal(labels, np.abs(np.rint(labels)))
    if not whole:
        raise UsageError(f"{path}: `labels` are no class numbers; legal are whole numbers from 0")
    return Labelled(str(path), arrays, labels, ports)


def _check_scores(path: Path, graph: Graph) -> None:
    """UsageError unless the first output has a score for each class of one item."""
    name, value = graph.outputs[0]
    dims = value.type.dims
    if value.const is not None:
        raise UsageError(
            f"{path}: the model's first output '{name}' is the same for all inputs, and accuracy is that of the first: "
            "legal is a model whose first output has scores"
        )
    if not value.type.size or sum(d > 1 for d in dims) > 1:
        raise UsageError(
            f"{path}: the model's first output '{name}' has the shape {list(dims)}, and accuracy is that of one row of "
            "scores an item, such as [1, 10] or [1, 10, 1, 1]: legal is a model of one item at a time (--shape) with "
            "such a first output"
        )


def read_data(path: Path) -> dict[str, Array]:
    """Arrays of an .npz file; UsageError when it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, AttributeError, TypeError, BadZipFile, zlib.error, NotImplementedError):
        raise UsageError(f"{path} is not an .npz file of arrays") from None
