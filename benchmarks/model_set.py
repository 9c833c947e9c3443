"""The models of a benchmark folder, and how edgec builds each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgec.options import BuildOptions

TABLE = Path(__file__).with_name("models.toml")


@dataclass(frozen=True)
class Model:
    name: str
    path: Path
    shapes: dict[str, tuple[int, ...]]
    consts: dict[str, np.ndarray[Any, Any]]
    ranges: dict[str, tuple[float, float]]

    def options(self, **rest: Any) -> BuildOptions:
        return BuildOptions(shapes=self.shapes, consts=self.consts, ranges=self.ranges, **rest)


def read_models(folder: Path, names: Sequence[str] = ()) -> Iterator[Model]:
    """Rows of models.toml, all or the named ones, whose NAME.onnx is in the folder; KeyError for an unknown name."""
    table = tomllib.loads(TABLE.read_text())
    for name in names or table:
        row = table[name]
        path = folder / f"{name}.onnx"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing")
        yield Model(
            name,
            path,
            {k: tuple(v) for k, v in row.get("shapes", {}).items()},
            {k: np.asarray(v) for k, v in row.get("consts", {}).items()},
            {k: (v[0], v[1]) for k, v in row.get("ranges", {}).items()},
        )
