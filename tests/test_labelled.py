"""Labelled data: what is no accuracy of this model is refused, with the item or the output that does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.ir.build import Builder
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type
from edgec.labelled import read_labelled

Array = np.ndarray[Any, Any]
FRAME = [("x", Type("u8", (1, 4, 4, 3)))]
FLOATS = [("x", Type("f32", (1, 3, 4, 4)))]


def model(*dims: int, constant: bool = False) -> Graph:
    """Its first output has these dims."""
    graph = Graph(Module(), "main")
    x = graph.add_input("x", Type("f32", dims))
    build = Builder(graph)
    graph.outputs = [("y", build.const(np.zeros(dims), "f32") if constant else build.op("relu", x))]
    return graph


def saved(folder: Path, x: Array, labels: Any) -> Path:
    np.savez(folder / "data.npz", x=x, labels=labels)
    return folder / "data.npz"


@pytest.mark.parametrize("label", [np.inf, np.nan, -1.0, 0.5])
def test_labels_that_are_no_classes(label: float, tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros((2, 3, 4, 4), np.float32), np.array([1.0, label]))
    with pytest.raises(UsageError, match=r"`labels` are no class numbers; legal are whole numbers from 0"):
        read_labelled(path, FLOATS, model(1, 10))


def test_items_are_what_the_model_takes(tmp_path: Path) -> None:
    """Axes of length 1 may be missing, and integers be wider than they must."""
    pixels = np.arange(96).reshape(2, 4, 4, 3).astype(np.int16)
    items = list(read_labelled(saved(tmp_path, pixels, [0, 1]), FRAME, model(1, 10)))
    assert items[1]["x"].dtype == np.uint8
    np.testing.assert_array_equal(items[1]["x"][0], pixels[1])
    pixels[1, 2, 3, 0] = 300
    with pytest.raises(UsageError, match=r"data.npz: item 1 of 'x' holds 300, and u8 takes 0 to 255"):
        list(read_labelled(saved(tmp_path, pixels, [0, 1]), FRAME, model(1, 10)))


def test_another_layout_and_what_is_no_number(tmp_path: Path) -> None:
    images = np.ones((2, 4, 4, 3), np.float32)
    with pytest.raises(UsageError, match=r"item 0 of 'x' has the shape \[4, 4, 3\], and the model takes f32"):
        list(read_labelled(saved(tmp_path, images, [0, 1]), FLOATS, model(1, 10)))
    images[1, 0, 0, 0] = np.nan
    with pytest.raises(UsageError, match=r"item 1 of 'x' holds NaN"):
        list(read_labelled(saved(tmp_path, images.transpose(0, 3, 1, 2), [0, 1]), FLOATS, model(1, 10)))


@pytest.mark.parametrize("dims", [(10,), (1, 10), (1, 10, 1, 1), (1, 1), ()])
def test_one_row_of_scores(dims: tuple[int, ...], tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros((2, 3, 4, 4), np.float32), [0, 1])
    assert len(read_labelled(path, FLOATS, model(*dims))) == 2


@pytest.mark.parametrize("dims", [(4, 10), (1, 10, 8, 8), (0, 10)])
def test_rows_of_several_items_are_no_classes(dims: tuple[int, ...], tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros((2, 3, 4, 4), np.float32), [0, 1])
    with pytest.raises(UsageError) as refused:
        read_labelled(path, FLOATS, model(*dims))
    assert f"first output 'y' has the shape {list(dims)}" in str(refused.value)


def test_a_constant_has_no_accuracy(tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros((2, 3, 4, 4), np.float32), [0, 1])
    with pytest.raises(UsageError, match="first output 'y' is the same for all inputs"):
        read_labelled(path, FLOATS, model(1, 10, constant=True))


def test_a_scalar_of_each_item(tmp_path: Path) -> None:
    ports = [("x", Type("f32", (1, 2))), ("z", Type("f32", ()))]
    np.savez(tmp_path / "data.npz", x=np.ones((3, 1, 2)), z=np.array([5.0, 6.0, 7.0]), labels=[0, 1, 0])
    items = list(read_labelled(tmp_path / "data.npz", ports, model(1, 10)))
    assert [item["z"].shape for item in items] == [()] * 3
    assert [float(item["z"]) for item in items] == [5, 6, 7]
