"""Encoded constants as MIL's constexpr operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgec.ir.graph import Value
from edgec.targets.coreml.mil import Var

if TYPE_CHECKING:
    from edgec.targets.coreml.emission import Emission


def constant(e: Emission, value: Value, dtype: str) -> Var:
    """An encoded constant as a variable of `dtype` (f32 or f16)."""
    return e.const(np.asarray(e.graph.array(value)), dtype)
