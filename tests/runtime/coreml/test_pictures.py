"""Operators on pictures and boxes that ONNX has not, or not so: against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coreml_packages import computed, f32, mb, one

Array = np.ndarray[Any, Any]

X = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("STRICT_ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1]),
        ("ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1]),
        ("UNALIGN_CORNERS", [0, 0.1, 0.5, 0.9, 1]),
        ("DEFAULT", [0, 0.4, 0.8, 1, 1]),
        ("OFFSET_CORNERS", [0.1, 0.3, 0.5, 0.7, 0.9]),
    ],
)
def test_sampling_modes(mode: str, wanted: list[float]) -> None:
    """The documentation's grids for two pixels, 0 and 1, made five."""
    x = np.array([0, 1], np.float32).reshape(1, 1, 1, 2)
    made = one(lambda x: mb.resize_bilinear(x=x, target_size_height=1, target_size_width=5, sampling_mode=mode), x)
    np.testing.assert_allclose(made.ravel(), wanted, atol=1e-6)
    made = one(lambda x: mb.resize(x=x, shape=[1, 0, 5], resized_dims=np.uint32(2), sampling_mode=mode), x)
    np.testing.assert_allclose(made.ravel(), wanted, atol=1e-6)


def test_one_sample() -> None:
    """A single point is the middle with ALIGN_CORNERS, the first with STRICT_ALIGN_CORNERS."""
    x = np.array([0, 1, 2], np.float32).reshape(1, 1, 1, 3)
    for mode, wanted in (("ALIGN_CORNERS", 1), ("STRICT_ALIGN_CORNERS", 0)):
        made = one(
            lambda x, m=mode: mb.resize_bilinear(x=x, target_size_height=1, target_size_width=1, sampling_mode=m), x
        )
        assert made.ravel().tolist() == [wanted]


def test_boxes() -> None:
    """Corners of an image of 4x4 in unnormalised pixels, and beyond its edge."""
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    made = one(
        lambda x: mb.crop_resize(
            x=x, boxes=np.array([[1, 1, 2, 2], [2, 2, 4, 3]], np.float32), box_indices=np.array([0, 0], np.int32),
            target_height=2, target_width=2, sampling_mode="ALIGN_CORNERS", pad_value=f32(-1),
        ), x,
    )  # fmt: skip
    assert made.tolist() == [[[[5, 6], [9, 10]]], [[[10, 11], [-1, -1]]]]
    roi = np.array([1, 1, 2, 1], np.float32).reshape(1, 1, 4, 1, 1)
    made = one(
        lambda x: mb.crop_resize(x=x, roi=roi, target_height=1, target_width=2, sampling_mode="ALIGN_CORNERS",
                                 box_coordinate_mode="CENTER_SIZE_WIDTH_FIRST"), x, 6,
    )  # fmt: skip
    assert made.shape == (1, 1, 1, 1, 2)
    assert made.ravel().tolist() == [4, 6]


def test_affine() -> None:
    """The identity, and a mirror."""

    def build(matrix: list[float]) -> Any:
        return lambda x: mb.affine(
            x=x, transform_matrix=np.array([matrix], np.float32), output_height=4, output_width=4,
            sampling_mode="bilinear", padding_mode="constant", padding_value=f32(0),
            coordinates_mode="normalized_minus_one_to_one", align_corners=True,
        )  # fmt: skip

    np.testing.assert_allclose(one(build([1, 0, 0, 0, 1, 0]), X), X, atol=1e-6)
    np.testing.assert_allclose(one(build([-1, 0, 0, 0, 1, 0]), X), X[..., ::-1], atol=1e-6)


def test_upsampling() -> None:
    x = np.array([[1, 2], [3, 4]], np.float32)[None, None]
    made = one(lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=f32(2), scale_factor_width=f32(1.5)), x)
    assert made[0, 0].tolist() == [[1, 1, 2], [1, 1, 2], [3, 3, 4], [3, 3, 4]]


def test_suppression() -> None:
    """The second box overlaps the first by more than half, the fourth has too low a score."""
    boxes = np.array([[[1, 1, 2, 2], [1.2, 1, 2, 2], [5, 5, 2, 2], [9, 9, 1, 1]]], np.float32)
    scores = np.array([[[0.9], [0.8], [0.7], [0.1]]], np.float32)
    made = computed(
        lambda boxes, scores: mb.non_maximum_suppression(
            boxes=boxes, scores=scores, iou_threshold=f32(0.5), score_threshold=f32(0.2), max_boxes=3
        ),
        {"boxes": boxes, "scores": scores}, 5,
    )  # fmt: skip
    assert made[0][0, :2].tolist() == boxes[0, [0, 2]].tolist()
    assert made[1][0, :2, 0].tolist() == pytest.approx([0.9, 0.7])
    assert made[2][0, :2].tolist() == [0, 2]
    assert made[3].tolist() == [2]
    made = computed(
        lambda boxes, scores: mb.non_maximum_suppression(
            boxes=boxes, scores=scores, iou_threshold=f32(0.5), max_boxes=3
        ),
        {"boxes": boxes.transpose(0, 2, 1), "scores": scores.transpose(0, 2, 1)}, 7,
    )  # fmt: skip
    assert made[2].tolist() == [[0, 2, 3]]


def test_suppression_within_classes() -> None:
    """Overlapping boxes of two classes both stay when classes are apart."""
    boxes = np.array([[[1, 1, 2, 2], [1, 1, 2, 2]]], np.float32)
    scores = np.array([[[0.9, 0.1], [0.2, 0.8]]], np.float32)
    for apart, count in ((True, 2), (False, 1)):
        made = computed(
            lambda boxes, scores, a=apart: mb.non_maximum_suppression(
                boxes=boxes, scores=scores, iou_threshold=f32(0.5), score_threshold=f32(0), max_boxes=2,
                per_class_suppression=a,
            ),
            {"boxes": boxes, "scores": scores}, 6,
        )  # fmt: skip
        assert made[3].tolist() == [count]
