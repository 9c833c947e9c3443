"""What a user may say about an import: input shapes, inputs that are constants, the entry's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ImportOptions:
    """`shapes` binds symbolic dimensions (input name -> full shape, `--shape`), `consts` turns inputs into constants
    (`--const`), `name` is the entry's name in the module."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    consts: Mapping[str, np.ndarray] = field(default_factory=dict)
    name: str = "main"
