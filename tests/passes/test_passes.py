"""Runs every case of the .edge files: `// CASE name: passes`, a module, `// EXPECT`, the module afterwards.

EDGEC_BLESS=1 rewrites the expectations; read the difference before committing it.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgec.ir import interp
from edgec.ir.graph import Module
from edgec.ir.parse import parse_module
from edgec.ir.text import print_module
from edgec.ir.verify import verify_module
from edgec.paired import signal_to_noise
from edgec.passes import PASSES
from edgec.pipeline import parse_passes, run_pass, run_pipeline
from edgec.receipt import compare

HERE = Path(__file__).parent
# passes that round numbers, and the signal to noise that they leave, in dB
ROUNDS = {"multiply_bf16": 40.0, "narrow_to_halves": 50.0, "quantize_matmuls": 35.0, "widen_quantised": 50.0}


@dataclass(frozen=True)
class Case:
    file: str
    name: str
    passes: str
    before: str
    after: str


def read(path: Path) -> list[Case]:
    cases = []
    for part in path.read_text().split("// CASE ")[1:]:
        head, _, body = part.partition("\n")
        name, _, passes = head.partition(": ")
        before, _, after = body.partition("// EXPECT\n")
        cases.append(Case(path.name, name, passes, before.strip() + "\n", after.strip() + "\n"))
    return cases


CASES = [case for path in sorted(HERE.glob("*.edge")) for case in read(path)]


def feeds_of(module: Module, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    (graph,) = module.entries.values()
    return {v.name: rng.standard_normal(v.type.dims).astype(v.type.numpy) for v in graph.inputs}


def arrays_of(case: Case) -> Module:
    module = parse_module(case.before)
    verify_module(module)
    return module


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.file}:{c.name}")
def test_case(case: Case) -> None:
    module = arrays_of(case)
    reference = arrays_of(case)
    run_pipeline(module, parse_passes(case.passes))
    text = print_module(module)
    assert print_module(parse_module(text, module.constants)) == text, "the text does not round-trip"
    if os.environ.get("EDGEC_BLESS"):
        bless(case, text)
    else:
        assert text == case.after
    for name in parse_passes(case.passes):
        for graph in module.entries.values():
            assert not run_pass(graph, name), f"{name} changes its own result"
    (before,), (after,) = reference.entries.values(), module.entries.values()
    assert [(v.name, v.type) for v in before.inputs] == [(v.name, v.type) for v in after.inputs]
    assert [(n, v.type) for n, v in before.outputs] == [(n, v.type) for n, v in after.outputs]
    feeds = feeds_of(reference, 0)
    expected, found = interp.run(before, feeds), interp.run(after, feeds)
    for name, array in expected.items():
        same = compare(found[name], array)["pass"]
        rounded = signal_to_noise(found[name], array) > ROUNDS.get(Path(case.file).stem, math.inf)
        assert same or rounded, f"{name} computes something else"


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.file}:{c.name}")
def test_bool_is_truthful(case: Case) -> None:
    module = arrays_of(case)
    for name in parse_passes(case.passes):
        for graph in module.entries.values():
            before = print_module(module)
            changed = run_pass(graph, name)
            assert changed == (print_module(module) != before)


def test_every_pass_has_three_cases() -> None:
    for name in PASSES:
        assert len([c for c in CASES if c.file == f"{name}.edge"]) >= 3, name


def bless(case: Case, text: str) -> None:
    path = HERE / case.file
    parts = path.read_text().split("// CASE ")
    for i, part in enumerate(parts):
        if part.startswith(f"{case.name}: "):
            head = part.partition("// EXPECT\n")[0].rstrip()
            parts[i] = f"{head}\n// EXPECT\n{text}" + ("\n" if i + 1 < len(parts) else "")
    path.write_text("// CASE ".join(parts))
