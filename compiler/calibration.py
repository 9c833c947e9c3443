"""Samples to calibrate on: `--calib FILE.npz | FOLDER | MODULE:FUNCTION`.

    file.npz          an array an input, the first axis counts samples
    folder            of .npy files, each one sample of the only input
    module:function   gives samples: dicts of arrays by input name, or arrays for the only input

Without data, seeded random samples are made: ranges of noise say little of ranges of real data, so this is loud.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.types import FLOATS, Type
from edgec.sample_inputs import sample_inputs
from edgec.verify_artifact import read_data

Array = np.ndarray[Any, Any]
Sample = dict[str, Array]
Inputs = Mapping[str, Type]
RANDOM = 16  # samples that are made where none are given


@dataclass(frozen=True)
class Calibration:
    samples: Sequence[Sample]
    source: str
    warning: str = ""


def read_calibration(
    spec: str | None, inputs: Inputs, most: int, seed: int, ranges: Mapping[str, tuple[float, float]]
) -> Calibration:
    """At most `most` samples, evenly spread over those that there are. UsageError for what is no data of the model."""
    if spec is None:
        made = [sample_inputs(list(inputs.items()), seed + i, ranges) for i in range(RANDOM)]
        return Calibration(made, "random", "calibrated on random numbers: give --calib real samples")
    path = Path(spec)
    if path.suffix == ".npz":
        samples = _of_arrays(spec, read_data(path), inputs, most)
    elif path.is_dir():
        samples = _of_folder(path, inputs, most)
    elif ":" in spec:
        samples = _of_function(spec, inputs, most)
    else:
        raise UsageError(f"--calib {spec}: give a file.npz, a folder of .npy files, or module:function")
    if len(samples) < 2:
        raise UsageError(f"--calib {spec} has {len(samples)} samples; ranges need at least 2, better 100")
    return Calibration(samples, path.name if path.exists() else spec)


def _spread(count: int, most: int) -> list[int]:
    return sorted({i * count // min(count, most) for i in range(min(count, most))}) if count else []


def _of_arrays(spec: str, arrays: Mapping[str, Array], inputs: Inputs, most: int) -> list[Sample]:
    missing = [name for name in inputs if name not in arrays]
    if missing:
        have = ", ".join(arrays) or "none"
        raise UsageError(f"--calib {spec} has no array '{missing[0]}', an input of the model; it has {have}")
    counts = {name: len(arrays[name]) if arrays[name].ndim else 0 for name in inputs}
    if len(set(counts.values())) != 1:
        said = ", ".join(f"{n} of '{name}'" for name, n in counts.items())
        raise UsageError(f"--calib {spec}: the arrays have different numbers of samples: {said}")
    chosen = _spread(next(iter(counts.values())), most)
    return [{name: _item(spec, name, arrays[name][i], type) for name, type in inputs.items()} for i in chosen]


def _of_folder(path: Path, inputs: Inputs, most: int) -> list[Sample]:
    files = sorted(path.glob("*.npy"))
    if not files:
        raise UsageError(f"--calib {path} has no .npy files")
    name = _only(str(path), inputs)
    found = []
    for file in (files[i] for i in _spread(len(files), most)):
        try:
            array = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"--calib {file} cannot be read: {error}") from None
        found.append({name: _item(str(file), name, array, inputs[name])})
    return found


def _of_function(spec: str, inputs: Inputs, most: int) -> list[Sample]:
    module_name, _, function_name = spec.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), function_name, None)
    except ImportError as error:
        raise UsageError(f"--calib {spec}: the module {module_name} cannot be imported: {error}") from None
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise UsageError(f"--calib {spec}: the module {module_name} has no function {function_name}")
    return [_sample(spec, given, inputs) for given in islice(_given(spec, function), most)]


def _given(spec: str, function: Any) -> Iterator[Any]:
    """What the user's function gives; what it raises is one sentence."""
    try:
        made = function()
        yield from made if isinstance(made, Iterable) else ()
    except Exception as error:  # whatever a user's function raises
        raise UsageError(f"--calib {spec} fails: {type(error).__name__}: {error}") from None


def _sample(spec: str, given: Any, inputs: Inputs) -> Sample:
    named = given if isinstance(given, Mapping) else {_only(spec, inputs): given}
    missing = [name for name in inputs if name not in named]
    if missing:
        raise UsageError(f"--calib {spec}: a sample has no '{missing[0]}', an input of the model")
    return {name: _item(spec, name, np.asarray(named[name]), type) for name, type in inputs.items()}


def _only(spec: str, inputs: Inputs) -> str:
    if len(inputs) != 1:
        raise UsageError(f"--calib {spec}: the model has the inputs {', '.join(inputs)}: name them, in an .npz file")
    return next(iter(inputs))


def _item(spec: str, name: str, array: Array, type: Type) -> Array:
    """One sample of an input, in the input's own type and shape."""
    if array.size != type.size or [n for n in array.shape if n != 1] != [n for n in type.dims if n != 1]:
        raise UsageError(f"--calib {spec}: a sample of '{name}' has the shape {list(array.shape)}, not {type}")
    if array.dtype.kind not in "fiub":
        raise UsageError(f"--calib {spec}: '{name}' holds {array.dtype}, no numbers")
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise UsageError(f"--calib {spec}: '{name}' holds a NaN or an infinity")
    cast = array.astype(type.numpy)
    if type.dtype not in FLOATS and not np.array_equal(cast, array):
        raise UsageError(f"--calib {spec}: '{name}' holds numbers that {type.dtype} has not")
    return cast.reshape(type.dims)
