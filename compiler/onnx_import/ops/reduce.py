"""Reductions, scans along an axis, softmax and its kin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.ir.graph import Value
from edgec.ir.types import SIGNED, UNSIGNED
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Importer, Node, Table

# opset from which the axes are an operand
AXES_OPERAND = {"ReduceSum": 13}


def axes_of(node: Node) -> tuple[int, ...] | None:
    """Axes to reduce; None means: change nothing."""
    rank = len(node.shape(node.value(0)))
    as_operand = node.opset >= AXES_OPERAND.get(node.op_type, 18)
    given = (node.const_ints(1) if node.has(1) else None) if as_operand else node.integers("axes")
    if given:
        return node.axes(given, rank)
    if as_operand and node.flag("noop_with_empty_axes"):
        return None
    return tuple(range(rank))


def lowest(dtype: np.dtype) -> float | int | bool:
    """The identity of max."""
    if dtype.kind == "b":
        return False
    return int(np.iinfo(dtype).min) if dtype.kind in "iu" else -np.inf


def highest(dtype: np.dtype) -> float | int | bool:
    """The identity of min."""
    if dtype.kind == "b":
        return True
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf


def identity_of(kind: str, dtype: np.dtype) -> float | int | bool:
    """The result over nothing."""
    if kind in ("max", "min"):
        return lowest(dtype) if kind == "max" else highest(dtype)
    return {"sum": 0, "prod": 1, "mean": np.nan}[kind]


def reduced(node: Node, kind: str, x: Value, axes: Sequence[int], keepdims: bool) -> Value:
    """One core reduction; over an empty dimension its identity."""
    shape = node.shape(x)
    if not axes:
        return x
    if any(shape[a] == 0 for a in axes):
        dims = [1 if i in axes else d for i, d in enumerate(shape) if keepdims or i not in axes]
        return node.full(dims, identity_of(kind, x.type.numpy), x.type.dtype)
    if kind == "mean" and not node.is_float(x):
        # a sum that does not overflow, divided towards zero
        total = node.reduce("sum", node.cast(x, "u64" if x.type.dtype in UNSIGNED else "i64"), axes, keepdims)
        return node.cast(node.op("div", total, node.like(math.prod(shape[a] for a in axes), total)), x.type.dtype)
    return node.reduce(kind, x, axes, keepdims)


def plain(kind: str) -> Importer:
    def run(node: Node) -> list[Item]:
        axes = axes_of(node)
        x = node.value(0)
        return [x if axes is None else reduced(node, kind, x, axes, node.flag("keepdims", True))]

    return run


def composed(node: Node) -> list[Item]:
    """ReduceL1, L2, SumSquare, LogSum, LogSumExp: something, a sum, something. With no axes only the sum is skipped."""
    axes, x, keep = axes_of(node), node.value(0), node.flag("keepdims", True)
    name = node.op_type
    axes = () if axes is None else axes

    def total(value: Value) -> Value:
        return reduced(node, "sum", value, axes, keep)

    if name == "ReduceL1":
        return [total(node.op("abs", x) if x.type.dtype in SIGNED or node.is_float(x) else x)]
    if name == "ReduceSumSquare":
        return [total(node.op("mul", x, x))]
    if name == "ReduceL2":
        return [inexact(node, total(node.op("mul", x, x)), "sqrt")]
    if name == "ReduceLogSum":
        return [inexact(node, total(x), "log")]
    if not node.is_float(x) or not axes or any(node.shape(x)[a] == 0 for a in axes):
        wide = node.cast(x, x.type.dtype if node.is_float(x) else "f64")
        return [node.cast(node.op("log", total(node.op("exp", wide))), x.type.dtype)]
    # the largest element is taken out so that exp cannot overflow; an infinite one must stay in
    top = reduced(node, "max", x, axes, True)
    top = node.op("where", node.op("is_inf", top), node.like(0, top), top)
    sums = node.op("log", total(node.op("exp", node.op("sub", x, top))))
    return [node.op("add", sums, node.reshape(top, node.shape(sums)))]


def inexact(node: Node, x: Value, kind: str) -> Value:
    """A float function of a number that may be an integer."""
    if node.is_float(x):
        return node.op(kind, x)
    return node.cast(node.op(kind, node.cast(x, "f64")), x.type.dtype)


def arg(kind: str) -> Importer:
    def run(node: Node) -> list[Item]:
        x = node.value(0)
        axis = node.axis(node.integer("axis", 0), len(node.shape(x)))
        last = node.flag("select_last_index")
        return [node.op(kind, x, axis=axis, keepdims=node.flag("keepdims", True), last=last)]

    return run


def cumsum(node: Node) -> list[Item]:
    x = node.value(0)
    axis = node.axis(node.const_int(1), len(node.shape(x)))
    return [node.op("cumsum", x, axis=axis, exclusive=node.flag("exclusive"), reverse=node.flag("reverse"))]


def cumprod(node: Node) -> list[Item]:
    """Hillis and Steele: log2(n) steps, each multiplies with what lies 1, 2, 4, ... before."""
    x = node.value(0)
    shape = node.shape(x)
    axis = node.axis(node.const_int(1), len(shape))
    reverse, n = node.flag("reverse"), shape[axis]
    if node.flag("exclusive") and n:
        x = shifted(node, x, axis, 1, reverse)
    step = 1
    while step < n:
        x = node.op("mul", x, shifted(node, x, axis, step, reverse))
        step *= 2
    return [x]


def shifted(node: Node, x: Value, axis: int, step: int, reverse: bool) -> Value:
    """Elements moved by `step` along an axis, ones where none came from."""
    shape = list(node.shape(x))
    n = shape[axis]
    shape[axis] = step
    ones = node.full(shape, 1, x.type.dtype)
    if reverse:
        return node.concat([node.slice(x, axis, step, n), ones], axis) if step < n else ones
    return node.concat([ones, node.slice(x, axis, 0, n - step)], axis) if step < n else ones


def over_axis(kind: str) -> Importer:
    """Softmax and LogSoftmax. Before opset 13 all dimensions from the axis on were one."""

    def run(node: Node) -> list[Item]:
        x, shape, axis = softmax_view(node)
        return [node.reshape(node.op(kind, x, axis=axis), shape)]

    return run


def softmax_view(node: Node) -> tuple[Value, tuple[int, ...], int]:
    """The operand as the softmax sees it, its true shape, the axis."""
    x = node.value(0)
    shape = node.shape(x)
    if node.opset >= 13:
        return x, shape, node.axis(node.integer("axis", -1), len(shape))
    axis = node.axis(node.integer("axis", 1), len(shape))
    if axis == len(shape) - 1:
        return x, shape, axis
    flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    return node.reshape(x, flat), shape, 1


def hardmax(node: Node) -> list[Item]:
    """One at the first maximum, zero elsewhere."""
    x, shape, axis = softmax_view(node)
    seen = node.shape(x)
    best = node.op("argmax", x, axis=axis, keepdims=True)
    places = node.positions(seen[axis]).reshape([-1 if i == axis else 1 for i in range(len(seen))])
    hot = node.op("eq", best, node.constant(places))
    return [node.reshape(node.cast(hot, x.type.dtype), shape)]


def loss(node: Node) -> list[Item]:
    """NegativeLogLikelihoodLoss, and SoftmaxCrossEntropyLoss, which takes log_softmax first and may return it."""
    x, target = node.value(0), node.value(1)
    log_prob: Value | None = None
    if node.op_type == "SoftmaxCrossEntropyLoss":
        x = log_prob = node.op("log_softmax", x, axis=1)
    shape = node.shape(x)
    n, classes = shape[0], shape[1]
    target = node.cast(target, "i64")
    ignored: Value | None = None
    if "ignore_index" in node.attributes:
        ignored = node.op("eq", target, node.like(node.integer("ignore_index", 0), target))
        target = node.op("where", ignored, node.like(0, target), target)
    places = node.positions(classes).reshape(1, classes, *[1] * (len(shape) - 2))
    index = node.reshape(target, (n, 1, *shape[2:]))
    picked = node.reduce("sum", node.op("where", node.op("eq", index, node.constant(places)), x, node.like(0, x)), (1,))
    each = node.op("neg", picked)
    weight: Value | None = None
    if node.has(2):
        weight = node.op("gather", node.value(2), target, axis=0)
    elif ignored is not None:
        weight = node.full(shape[:1] + shape[2:], 1, x.type.dtype)
    if ignored is not None and weight is not None:
        weight = node.op("where", ignored, node.like(0, weight), weight)
    if weight is not None:
        each = node.op("mul", each, weight)
    return [finish_loss(node, each, weight), log_prob]


def finish_loss(node: Node, each: Value, weight: Value | None) -> Value:
    how = node.text("reduction", "mean")
    axes = range(len(node.shape(each)))
    if how == "none":
        return each
    if how == "sum" or (how == "mean" and weight is not None):
        total = node.reduce("sum", each, axes)
        return total if how == "sum" or weight is None else node.op("div", total, node.reduce("sum", weight, axes))
    if how != "mean":
        node.broken(f"has reduction='{how}'; none, sum and mean are legal")
    return node.reduce("mean", each, axes)


REDUCE: Table = {
    "ArgMax": arg("argmax"),
    "ArgMin": arg("argmin"),
    "CumProd": cumprod,
    "CumSum": cumsum,
    "Hardmax": hardmax,
    "LogSoftmax": over_axis("log_softmax"),
    "NegativeLogLikelihoodLoss": loss,
    "ReduceL1": composed,
    "ReduceL2": composed,
    "ReduceLogSum": composed,
    "ReduceLogSumExp": composed,
    "ReduceMax": plain("max"),
    "ReduceMean": plain("mean"),
    "ReduceMin": plain("min"),
    "ReduceProd": plain("prod"),
    "ReduceSum": plain("sum"),
    "ReduceSumSquare": composed,
    "Softmax": over_axis("softmax"),
    "SoftmaxCrossEntropyLoss": loss,
}
