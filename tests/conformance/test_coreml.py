"""ONNX's operator cases through Core ML packages: a seeded slice of right_coreml.txt here, all when marked heavy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from coreml_sweep import RIGHT, sweep

SLICE = 200
AIM = 1400


def test_a_slice_is_right() -> None:
    RIGHT.check_slice(sweep, "", seed=4, size=SLICE)


def test_the_list_reaches_the_aim() -> None:
    RIGHT.check_aim(AIM)


@pytest.mark.heavy
def test_all_cases() -> None:
    RIGHT.check_all(sweep, "")
