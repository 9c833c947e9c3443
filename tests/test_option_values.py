"""Options from Python, which no command line has looked at: each is refused by its name, with what is legal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_build import EXAMPLES, MODEL

import edgec
from edgec.bounds import share
from edgec.ir.errors import UsageError

SHAPES = {"input": (1, 1, 28, 28)}


@pytest.mark.parametrize(("options", "words"), [
    ({"threads": 0}, "--threads 0 is not legal; give a whole number, 1 to 64"),
    ({"threads": 65}, "--threads 65 is not legal"),
    ({"threads": 1.5}, "--threads 1.5 is not legal"),
    ({"verify_inputs": 0}, "--inputs 0 is not legal; give a whole number, 1 or more"),
    ({"seed": -1}, "--seed -1 is not legal"),
    ({"calib_samples": 1}, "--calib-samples 1 is not legal; give a whole number, 2 or more"),
    ({"low_rank": -1}, "--low-rank -1 is not legal"),
    ({"shapes": "input=1x1x28x28"}, "--shape 'input=1x1x28x28' is not legal; give a dict by input, of lengths such as"),
    ({"shapes": {"input": "1x1x28x28"}}, "--shape input: '1x1x28x28' is not legal; give lengths such as"),
    ({"ranges": {"input": 3}}, "--range input: 3 is not legal; give (LOW, HIGH)"),
    ({"ranges": {"input": (2, 1)}}, "--range input: (2, 1) is not legal"),
    ({"consts": {"input": [1]}}, "--const input: of list is not legal; give an array of numpy"),
    ({"images": {"input": 8}}, "--image input: 8 is not legal"),
    ({"calib": np.zeros((4, 1, 28, 28))}, "--calib of ndarray is nothing that can be read; legal: FILE.npz"),
    ({"data": 3}, "--data 3 is nothing that can be read"),
    ({"precision": None}, "--precision None is not legal; give a text"),
    ({"precision": "int8", "max_error": 2.0}, "--max-error 2.0 is no share"),
])  # fmt: skip
def test_what_is_no_value_of_its_kind(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        edgec.compile(MODEL, "host", tmp_path / "out", **{"shapes": SHAPES, **options})
    assert words in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_shares_are_texts_or_numbers() -> None:
    assert share("--max-drop", 0.005) == share("--max-drop", "0.005") == share("--max-drop", "0.5%") == 0.005


def test_a_bound_as_a_number_and_paths_as_texts(tmp_path: Path) -> None:
    """And the other way round: --calib as a path."""
    receipt = edgec.compile(
        str(MODEL), "host", str(tmp_path / "out"), shapes={"input": [1, 1, 28, 28]}, precision="w8", max_error=0.05,
        calib=EXAMPLES / "fashion_mnist_calib.npz", calib_samples=8, data=str(EXAMPLES / "fashion_mnist_200.npz"),
    )  # fmt: skip
    assert receipt["quantization"]["search"]["measured"]["error"] <= 0.05
    assert receipt["accuracy"]["images"] == 200
