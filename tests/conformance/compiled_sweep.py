"""ONNX's operator cases through the compiled host artifact: right, wrong or refused, bound or not.

    python tests/conformance/compiled_sweep.py [--list right|wrong|refused] [--target host] [--write] [NAME ...]

Cases are imported one by one and compiled together, UNIT of them in one artifact. An input is bound as a constant only
when the importer asks for it (it fixes a shape or is an attribute-like operand). A case that folds away whole counts 0.
`--write` renews right.txt, the cases that the tests insist on.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from compiled import compiled
from sweep import ASKS_FOR, compare, plain, rounding_of
from verdicts import RightList, Verdict, run

from edgec.ir.errors import EdgecError, UnsupportedError
from edgec.ir.graph import Graph, Module, Op, State, Value
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.passes import CPU_FLOAT
from edgec.pipeline import run_pipeline
from edgec.targets.c.build import make_plan
from edgec.targets.host import target as host

UNIT = 60
RIGHT = RightList(Path(__file__).with_name("right.txt"), "compiled_sweep.py", "test_compiled.py")


@dataclass
class Case:
    """An imported case with the inputs and the outputs it expects."""

    name: str
    module: Module
    feeds: dict[str, Any]
    expected: list[Any]
    bound: bool
    rtol: float
    atol: float

    @property
    def graph(self) -> Graph:
        return self.module.entries["main"]


def imported(case: Any, folder: Path) -> list[Case] | str:
    """The case's data sets as graphs, or why it is refused."""
    path = folder / "model.onnx"
    path.write_bytes(case.model.SerializeToString())
    names = [info.name for info in case.model.graph.input if info.name]
    found: list[Case] = []
    for inputs, expected in case.data_sets:
        feeds = dict(zip(names, map(plain, inputs), strict=False))
        consts: dict[str, Any] = {}
        while True:
            shapes = {n: a.shape for n, a in feeds.items() if isinstance(a, np.ndarray) and n not in consts}
            try:
                module = import_model(path, ImportOptions(shapes=shapes, consts=consts))
                run_pipeline(module, CPU_FLOAT)
                graph = module.entries["main"]
                if not graph.ops and all(v.const is not None for _, v in graph.outputs):
                    return "folded away whole"
                make_plan(graph, host.choose(""), "case", 1)
                break
            except UnsupportedError as error:
                asked = {n for n in ASKS_FOR.findall(str(error)) if n in feeds and n not in consts}
                if not asked:
                    return str(error)
                consts |= {n: np.asarray(feeds[n]) for n in asked}
            except EdgecError as error:
                return f"{type(error).__name__}: {error}"
        rest = {n: a for n, a in feeds.items() if n not in consts}
        wanted = [plain(item) for item in expected]
        found.append(Case(case.name, module, rest, wanted, bool(consts), case.rtol, case.atol))
    return found or "it has no data"


def merged(cases: Sequence[Case]) -> Graph:
    """One graph of all of them; names get the case's number in front."""
    whole = Graph(Module())
    for i, case in enumerate(cases):
        values: dict[Value, Value] = {}

        def new(v: Value, values: dict[Value, Value] = values, case: Case = case) -> Value:
            if v.const is not None:
                return whole.constant(case.graph.array(v))
            return values[v]

        for v in case.graph.inputs:
            values[v] = whole.add_input(f"{i}:{v.name}", v.type)
        for op in case.graph.ops:
            made = Op(op.kind, [new(v) if v is not None else None for v in op.inputs], op.attrs, case.name)
            for old, result in zip(
                op.results, whole.insert(len(whole.ops), made, [r.type for r in op.results]), strict=True
            ):
                values[old] = result
        whole.outputs += [(f"{i}:{name}", new(v)) for name, v in case.graph.outputs]
        for s in case.graph.states:
            whole.states.append(
                State(values[s.input], new(s.output), whole.module.intern(case.module.constants[s.initial]))
            )
    return whole


def judge(cases: Sequence[Case], target: str) -> list[str]:
    """For each case what is wrong with it, or nothing."""
    graph = merged(cases)
    feeds = {f"{i}:{n}": a for i, c in enumerate(cases) for n, a in c.feeds.items()}
    known = {v.name: v for v in graph.inputs}
    feeds = {n: np.asarray(a).reshape(known[n].type.dims) for n, a in feeds.items() if n in known}
    with tempfile.TemporaryDirectory() as folder, compiled(graph, target, Path(folder)) as session:
        arrays = dict(zip([n for n, _ in graph.outputs], session.run(None, feeds), strict=True))
    verdicts = []
    for i, case in enumerate(cases):
        wrong = ""
        for (name, _), right in zip(case.graph.outputs, case.expected, strict=False):
            # an element may also be off by the rounding of the largest one: sums in another order
            slack = max(case.atol, rounding_of(right))
            wrong = wrong or compare(arrays[f"{i}:{name}"], right, case.rtol, slack)
        verdicts.append(wrong)
    return verdicts


def sweep(cases: Mapping[str, Any], target: str) -> dict[str, Verdict]:
    """A verdict for each case, UNIT of them in one artifact."""
    verdicts: dict[str, Verdict] = {}
    waiting: list[Case] = []

    def flush() -> None:
        for case, wrong in zip(waiting, judge(waiting, target) if waiting else (), strict=True):
            # a case is right when all of its data sets are
            if case.name not in verdicts or verdicts[case.name].kind == "right":
                verdicts[case.name] = Verdict("wrong" if wrong else "right", wrong, case.bound)
        waiting.clear()

    with tempfile.TemporaryDirectory() as folder:
        for name, case in cases.items():
            found = imported(case, Path(folder))
            if isinstance(found, str):
                verdicts[name] = Verdict("refused", found)
                continue
            waiting += found
            if len(waiting) >= UNIT:
                flush()
        flush()
    return verdicts


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], __doc__, sweep, "host", RIGHT))
