"""ONNX's operator cases through Core ML packages: a seeded slice of right_coreml.txt here, all when marked heavy."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from coreml_sweep import right_names, sweep
from sweep import operator_cases

SLICE = 400
AIM = 1400


def test_a_slice_is_right() -> None:
    names = right_names()
    chosen = set(random.Random(4).sample(names, SLICE))
    cases = operator_cases()
    verdicts = sweep({name: cases[name] for name in names if name in chosen})
    failures = [f"{v.kind} {name}: {v.text}" for name, v in verdicts.items() if v.kind != "right"]
    assert not failures, "\n".join(failures)
    assert len(verdicts) == SLICE


def test_the_list_reaches_the_aim() -> None:
    names = right_names()
    assert len(set(names)) == len(names) >= AIM
    assert set(names) <= set(operator_cases())


@pytest.mark.heavy
def test_all_cases() -> None:
    verdicts = sweep(operator_cases())
    counts = Counter(v.kind for v in verdicts.values())
    assert counts["wrong"] == 0, [f"{name}: {v.text}" for name, v in verdicts.items() if v.kind == "wrong"]
    found = {name for name, v in verdicts.items() if v.kind == "right"}
    assert sorted(set(right_names()) - found) == [], "these were right before"
    assert sorted(found - set(right_names())) == [], "these are new: run coreml_sweep.py --write"
