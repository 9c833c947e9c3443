"""An array that a user gives for an input: of --calib, and of labelled data."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.types import FLOATS, Type
from edgec.runtime.buffers import read_back

Array = np.ndarray[Any, Any]


def as_input(shown: str, name: str, array: Any, type: Type) -> Array:
    """The array as exactly what the model takes; UsageError where it would be another tensor, or hold NaN or Inf."""
    shown = f"{shown} of '{name}'"
    try:
        found = read_back(np.asarray(array), type.numpy)
    except (ValueError, TypeError):  # lists of different lengths
        raise UsageError(f"{shown} is no array, and the model takes {type}: give numbers") from None
    if found.dtype.kind not in "fiub" and found.dtype != type.numpy:  # bfloat16 is of kind V
        raise UsageError(f"{shown} is {found.dtype}, and the model takes {type}: give numbers")
    if [d for d in found.shape if d != 1] != [d for d in type.dims if d != 1]:
        raise UsageError(f"{shown} has the shape {list(found.shape)}, and the model takes {type}")
    if found.dtype != type.numpy:
        found = _cast(shown, found, type)
    if type.dtype in FLOATS and not np.all(np.isfinite(found)):
        what = "NaN" if np.any(np.isnan(found)) else "an infinity"
        raise UsageError(f"{shown} holds {what}, and nothing can be measured on it: leave such samples out")
    return np.asarray(found.reshape(type.dims), order="C")  # ascontiguousarray gives scalars an axis


def _cast(shown: str, found: Array, type: Type) -> Array:
    """Any number for a float, an integer that fits for an integer, 0 and 1 for a bool."""
    if type.dtype not in FLOATS:
        if found.dtype.kind == "f":
            raise UsageError(f"{shown} is {found.dtype}, and the model takes {type}: give integers")
        lo, hi = (0, 1) if type.dtype == "bool" else (np.iinfo(type.numpy).min, np.iinfo(type.numpy).max)
        if found.size and not (lo <= int(found.min()) and int(found.max()) <= hi):
            worst = int(found.min()) if int(found.min()) < lo else int(found.max())
            raise UsageError(f"{shown} holds {worst}, and {type.dtype} takes {lo} to {hi}")
        return found.astype(type.numpy)
    with np.errstate(over="ignore"):
        made = found.astype(type.numpy)
    beyond = np.isfinite(found) & ~np.isfinite(made) if found.dtype.kind == "f" else ~np.isfinite(made)
    if np.any(beyond):
        raise UsageError(f"{shown} holds {found[beyond][0]}, which is beyond {type.dtype}")
    return made
