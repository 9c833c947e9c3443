"""ONNX's operator cases through compiled artifacts: a seeded slice of right.txt here, all of it when marked heavy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from compiled_sweep import RIGHT, sweep

SLICE = 110
AIM = 1600


def test_a_slice_is_right() -> None:
    RIGHT.check_slice(sweep, "host", seed=2, size=SLICE)


def test_the_list_reaches_the_aim() -> None:
    RIGHT.check_aim(AIM)


@pytest.mark.heavy
def test_all_cases() -> None:
    RIGHT.check_all(sweep, "host")
