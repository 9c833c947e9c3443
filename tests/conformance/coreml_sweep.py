"""ONNX's operator cases through Core ML packages in the evaluator: right, wrong or refused, bound or not.

    python tests/conformance/coreml_sweep.py [--list right|wrong|refused] [--target ios18] [--write] [NAME ...]

As compiled_sweep.py counts: an input is bound as a constant only when the importer asks for it, and a case that folds
away whole counts 0. Every case is a package of its own, in float32. `--write` renews right_coreml.txt, the cases that
the tests insist on.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from coreml_run import run_package
from sweep import ASKS_FOR, compare, plain, rounding_of
from verdicts import RightList, Verdict, run

from edgec.ir.errors import EdgecError, UnsupportedError
from edgec.ir.graph import Graph
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.passes import COREML
from edgec.pipeline import run_pipeline
from edgec.runtime.coreml.wire import PackageError
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.program import Emitted, emit

RIGHT = RightList(Path(__file__).with_name("right_coreml.txt"), "coreml_sweep.py", "test_coreml.py")


class Refused(Exception):
    """Why a case has no package."""


def emitted(path: Path, feeds: Mapping[str, Any], target: str) -> tuple[Emitted, Graph, dict[str, Any]]:
    """The package of a model, its graph, and the inputs that had to be bound."""
    consts: dict[str, Any] = {}
    while True:
        shapes = {n: a.shape for n, a in feeds.items() if isinstance(a, np.ndarray) and n not in consts}
        try:
            module = import_model(path, ImportOptions(shapes=shapes, consts=consts))
            run_pipeline(module, COREML)
            graph = module.entries["main"]
            if not graph.ops and all(v.const is not None for _, v in graph.outputs):
                raise Refused("folded away whole")
            return emit(module, choose(target), halves=False), graph, consts
        except UnsupportedError as error:
            asked = {n for n in ASKS_FOR.findall(str(error)) if n in feeds and n not in consts}
            if not asked:
                raise Refused(str(error)) from error
            consts |= {n: np.asarray(feeds[n]) for n in asked}
        except EdgecError as error:
            raise Refused(f"{type(error).__name__}: {error}") from error


def judge(case: Any, folder: Path, target: str) -> Verdict:
    """A case is right when all of its data sets are."""
    path = folder / "model.onnx"
    path.write_bytes(case.model.SerializeToString())
    names = [info.name for info in case.model.graph.input if info.name]
    bound = False
    for inputs, expected in case.data_sets:
        feeds = dict(zip(names, map(plain, inputs), strict=False))
        try:
            package, graph, consts = emitted(path, feeds, target)
            found = run_package(package, graph, feeds)
        except Refused as refused:
            return Verdict("refused", str(refused))
        except OverflowError as error:
            return Verdict("refused", str(error))
        except (PackageError, AssertionError) as error:
            return Verdict("wrong", f"{type(error).__name__}: {error}")
        bound = bound or bool(consts)
        for (name, _), right in zip(graph.outputs, map(plain, expected), strict=False):
            # an element may also be off by the rounding of the largest one: sums in another order
            wrong = compare(found[name], right, case.rtol, max(case.atol, rounding_of(right)))
            if wrong:
                return Verdict("wrong", wrong, bound)
    return Verdict("right", "", bound) if case.data_sets else Verdict("refused", "it has no data")


def sweep(cases: Mapping[str, Any], target: str = "") -> dict[str, Verdict]:
    """A verdict for each case."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: judge(case, Path(folder), target) for name, case in cases.items()}


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], __doc__, sweep, "", RIGHT))
