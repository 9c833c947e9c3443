"""Operators whose operands are positions."""

from __future__ import annotations

import math

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import import limits
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table


def indices(node: Node, i: int) -> Value:
    """Operand i as positions."""
    value = node.value(i)
    return value if value.type.dtype in ("i64", "i32") else node.cast(value, "i64")


def gather(node: Node) -> list[Item]:
    x = node.value(0)
    axis = node.axis(node.integer("axis", 0), len(node.shape(x)))
    return [node.op("gather", x, indices(node, 1), axis=axis)]


def gather_elements(node: Node) -> list[Item]:
    x = node.value(0)
    axis = node.axis(node.integer("axis", 0), len(node.shape(x)))
    return [node.op("gather_elements", x, indices(node, 1), axis=axis)]


def gather_nd(node: Node) -> list[Item]:
    return [node.op("gather_nd", node.value(0), indices(node, 1), batch_dims=node.integer("batch_dims", 0))]


def reduction(node: Node) -> str:
    how = node.text("reduction", "none")
    if how not in ("none", "add", "mul", "max", "min"):
        node.broken(f"has reduction='{how}'; none, add, mul, max and min are legal")
    return how


def scatter_elements(node: Node) -> list[Item]:
    x = node.value(0)
    axis = node.axis(node.integer("axis", 0), len(node.shape(x)))
    return [node.op("scatter_elements", x, indices(node, 1), node.value(2), axis=axis, reduction=reduction(node))]


def scatter_nd(node: Node) -> list[Item]:
    return [node.op("scatter_nd", node.value(0), indices(node, 1), node.value(2), reduction=reduction(node))]


def top_k(node: Node) -> list[Item]:
    x = node.value(0)
    shape = node.shape(x)
    axis = node.axis(node.integer("axis", -1), len(shape))
    k = node.integer("k", 0) if node.opset < 10 else node.const_int(1)
    if not 0 <= k <= shape[axis]:
        node.broken(f"has k={k} for a length of {shape[axis]}")
    largest, ordered = node.flag("largest", True), node.flag("sorted", True)
    return list(node.ops("topk", x, k=k, axis=axis, largest=largest, sorted=ordered))


def one_hot(node: Node) -> list[Item]:
    """values[1] where the position along a new axis is the index, values[0] elsewhere."""
    index, values = node.value(0), node.value(2)
    given = node.const_floats(1)
    if len(given) != 1 or not 1 <= given[0] <= limits.TENSOR_ELEMENTS or node.shape(values) != (2,):
        node.broken(f"has the depth {list(given)} and values of the shape {list(node.shape(values))}; "
                    f"one depth of 1 to {limits.TENSOR_ELEMENTS} and two values are needed")
    depth = int(given[0])
    shape = node.shape(index)
    axis = node.axis(node.integer("axis", -1), len(shape) + 1)
    limits.check_shape((*shape, depth), f"the result of {node.source}")
    index = node.cast(index, "i64")
    # an index outside [-depth, depth) is nowhere; negative ones count from the end
    negative = node.op("lt", index, node.like(0, index))
    wrapped = node.op("where", negative, node.op("add", index, node.like(depth, index)), index)
    column = node.reshape(wrapped, (*shape[:axis], 1, *shape[axis:]))
    places = node.positions(depth).reshape([-1 if i == axis else 1 for i in range(len(shape) + 1)])
    hot = node.op("eq", column, node.constant(places))
    off, on = (node.reshape(node.slice(values, 0, i, i + 1), ()) for i in (0, 1))
    return [node.op("where", hot, on, off)]


def non_zero(node: Node) -> list[Item]:
    """Its result's shape depends on the data, so the data must be known."""
    x = node.const(0)
    node.room(x.size, 2 * max(1, x.ndim))
    return [node.constant(np.stack(np.nonzero(x)).astype(np.int64))]


def compress(node: Node) -> list[Item]:
    """The slices where a known condition holds."""
    x = node.value(0)
    kept = np.nonzero(node.const(1).reshape(-1))[0].astype(np.int64)
    if "axis" not in node.attributes:
        x = node.reshape(x, (math.prod(node.shape(x)),))
    axis = node.axis(node.integer("axis", 0), len(node.shape(x)))
    if kept.size and kept[-1] >= node.shape(x)[axis]:
        node.broken(f"has a condition that reaches beyond the length {node.shape(x)[axis]}")
    return [node.op("gather", x, node.constant(kept), axis=axis)]


def unique(node: Node) -> list[Item]:
    """Its results' shapes depend on the data, so the data must be known."""
    x = node.const(0)
    axis = node.axis(node.integer("axis", 0), x.ndim) if "axis" in node.attributes else None
    node.room(x.size, 8)
    values, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    inverse = inverse.reshape(-1)
    if not node.flag("sorted", True):
        order = np.argsort(first, kind="stable")
        back = np.argsort(order, kind="stable")
        values = np.take(values, order, axis=axis or 0)
        first, inverse, counts = first[order], back[inverse], counts[order]
    return [node.constant(values), *(node.constant(a.astype(np.int64)) for a in (first, inverse, counts))]


def reverse_sequence(node: Node) -> list[Item]:
    """The first lens[b] steps of every batch entry backwards: a gather of positions that are computed."""
    x, lens = node.value(0), node.cast(node.value(1), "i64")
    shape = node.shape(x)
    batch = node.axis(node.integer("batch_axis", 1), len(shape))
    time = node.axis(node.integer("time_axis", 0), len(shape))
    if batch == time or node.shape(lens) != (shape[batch],):
        node.broken(f"has batch_axis={batch} and time_axis={time} for the shape {list(shape)}")
    steps = node.constant(node.positions(shape[time]).reshape(-1, 1))
    lens = node.reshape(lens, (1, shape[batch]))
    mirrored = node.op("sub", node.op("sub", lens, node.like(1, lens)), steps)
    places = node.op("where", node.op("lt", steps, lens), mirrored, steps)
    if time > batch:
        places = node.transpose(places, (1, 0))
    places = node.reshape(places, [d if i in (batch, time) else 1 for i, d in enumerate(shape)])
    return [node.op("gather_elements", x, node.broadcast(places, shape), axis=time)]


def tensor_scatter(node: Node) -> list[Item]:
    """An update written into a cache at one position per batch entry."""
    cache, update = node.value(0), node.value(1)
    shape, new = node.shape(cache), node.shape(update)
    axis = node.axis(node.integer("axis", -2), len(shape))
    mode = node.text("mode", "linear")
    if axis == 0 or mode not in ("linear", "circular") or len(new) != len(shape):
        node.broken(f"has axis={axis} and mode='{mode}'")
    steps = node.constant(node.positions(new[axis])[None])
    start = node.full((shape[0], 1), 0, "i64")
    if node.has(2):
        start = node.reshape(node.cast(node.value(2), "i64"), (shape[0], 1))
    places = node.op("add", start, steps)
    if mode == "circular":
        places = node.op("mod", places, node.like(shape[axis], places))
    places = node.reshape(places, [new[i] if i in (0, axis) else 1 for i in range(len(shape))])
    return [node.op("scatter_elements", cache, node.broadcast(places, new), update, axis=axis)]


def feature_extractor(node: Node) -> list[Item]:
    """ai.onnx.ml: columns of the last axis."""
    x, picked = node.value(0), node.value(1)
    shape = node.shape(x)
    picked = node.reshape(node.cast(picked, "i64"), (math.prod(node.shape(picked)),))
    x = node.reshape(x, (1, *shape)) if len(shape) == 1 else x
    return [node.op("gather", x, picked, axis=len(node.shape(x)) - 1)]


INDEX: Table = {
    "Compress": compress,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "NonZero": non_zero,
    "OneHot": one_hot,
    "ReverseSequence": reverse_sequence,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "TensorScatter": tensor_scatter,
    "TopK": top_k,
    "Unique": unique,
    "ai.onnx.ml.ArrayFeatureExtractor": feature_extractor,
}
