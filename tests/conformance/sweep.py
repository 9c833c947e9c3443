"""All ONNX operator cases through the importer and the interpreter: right, wrong or refused.

    python tests/conformance/sweep.py [--list right|wrong|refused|broken] [NAME ...]

NAME selects cases whose name contains it. An input that the importer asks for as a constant (`--const NAME=...` in its
message) is given as one and the case is tried again; the summary counts such cases apart.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from edgec.ir import interp
from edgec.ir.errors import EdgecError, UnsupportedError
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions

ASKS_FOR = re.compile(r"--const (\S+?)=")


@dataclass(frozen=True)
class Verdict:
    """`kind` is right, wrong, refused (the importer said so in a sentence) or broken (another exception)."""

    kind: str
    text: str = ""
    consts: tuple[str, ...] = ()
    ops: int = 0
    rounding: bool = False  # right only when rounding of the largest element is allowed everywhere


def operator_cases() -> dict[str, Any]:
    """The cases by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return {case.name: case for case in collect_testcases()}


def check(case: Any, folder: Path) -> Verdict:
    """Import the case's model, run it on every data set, compare."""
    path = folder / "model.onnx"
    path.write_bytes(case.model.SerializeToString())
    names = [info.name for info in case.model.graph.input if info.name]
    verdict = Verdict("refused", "the case has no data")
    for inputs, expected in case.data_sets:
        feeds = dict(zip(names, map(plain, inputs), strict=False))
        verdict = check_data(path, feeds, [plain(item) for item in expected], case)
        if verdict.kind != "right":
            break
    return verdict


def plain(item: Any) -> Any:
    """Tensors as arrays; sequences and optionals as they are."""
    if isinstance(item, TensorProto):
        return numpy_helper.to_array(item)
    return np.asarray(item) if isinstance(item, np.generic) else item


def check_data(path: Path, feeds: dict[str, Any], expected: Sequence[Any], case: Any) -> Verdict:
    consts: dict[str, np.ndarray] = {}
    shapes = {name: array.shape for name, array in feeds.items() if isinstance(array, np.ndarray)}
    while True:
        try:
            given = {name: shape for name, shape in shapes.items() if name not in consts}
            module = import_model(path, ImportOptions(shapes=given, consts=consts))
            break
        except UnsupportedError as error:
            asked = {n for n in ASKS_FOR.findall(str(error)) if n in shapes and n not in consts}
            if not asked:
                return Verdict("refused", str(error))
            consts |= {name: np.asarray(feeds[name]) for name in asked}
        except EdgecError as error:
            return Verdict("refused", f"{type(error).__name__}: {error}")
        except Exception as error:
            return Verdict("broken", f"{type(error).__name__}: {error}")
    graph = next(iter(module.entries.values()))
    try:
        got = interp.run(graph, {name: array for name, array in feeds.items() if name not in consts})
    except Exception as error:
        return Verdict("broken", f"running: {type(error).__name__}: {error}")
    rounding = False
    for info, right in zip(case.model.graph.output, expected, strict=False):
        difference = compare(got[info.name], right, case.rtol, case.atol)
        if difference and not compare(got[info.name], right, case.rtol, max(case.atol, rounding_of(right))):
            rounding = True
        elif difference:
            return Verdict("wrong", f"{info.name}: {difference}", tuple(consts))
    return Verdict("right", "only within rounding" if rounding else "", tuple(consts), len(graph.ops), rounding)


def rounding_of(right: Any) -> float:
    """Two units in the last place of the largest element: what sums in another order may differ by, also in elements
    that cancel to almost nothing."""
    array = np.asarray(right)
    if array.dtype not in (np.float16, np.float32, np.float64) or not array.size:
        return 0.0
    largest = np.max(np.abs(array[np.isfinite(array)]), initial=0.0)
    return 2 * float(np.finfo(array.dtype).eps) * float(largest)


def compare(got: np.ndarray, right: Any, rtol: float, atol: float) -> str:
    """What differs, or nothing. The tolerances are the case's own."""
    right = np.asarray(right)
    if got.dtype != right.dtype or got.shape != right.shape:
        return f"{got.dtype}{list(got.shape)} instead of {right.dtype}{list(right.shape)}"
    if right.dtype.name == "bfloat16":
        rtol = max(rtol, 2**-6)  # two units in the last place: the rule of onnx's own runner
    wide = (lambda a: a.astype(np.float64)) if right.dtype.kind in "fV" else (lambda a: a)
    a, b = wide(got), wide(right)
    fits = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True) if a.dtype.kind == "f" else a == b
    if np.all(fits):
        return ""
    where = tuple(int(i) for i in np.argwhere(~np.asarray(fits))[0]) if got.ndim else ()
    return f"{np.sum(~np.asarray(fits))} of {got.size} differ, first at {where}: {got[where]} instead of {right[where]}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", choices=("right", "wrong", "refused", "broken"), action="append", default=[])
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    counts: Counter[str] = Counter()
    bound, folded, rounding = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for name, case in operator_cases().items():
            if options.names and not any(part in name for part in options.names):
                continue
            verdict = check(case, Path(folder))
            counts[verdict.kind] += 1
            bound += verdict.kind == "right" and bool(verdict.consts)
            folded += verdict.kind == "right" and bool(case.model.graph.input) and verdict.ops == 0
            rounding += verdict.rounding
            if verdict.kind in options.list:
                print(f"{verdict.kind:8}{name}: {verdict.text}"[:400], flush=True)
    total = sum(counts.values())
    figures = ", ".join(f"{counts[kind]} {kind}" for kind in ("right", "wrong", "refused", "broken"))
    print(f"{figures} of {total} in {time.monotonic() - started:.0f} s")
    print(
        f"of the right ones {bound} had inputs given as constants, {folded} left nothing to run, {rounding} are right "
        "only when two units in the last place of the largest element are allowed"
    )
    return 1 if counts["wrong"] or counts["broken"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
