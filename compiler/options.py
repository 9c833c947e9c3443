"""What a user may ask of a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

VERIFY = ("auto", "host", "emulate", "none")


@dataclass(frozen=True)
class BuildOptions:
    """`threads`: how many threads may run the model at once; where a block keeps rings of rows, each has its own.
    `shapes` and `consts` bind inputs, `ranges` are where sample inputs lie, `data` is labelled data (.npz with an
    array an input and `labels`)."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    consts: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    name: str = ""
    os: str = "linux"
    threads: int = 4
    verify: str = "auto"
    verify_inputs: int = 3
    seed: int = 0
    data: Path | None = None
    force: bool = False
