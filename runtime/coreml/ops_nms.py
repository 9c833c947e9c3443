"""non_maximum_suppression: boxes (x, y, width, height) by centre, the best first, without those that overlap it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, room
from edgec.runtime.coreml.wire import Array


def _overlaps(box: Array, others: Array) -> Array:
    """Intersection over union of a box with others [B, 4]: f32 [B]."""
    low, high = others[:, :2] - others[:, 2:] / 2, others[:, :2] + others[:, 2:] / 2
    sides = np.minimum(high, box[:2] + box[2:] / 2) - np.maximum(low, box[:2] - box[2:] / 2)
    shared = np.clip(sides, 0, None).prod(axis=1)
    union = others[:, 2:].prod(axis=1) + box[2:].prod() - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0)


def _chosen(boxes: Array, scores: Array, threshold: float, least: float | None, count: int, apart: bool) -> list[int]:
    """Indices of at most `count` boxes; of classes `apart` only boxes of one class suppress each other."""
    best, classes = scores.max(axis=1), scores.argmax(axis=1)
    left = [int(i) for i in np.argsort(-best, kind="stable") if least is None or best[i] >= least]
    found: list[int] = []
    while left and len(found) < count:
        first = left.pop(0)
        found.append(first)
        over = _overlaps(boxes[first], boxes[left]) > threshold if left else np.zeros(0, bool)
        if apart:
            over &= classes[left] == classes[first]
        left = [i for i, gone in zip(left, over, strict=True) if not gone]
    return found


def _suppression(call: Call) -> tuple[Array, ...]:
    """What is padded: coordinates and indices with -1 (indices) and 0, as no box is there."""
    last = call.opset >= 7  # boxes lie along the last axis
    boxes, scores = call.real("boxes"), call.real("scores")
    if last:
        boxes, scores = boxes.transpose(0, 2, 1), scores.transpose(0, 2, 1)
    if boxes.ndim != 3 or boxes.shape[2] != 4 or scores.shape[:2] != boxes.shape[:2]:
        raise ValueError(f"boxes {list(boxes.shape)} and scores {list(scores.shape)} do not fit")
    n, count = len(boxes), call.integer("max_boxes")
    room([n, count, max(4, scores.shape[2])])
    least = None if last else call.number("score_threshold")
    picked = [
        _chosen(b, s, call.number("iou_threshold"), least, count, call.flag("per_class_suppression"))
        for b, s in zip(boxes, scores, strict=True)
    ]
    made_boxes = np.zeros((n, count, 4), np.float32)
    made_scores = np.zeros((n, count, scores.shape[2]), np.float32)
    indices = np.full((n, count), -1, np.int32)
    for i, found in enumerate(picked):
        made_boxes[i, : len(found)] = boxes[i, found]
        made_scores[i, : len(found)] = scores[i, found]
        indices[i, : len(found)] = found
    if last:
        return made_boxes.transpose(0, 2, 1), made_scores.transpose(0, 2, 1), indices
    return made_boxes, made_scores, indices, np.array([len(found) for found in picked], np.int32)


MEANINGS: dict[str, Callable[[Call], tuple[Array, ...]]] = {"non_maximum_suppression": _suppression}
