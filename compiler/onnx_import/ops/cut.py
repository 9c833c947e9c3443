"""Operators that cut a tensor or pad it: Slice, Split, Pad, CenterCropPad."""

from __future__ import annotations

from collections.abc import Sequence

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table

PAD_MODES = ("constant", "reflect", "edge", "wrap")


def split_sizes(node: Node, length: int, given: tuple[int, ...] | None, parts: int) -> list[int]:
    """Lengths of the parts of a dimension."""
    if given is not None:
        if any(s < 0 for s in given) or sum(given) != length:
            node.broken(f"splits a length of {length} into {list(given)}")
        return list(given)
    if parts < 1:
        node.broken("splits into no parts")
    each = -(-length // parts)
    if node.opset < 18 and length % parts:
        node.broken(f"splits a length of {length} into {parts} equal parts")
    return [min(each, max(0, length - i * each)) for i in range(parts)]


def split(node: Node) -> list[Item]:
    x = node.value(0)
    shape = node.shape(x)
    axis = node.axis(node.integer("axis", 0), len(shape))
    given = (node.const_ints(1) if node.has(1) else None) if node.opset >= 13 else node.integers("split")
    outputs = len(node.proto.output)
    parts = node.integer("num_outputs", outputs)
    if parts > max(outputs, 1):
        node.broken(f"has num_outputs={parts} and {outputs} outputs")
    sizes = split_sizes(node, shape[axis], given, parts)
    if len(sizes) < outputs:
        node.broken(f"has {outputs} outputs for {len(sizes)} parts")
    return cut(node, x, axis, sizes[:outputs])


def cut(node: Node, x: Value, axis: int, sizes: Sequence[int]) -> list[Item]:
    """Consecutive pieces of the given lengths."""
    pieces: list[Item] = []
    at = 0
    for size in sizes:
        pieces.append(node.slice(x, axis, at, at + size))
        at += size
    return pieces


def slice_(node: Node) -> list[Item]:
    x = node.value(0)
    shape = node.shape(x)
    rank = len(shape)
    if node.opset < 10:
        first, last = node.integers("starts") or (), node.integers("ends") or ()
        axes, strides = node.integers("axes"), None
    else:
        first, last = node.const_ints(1), node.const_ints(2)
        axes = node.const_ints(3) if node.has(3) else None
        strides = node.const_ints(4) if node.has(4) else None
    axes = tuple(range(len(first))) if axes is None else axes
    strides = (1,) * len(first) if strides is None else strides
    if not len(first) == len(last) == len(axes) == len(strides) or 0 in strides or len(first) > rank:
        node.broken(f"has starts={list(first)}, ends={list(last)}, axes={list(axes)}, steps={list(strides)}")
    node.axes(axes, rank)
    starts, stops, steps = [0] * rank, list(shape), [1] * rank
    for a, begin, end, step in zip(axes, first, last, strides, strict=True):
        axis = node.axis(a, rank)
        starts[axis], stops[axis], steps[axis] = slice(begin, end, step).indices(shape[axis])
    for axis in range(rank):
        if len(range(starts[axis], stops[axis], steps[axis])) == 0:
            starts[axis], stops[axis], steps[axis] = 0, 0, 1
    if starts == [0] * rank and stops == list(shape) and steps == [1] * rank:
        return [x]
    return [node.op("slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))]


def pad(node: Node) -> list[Item]:
    x = node.value(0)
    rank = len(node.shape(x))
    mode = node.text("mode", "constant")
    if mode not in PAD_MODES:
        node.broken(f"has mode='{mode}'; {', '.join(PAD_MODES)} are legal")
    number: float = 0.0
    axes: Sequence[int] = range(rank)
    if node.opset < 11:
        given = node.integers("pads") or ()
        number = node.number("value", 0.0, finite=False)
    else:
        given = node.const_ints(1)
        if node.has(3):
            axes = [node.axis(a, rank) for a in node.const_ints(3)]
        if node.has(2) and mode == "constant" and node.const(2).size:
            number = node.const_float(2) if node.is_float(x) else int(node.const(2).reshape(-1)[0])
    if len(given) != 2 * len(axes):
        node.broken(f"has {len(given)} pads for {len(axes)} axes")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis] += given[i]
        after[axis] += given[len(axes) + i]
    return [padded(node, x, before, after, mode, number)]


def padded(node: Node, x: Value, before: list[int], after: list[int], mode: str, number: float) -> Value:
    """Negative pads are crops, which come first."""
    for axis, length in enumerate(node.shape(x)):
        start, stop = max(0, -before[axis]), length - max(0, -after[axis])
        if start > length or stop < start:
            node.broken(f"crops more than the length {length} of axis {axis}")
        x = node.slice(x, axis, start, stop)
    lead, trail = tuple(max(0, b) for b in before), tuple(max(0, a) for a in after)
    if not any(lead) and not any(trail):
        return x
    node.check_lengths(
        [a + d + b for a, d, b in zip(lead, node.shape(x), trail, strict=True)],
        [i for i in range(len(lead)) if lead[i] or trail[i]],
    )
    return node.op("pad", x, before=lead, after=trail, mode=mode, value=number)


def center_crop_pad(node: Node) -> list[Item]:
    x, wanted = node.value(0), node.const_ints(1)
    shape = node.shape(x)
    given = node.integers("axes")
    axes = range(len(shape)) if given is None else [node.axis(a, len(shape)) for a in given]
    if len(wanted) != len(axes):
        node.broken(f"has the shape {list(wanted)} for {len(axes)} axes")
    before, after = [0] * len(shape), [0] * len(shape)
    for axis, size in zip(axes, wanted, strict=True):
        grow = size - shape[axis]
        # an odd pixel goes behind when padding, and is cut behind when cropping
        before[axis] = grow // 2 if grow >= 0 else -(-grow // 2)
        after[axis] = grow - before[axis]
    return [padded(node, x, before, after, "constant", 0.0)]


CUT: Table = {"CenterCropPad": center_crop_pad, "Pad": pad, "Slice": slice_, "Split": split}
