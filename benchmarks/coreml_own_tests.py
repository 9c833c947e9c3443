"""Runs coremltools' own tests of MIL operators with our evaluator in the place of Core ML.

    python benchmarks/coreml_own_tests.py [PYTEST ARGUMENTS] [--every N]

coremltools ships tests of every operator with expected numbers, some written by hand, some made by numpy, PyTorch or
TensorFlow (those need the package installed). On Linux they stop after conversion, as there is no Core ML. Here
`compare_backend`, which would ask Core ML, asks the evaluator on the saved package. PYMIL_TEST_TARGETS and
INCLUDE_MIL_FP32_UNIT_TESTS choose conversions; the default is ML programs in float32 and float16, all opsets. There
are tens of thousands of cases: --every N takes each N-th.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edgec.runtime.coreml.description import DictionaryFeature, ImageFeature, ScalarFeature
from edgec.runtime.coreml.program import TensorType
from edgec.runtime.coreml.runner import EvaluatorRunner
from edgec.runtime.session import load

TESTS = "coremltools.converters.mil.mil.ops.tests"
FOLDERS = ("iOS14", "iOS15", "iOS16", "iOS17", "iOS18", "coreml_dialect")
# float16 in the programs: what Core ML is allowed there by the same tests is 0.5 and 0.05
HALF_ATOL, HALF_RTOL = 2e-2, 2e-2


def compare(
    mlmodel: Any,
    input_key_values: dict[str, Any],
    expected_outputs: dict[str, Any] | None,
    dtype: str = "fp32",
    atol: float = 1e-4,
    rtol: float = 1e-5,
    also_compare_shapes: bool = True,
    state: Any = None,
    allow_mismatch_ratio: float = 0.0,
) -> dict[str, Any]:
    """What coremltools' function of that name does, by the evaluator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mlpackage"
        mlmodel.save(str(path))
        session = load(path)
        interface = cast(EvaluatorRunner, session.runner).interface
        inputs = {f.name: f.type for f in interface.inputs}
        feeds = {}
        for tensor in session.inputs:
            given = np.asarray(input_key_values[tensor.name])
            image = isinstance(inputs[tensor.name], ImageFeature)
            feeds[tensor.name] = given if image else given.reshape(given.shape or (1,)).astype(tensor.numpy)
        made = dict(zip([t.name for t in session.outputs], session.run(None, feeds), strict=True))
        kinds = {f.name: f.type for f in interface.outputs}
        labels = session.labels
        halves = _has_halves(cast(EvaluatorRunner, session.runner))
    if dtype == "fp16" or halves:
        atol, rtol = max(atol, HALF_ATOL), max(rtol, HALF_RTOL)
    for name, expected in (expected_outputs or {}).items():
        safe = name if name in made else "".join(c if c.isalnum() or c == "_" else "_" for c in name)
        found = made[safe]
        if isinstance(kinds[safe], DictionaryFeature):
            for label, value in zip(labels, found, strict=True):
                assert expected[label if label in expected else int(label)] == value
        elif isinstance(kinds[safe], ScalarFeature):
            assert str(found[0]) == str(expected)
        else:
            if also_compare_shapes:
                assert found.shape == (np.shape(expected) or (1,)), (found.shape, np.shape(expected))
            np.testing.assert_allclose(found.astype(np.float64), np.asarray(expected, np.float64), atol=atol, rtol=rtol)
    return made


def _has_halves(runner: EvaluatorRunner) -> bool:
    """Whether a value of the program is float16, whatever the conversion was called."""
    outputs = [named.type for operation in runner.evaluator.function.block.operations for named in operation.outputs]
    return any(isinstance(kind, TensorType) and kind.dtype.name == "fp16" for kind in outputs)


def patch() -> None:
    """Put `compare` where coremltools' tests look for theirs."""
    for name in ("coremltools.converters.mil.testing_utils", f"{TESTS}.testing_utils"):
        importlib.import_module(name).compare_backend = compare  # type: ignore[attr-defined]


class Sample:
    """Each N-th case of a collection."""

    def __init__(self, every: int) -> None:
        self.every = every

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = items[:: self.every]


def main() -> int:
    os.environ.setdefault("PYMIL_TEST_TARGETS", "mlprogram")
    os.environ.setdefault("INCLUDE_MIL_FP32_UNIT_TESTS", "1")
    patch()
    arguments = sys.argv[1:]
    every = 1
    if "--every" in arguments:
        at = arguments.index("--every")
        every = int(arguments[at + 1])
        del arguments[at : at + 2]
    arguments = arguments or list(FOLDERS)
    root = Path(str(importlib.import_module(TESTS).__file__)).parent
    chosen = [str(root / a) if (root / a.partition("::")[0]).exists() else a for a in arguments]
    return int(
        pytest.main(
            ["-q", "-p", "no:cacheprovider", "--rootdir", str(root), "-o", "addopts=", *chosen], plugins=[Sample(every)]
        )
    )


if __name__ == "__main__":
    sys.exit(main())
