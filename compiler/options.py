"""What a user may ask of a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgec.targets.c.weights import Storage

VERIFY = ("auto", "host", "emulate", "qemu", "none")


@dataclass(frozen=True)
class BuildOptions:
    """`threads`: how many threads may run the model at once; where a block keeps rings of rows, each has its own.
    `shapes` and `consts` bind inputs, `ranges` are where sample inputs lie, `data` is labelled data (.npz with an array
    an input and `labels`), `images` makes inputs camera frames (see edgec.image), `labels` is a file with a name for
    each class, `weights` says where they live: linked, inline (in the C source) or file (the caller brings them),
    `layers` adds the error of every operator to the receipt."""

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
    images: Mapping[str, str] = field(default_factory=dict)
    labels: Path | None = None
    weights: Storage = "linked"
    layers: bool = False
    force: bool = False
