"""Whether each option of a build is a value of its kind: the command line makes such values of text, callers from
Python give them as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgec.calibration import LEGAL
from edgec.ir.errors import UsageError

# by field: the option, the least and the most that is legal
WHOLE: dict[str, tuple[str, int, float]] = {
    "threads": ("--threads", 1, 64),
    "verify_inputs": ("--inputs", 1, math.inf),
    "seed": ("--seed", 0, math.inf),
    "calib_samples": ("--calib-samples", 2, math.inf),
    "low_rank": ("--low-rank", 0, math.inf),
}
TEXTS = ("name", "os", "verify", "precision", "observer", "encode", "weights")


def check_values(options: Any) -> None:
    """UsageError with the option and what is legal."""
    for field, (option, least, most) in WHOLE.items():
        value = getattr(options, field)
        if value is None and field == "calib_samples":
            continue
        if not _is_whole(value) or not least <= value <= most:
            legal = f"{least} or more" if most == math.inf else f"{least} to {most:.0f}"
            raise UsageError(f"{option} {value!r} is not legal; give a whole number, {legal}")
    for field in TEXTS:
        if not isinstance(getattr(options, field), str):
            raise UsageError(f"--{field} {_shown(getattr(options, field))} is not legal; give a text")
    _check_each("--shape", options.shapes, _is_shape, "lengths such as (1, 3, 224, 224)")
    _check_each("--const", options.consts, lambda x: isinstance(x, np.ndarray | np.generic), "an array of numpy")
    _check_each("--range", options.ranges, _is_range, "(LOW, HIGH), finite numbers")
    _check_each("--image", options.images, lambda x: isinstance(x, str), "a form such as 'rgb8,nhwc'")
    if options.calib is not None and not isinstance(options.calib, str):
        raise UsageError(f"--calib {_shown(options.calib)} is nothing that can be read; legal: {LEGAL}")
    for option, given in (("--data", options.data), ("--labels", options.labels)):
        if given is not None and not isinstance(given, Path):
            raise UsageError(f"{option} {_shown(given)} is nothing that can be read; legal is the path of a file")


def _check_each(option: str, given: Any, fits: Callable[[Any], bool], legal: str) -> None:
    if not isinstance(given, Mapping):
        raise UsageError(f"{option} {_shown(given)} is not legal; give a dict by input, of {legal}")
    for name, value in given.items():
        if not fits(value):
            raise UsageError(f"{option} {name}: {_shown(value)} is not legal; give {legal}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_shape(value: Any) -> bool:
    return isinstance(value, Sequence) and all(_is_whole(length) and length >= 0 for length in value)


def _is_range(value: Any) -> bool:
    if not isinstance(value, Sequence) or len(value) != 2 or isinstance(value, str):
        return False
    return all(isinstance(x, int | float | np.number) and math.isfinite(x) for x in value) and value[0] <= value[1]


def _shown(value: Any) -> str:
    """A text as it is, of others what they are: arrays are long."""
    return repr(value) if isinstance(value, str | int | float | tuple | None) else f"of {type(value).__name__}"
