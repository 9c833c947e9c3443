"""The models that the heavy suites run on: those of the folder EDGEC_MODELS that benchmarks/models.toml knows, and the
architectures."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from architectures.table import ARCHITECTURES
from model_set import TABLE, Model, read_models


@dataclass(frozen=True)
class Source:
    """`place(folder)`: the model as a file, written into `folder` where it is made here."""

    name: str
    place: Callable[[Path], Model]

    def __str__(self) -> str:
        return self.name


def _kept(name: str, folder: Path) -> Source:
    return Source(name, lambda _: next(read_models(folder, [name])))


def _made(name: str) -> Source:
    architecture = ARCHITECTURES[name]

    def place(folder: Path) -> Model:
        path = folder / f"{name}.onnx"
        path.write_bytes(architecture.bytes())
        return Model(name, path, {}, {}, dict(architecture.ranges))

    return Source(f"architecture_{name}", place)


def sources() -> list[Source]:
    named = os.environ.get("EDGEC_MODELS", "")
    folder = Path(named)
    kept = [n for n in tomllib.loads(TABLE.read_text()) if named and (folder / f"{n}.onnx").is_file()]
    if named and not kept:
        raise FileNotFoundError(f"EDGEC_MODELS={named} holds no model of {TABLE.name}")
    return [*(_kept(name, folder) for name in kept), *map(_made, ARCHITECTURES)]
