"""`accept`: the gate that a saved package passes before anyone gets it: our checks, then its own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgec.runtime.coreml.check import check_package
from edgec.runtime.coreml.runner import EvaluatorRunner, package_manifest
from edgec.runtime.coreml.wire import Array, PackageError
from edgec.runtime.session import Session

# class probabilities are given by label
Expected = Mapping[str, Array | Mapping[Any, float]]


class Refused(PackageError):
    """A package that contradicts itself or computes something else."""


def accept(
    path: str | Path,
    inputs: Sequence[Mapping[str, Array]],
    expected: Sequence[Expected],
    tolerance: float,
    *,
    function: str | None = None,
) -> list[dict[str, float]]:
    """Check a package and run it: one call for each of `inputs`, in order, in one session, so that states go on.

    `expected` are the outputs of each call by name; tolerance is a share of the largest magnitude of an output. Returns
    the largest deviation of each output and call; Refused names the first thing that is wrong."""
    findings = check_package(path)
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        raise Refused(f"{path}: {findings[0]}{more}")
    manifest = package_manifest(path, function)
    runner = EvaluatorRunner(manifest, function)
    session = Session(manifest, runner, "evaluator")
    names = [tensor.name for tensor in session.outputs]
    deviations = []
    for i, (feeds, wanted) in enumerate(zip(inputs, expected, strict=True)):
        if set(wanted) != set(names):
            raise Refused(f"{path} has the outputs {', '.join(names)}, expected are {', '.join(wanted)}")
        made = dict(zip(names, session.run(None, feeds), strict=True))
        found = {name: _deviation(made[name], wanted[name], runner.labels, f"{path}: '{name}'") for name in names}
        for name, (deviation, magnitude) in found.items():
            if not deviation <= tolerance * magnitude:
                raise Refused(
                    f"{path}: output '{name}' of call {i + 1} is {deviation:.3g} off, "
                    f"more than {tolerance:g} of its magnitude {magnitude:.3g}"
                )
        deviations.append({name: deviation for name, (deviation, _) in found.items()})
    return deviations


def _deviation(
    made: Array, wanted: Array | Mapping[Any, float], labels: tuple[str, ...], what: str
) -> tuple[float, float]:
    """(largest difference, largest magnitude); Refused where there is nothing to subtract."""
    if isinstance(wanted, Mapping):
        if set(map(str, wanted)) != set(labels):
            raise Refused(f"{what} has other labels than expected")
        by_label = {str(label): value for label, value in wanted.items()}
        wanted = np.array([by_label[label] for label in labels], np.float64)
    if made.shape != wanted.shape or made.dtype != wanted.dtype:
        raise Refused(f"{what} is {made.dtype}{list(made.shape)}, expected is {wanted.dtype}{list(wanted.shape)}")
    if made.dtype.kind not in "fiub":
        if not np.array_equal(made, wanted):
            raise Refused(f"{what} is {made.tolist()}, expected is {wanted.tolist()}")
        return 0.0, 0.0
    a, b = made.astype(np.float64), wanted.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    difference = np.abs(np.where(same, 0, a - b))
    finite = np.abs(b[np.isfinite(b)])
    return float(np.max(difference, initial=0)), float(np.max(finite, initial=0))
