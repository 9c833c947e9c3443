"""What the user binds at import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ImportOptions:
    """`shapes` binds the shapes of inputs by name, `consts` turns inputs into constants."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    consts: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
