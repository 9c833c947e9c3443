"""`--calib SPEC`: the inputs that ranges of activations are measured on.

SPEC is one of
  FILE.npz         an array for each input; its first axis counts samples (FILE.npy: for a model of one input)
  FOLDER           files of one sample each, in the order of their names: *.npy or, for a camera's frame (--image),
                   images; a model of several inputs has NAME_*.npy, or a sub-folder for each input
  MODULE:FUNCTION  imported from the current folder; the function gives what a file would hold (an array, or a dict of
                   arrays by input), or it gives or yields samples: arrays, or dicts by input

A sample has the shape of the input; axes of length 1, such as that of the batch, may be missing. Numbers are taken
where the input's type holds them: int16 tokens for an int32 input, float16 for float32. Of many samples
`--calib-samples` are taken, evenly spread; unless that is said, 512, or as many as memory is meant for. Without SPEC
inputs are random, as a last resort.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgec.calibration_sources import (
    Samples,
    from_arrays,
    from_folder,
    from_function,
    is_module,
    read_array,
    sample_files,
)
from edgec.given_input import as_input
from edgec.image import Image
from edgec.ir.errors import UsageError
from edgec.ir.types import Type
from edgec.labelled import read_data
from edgec.onnx_import.limits import VERIFY_BYTES
from edgec.sample_inputs import sample_inputs

Array = np.ndarray[Any, Any]
Inputs = Mapping[str, Type]

FEWEST = 2  # one input shows no range of anything that depends on the input
MOST, MOST_BYTES = 512, 256 << 20  # of samples, unless their number is said
MADE_UP = 128  # random ones say no more the more they are
LEGAL = "FILE.npz, a folder of .npy files or images, or MODULE:FUNCTION"


@dataclass(frozen=True)
class Calibration:
    """`samples` have exactly the inputs' types; `given` is how many there were to choose from; `sha256` is of all their
    bytes; `warning` says that they are no real data. `held_out`: whether something is promised of samples that nothing
    was learned from, which are those to judge by then."""

    samples: Sequence[dict[str, Array]]
    source: str
    given: int
    sha256: str
    warning: str = ""
    held_out: bool = False

    @property
    def tried(self) -> Sequence[dict[str, Array]]:
        """Those that ranges and weights are found on in trials."""
        return self.samples[::2]

    @property
    def judges(self) -> Sequence[dict[str, Array]]:
        """Those that trials are judged by."""
        return self.samples[1::2]

    @property
    def learned(self) -> Sequence[dict[str, Array]]:
        """Those that ranges and weights of formats without trials are found on."""
        return self.tried if self.held_out else self.samples

    def facts(self) -> dict[str, Any]:
        """For the receipt."""
        return {"source": self.source, "samples": len(self.samples), "given": self.given, "sha256": self.sha256,
                "warning": self.warning}  # fmt: skip

    def check_varied(self) -> None:
        """UsageError where the samples are one and the same: for those who find ranges on them."""
        first, *others = self.samples
        if not self.warning and all(np.array_equal(one[name], first[name]) for one in others for name in one):
            raise UsageError(f"--calib {self.source}: all {len(self.samples)} samples are one and the same, "
                             "which shows no range")  # fmt: skip


def read_calibration(
    spec: str | None, inputs: Inputs, most: int | None, seed: int, ranges: Mapping[str, tuple[float, float]],
    images: Mapping[str, Image] | None = None,
) -> Calibration:  # fmt: skip
    """At most `most` samples of `inputs`: the graph's by name, camera frames (`images`) included, states not.
    UsageError names what does not fit."""
    most = _most(inputs, most, MADE_UP if spec is None else MOST)
    if spec is None:
        _check_memory(inputs, most)
        made = [sample_inputs(list(inputs.items()), seed + i, ranges) for i in range(most)]
        warning = (
            f"without --calib {most} random inputs are measured, which real ones may exceed or never fill: "
            "give --calib, or expect to lose accuracy"
        )
        return Calibration(made, "random", most, _hash(made), warning)
    _check_source(spec)
    if not inputs:
        raise UsageError(f"--calib {spec}: the model has no inputs that samples could be given to")
    # of a generator one more than memory is allowed for shows that it has too many
    found = _opened(spec, inputs, images or {}, min(most, max(FEWEST, VERIFY_BYTES // _bytes(inputs) + 1)))
    if found.count < FEWEST:
        has = "one sample only" if found.count else "no samples"
        raise UsageError(f"--calib {spec} has {has}; give {FEWEST} or more, better 100, as the model will meet them")
    _check_memory(inputs, min(most, found.count))
    samples = [
        {name: as_input(f"--calib {spec}: sample {i}", name, array, inputs[name]) for name, array in one.items()}
        for i, one in found.take(most)
    ]
    return Calibration(samples, Path(spec).name if Path(spec).exists() else spec, found.count, _hash(samples))


def _check_source(spec: str) -> None:
    """UsageError for no name, which would be the current folder's, and for what is read without an end."""
    path = Path(spec)
    if not spec:
        raise UsageError(f"--calib '' names nothing; legal: {LEGAL}")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"--calib {spec} is a pipe or a device, which may never end; legal: {LEGAL}")


def _opened(spec: str, inputs: Inputs, images: Mapping[str, Image], most: int) -> Samples:
    path, names = Path(spec), list(inputs)
    module, colon, function = spec.rpartition(":")
    if path.is_dir():
        return from_folder(spec, path, inputs, images)
    if colon and not path.exists() and is_module(module) and function.isidentifier():
        return from_function(spec, module, function, names, most)
    kind = path.suffix.lower()
    if kind not in (".npz", ".npy"):
        raise UsageError(f"--calib {spec} is nothing that can be read; legal: {LEGAL}")
    if kind == ".npz":
        return from_arrays(f"--calib {spec}", read_data(path), names)
    if len(names) != 1:
        raise UsageError(f"--calib {spec} is one array, and the model has the inputs {', '.join(names)}: give an .npz")
    return from_arrays(f"--calib {spec}", {names[0]: read_array(f"--calib {spec}", path)}, names)


def calibration_digest(spec: str | None) -> bytes:
    """Changes with what is read, for the key of a build: the bytes of the file or of the folder's files. Of a function
    it is the module's file; what the function reads may change unseen, and --rebuild builds then."""
    digest = hashlib.sha256()
    if spec is not None:
        _check_source(spec)
    for path in () if spec is None else sample_files(spec):
        digest.update(f"{path.name} ".encode())
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise UsageError(f"--calib {spec}: {path} cannot be read: {error.strerror or error}") from None
    return digest.digest()


def _bytes(inputs: Inputs) -> int:
    """Of a sample."""
    return max(sum(type.nbytes for type in inputs.values()), 1)


def _most(inputs: Inputs, said: int | None, plenty: int) -> int:
    """How many samples are taken at most: what is said, or `plenty`, as far as memory is meant for them."""
    most = max(FEWEST, min(plenty, MOST_BYTES // _bytes(inputs))) if said is None else said
    if most < FEWEST:
        raise UsageError(f"--calib-samples {most} is not legal; give {FEWEST} or more")
    return most


def _check_memory(inputs: Inputs, count: int) -> None:
    """UsageError for more samples, of those that are there, than memory is allowed for."""
    each = _bytes(inputs)
    if each * count > VERIFY_BYTES:
        fit = VERIFY_BYTES // each
        instead = f"--calib-samples {fit} fit" if fit >= FEWEST else "two are needed, and do not fit"
        raise UsageError(
            f"{count} samples of {each} bytes are kept, and at most {VERIFY_BYTES} bytes are allowed: {instead}"
        )


def _hash(samples: Sequence[Mapping[str, Array]]) -> str:
    digest = hashlib.sha256()
    for one in samples:
        for name in sorted(one):
            digest.update(f"{name} {one[name].dtype} {one[name].shape} ".encode())
            digest.update(one[name].tobytes())
    return digest.hexdigest()
