"""ONNX's operator cases through compiled artifacts: a seeded slice of right.txt here, all of it when marked heavy."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from compiled_sweep import right_names, sweep
from sweep import operator_cases

SLICE = 110
AIM = 1500


def test_a_slice_is_right() -> None:
    names = right_names()
    chosen = set(random.Random(2).sample(names, SLICE))
    cases = operator_cases()
    verdicts = sweep({name: cases[name] for name in names if name in chosen}, "host")
    failures = [f"{v.kind} {name}: {v.text}" for name, v in verdicts.items() if v.kind != "right"]
    assert not failures, "\n".join(failures)
    assert len(verdicts) == SLICE


def test_the_list_reaches_the_aim() -> None:
    names = right_names()
    assert len(set(names)) == len(names) >= AIM
    assert set(names) <= set(operator_cases())


@pytest.mark.heavy
def test_all_cases() -> None:
    verdicts = sweep(operator_cases(), "host")
    counts = Counter(v.kind for v in verdicts.values())
    assert counts["wrong"] == 0, [f"{name}: {v.text}" for name, v in verdicts.items() if v.kind == "wrong"]
    found = {name for name, v in verdicts.items() if v.kind == "right"}
    assert sorted(set(right_names()) - found) == [], "these were right before"
    assert sorted(found - set(right_names())) == [], "these are new: run compiled_sweep.py --write"
