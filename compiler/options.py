"""What a user may ask of a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgec.bounds import share
from edgec.ir.errors import UsageError
from edgec.observers import PERCENTILE, check_observer
from edgec.option_values import check_values
from edgec.package_options import PLAIN, PackageOptions, check_package_options
from edgec.targets.c.weights import STORAGES, Storage

PRECISIONS = ("float32", "fp16", "bf16", "int8", "int8-dynamic", "fp8-e4m3", "fp8-e5m2", "w4a8", "w8", "w4")
LOW_RANK = ("fp8-e4m3", "fp8-e5m2", "w8", "w4")  # those whose rounding errors floats may give back
OBSERVED = ("int8", "w4a8")  # those whose ranges an observer finds
BOUNDED = PRECISIONS[1:]  # those that keep to a bound
MOST_RANK = 256
# --verify -> the runner; None chooses what fits, and `none` runs nothing
RUNNER = {"auto": None, "host": "host", "emulate": "emulator", "qemu": "qemu", "none": None}


@dataclass(frozen=True)
class BuildOptions:
    """`threads`: how many threads may run the model at once; where a block keeps rings of rows, each has its own.
    `shapes` and `consts` bind inputs, `ranges` are where sample inputs lie, `data` is labelled data (.npz with an array
    an input and `labels`), `images` makes inputs camera frames (see edgec.image), `labels` is a file with a name for
    each class, `weights` says where they live: linked, inline (in the C source) or file (the caller brings them),
    `layers` adds the error of every operator to the receipt. `precision` is one of PRECISIONS; at most
    `calib_samples` samples of `calib` (None: 512, see edgec.calibration) are what is compared and what the ranges of
    int8 come from, by an `observer` (edgec.observers); `force` narrows operators even where that is predicted to be
    slower, `whole` all that have an integer form. `rebuild` builds although nothing changed.
    `encode` are passes that give weights of a package encodings; `fix` keeps in float32 what the fp16 doctor names.
    `max_drop` and `max_error` bound what those of BOUNDED lose (edgec.bounds): shares such as 0.5% or 0.005."""

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
    precision: str = "float32"
    calib: str | None = None
    calib_samples: int | None = None
    observer: str = "auto"
    low_rank: int = 0
    force: bool = False
    whole: bool = False
    rebuild: bool = False
    max_drop: str | float | None = None
    max_error: str | float | None = None
    encode: str = ""
    fix: bool = False
    package: PackageOptions = PLAIN

    @property
    def bounds(self) -> dict[str, str | float]:
        """What may be lost, by the option that says so."""
        given = {"--max-drop": self.max_drop, "--max-error": self.max_error}
        return {name: text for name, text in given.items() if text is not None}


def check_options(options: BuildOptions, family: str) -> None:
    """UsageError for what is not legal, or not together, for a target of this name."""
    check_values(options)
    if family != "coreml" and options.verify not in RUNNER:
        raise UsageError(f"--verify {options.verify} is not legal; legal: {', '.join(RUNNER)}")
    check_package_options(options.package, family, options.fix, options.data is not None)
    if options.layers and options.verify == "none":
        raise UsageError("--layers runs the model, and --verify none does not: give one of them")
    if family == "host" and options.verify in ("emulate", "qemu"):
        raise UsageError(
            f"--verify {options.verify}: what is built for the host runs here; only --target arm is emulated"
        )
    if family == "arm" and options.verify == "host":
        raise UsageError("--verify host: what is built for arm is emulated; legal: auto, emulate, qemu, none")
    if family == "arm" and options.os in ("macos", "ios") and options.verify != "none":
        raise UsageError(f"--os {options.os}: nothing here runs what is built for it: give --verify none with it")
    if family != "coreml" and (options.encode or options.fix):
        raise UsageError(f"{'--encode' if options.encode else '--fix'} is for packages: build for --target coreml")
    if options.precision not in PRECISIONS:
        raise UsageError(f"--precision {options.precision} is not legal; legal: {', '.join(PRECISIONS)}")
    for name, path in (("--data", options.data), ("--labels", options.labels)):
        if path is not None and path.exists() and not path.is_file():
            raise UsageError(f"{name} {path} is a folder, a pipe or a device; legal is a file")
    check_observer(options.observer, PERCENTILE)
    if options.observer != "auto" and options.precision not in OBSERVED:
        raise UsageError(f"--observer finds ranges for {', '.join(OBSERVED)}: give --precision with one of them")
    if options.whole and options.precision != "int8":
        raise UsageError("--integers-only is for operators on bytes: give --precision int8 with it")
    if options.force and family != "coreml" and options.precision not in ("int8", "int8-dynamic"):
        raise UsageError("--force is for operators on bytes: give --precision int8 or int8-dynamic with it")
    if options.low_rank and options.precision not in LOW_RANK:
        raise UsageError(f"--low-rank is for {', '.join(LOW_RANK)}: give --precision with one of them")
    if not 0 <= options.low_rank <= MOST_RANK:
        raise UsageError(f"--low-rank {options.low_rank} is not legal; give 0 to {MOST_RANK}")
    for name, text in options.bounds.items():
        share(name, text)
        if options.precision not in BOUNDED:
            raise UsageError(f"{name} bounds what {', '.join(BOUNDED)} lose: give --precision with one of them")
        if options.whole:
            raise UsageError(f"{name} leaves operators in floats, and --integers-only none: give one of them")
    if len(options.bounds) > 1:
        raise UsageError("--max-drop and --max-error are two bounds: give one of them")
    if options.max_drop is not None and Path(str(options.calib)).suffix.lower() != ".npz":
        raise UsageError("--max-drop needs labelled items: give --calib an .npz file that has `labels` (or `y`) too")
    if options.weights not in STORAGES:
        raise UsageError(f"--weights {options.weights} is not legal; legal: linked, inline (--single-file), file")
