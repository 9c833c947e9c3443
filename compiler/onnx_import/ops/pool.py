"""Pooling: windows and whole images."""

from __future__ import annotations

import itertools
import math

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import import limits
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Importer, Node, Table
from edgec.onnx_import.ops.window import Window, kernel_of, numbers, spatial, window


def geometry(node: Node, x: Value) -> Window:
    size = spatial(node, node.shape(x))
    return window(node, size, kernel_of(node, len(size)), node.flag("ceil_mode"))


def padded(pads: tuple[int, ...], extra: tuple[int, ...]) -> tuple[int, ...]:
    """Pads with `extra` more behind."""
    rank = len(extra)
    return pads[:rank] + tuple(p + e for p, e in zip(pads[rank:], extra, strict=True))


def max_pool(node: Node) -> list[Item]:
    x = node.value(0)
    at = geometry(node, x)
    pads = padded(at.pads, at.ceil_pads)
    result = node.op("max_pool", x, kernel=at.kernel, strides=at.strides, pads=pads, dilations=at.dilations)
    return [result, max_indices(node, x, at, pads) if node.wants(1) else None]


def max_indices(node: Node, x: Value, at: Window, pads: tuple[int, ...]) -> Value:
    """Flat positions of the maxima: gather every window, argmax inside it, look the position up."""
    n, c, *size = node.shape(x)
    rank, count = len(size), n * c
    node.room(max(o * k for o, k in zip(at.out, at.kernel, strict=True)), 2, f"the windows of {node.source}")
    places = []
    for axis in range(rank):
        start = np.arange(at.out[axis]) * at.strides[axis] - pads[axis]
        places.append(start[:, None] + np.arange(at.kernel[axis]) * at.dilations[axis])  # [out, tap]
    taps, outs = math.prod(at.kernel), math.prod(at.out)
    limits.check_shape((count, outs, taps), f"the windows of {node.source}")
    node.room(outs * taps, 6, f"the windows of {node.source}")
    flat = np.zeros((outs, taps), np.int64)
    legal = np.ones((outs, taps), np.bool_)
    column = node.integer("storage_order", 0) == 1
    told = np.zeros((outs, taps), np.int64)  # the position as ONNX tells it
    for axis in range(rank):
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = places[axis].shape
        spread = np.broadcast_to(places[axis].reshape(shape), (*at.out, *at.kernel)).reshape(outs, taps)
        legal &= (spread >= 0) & (spread < size[axis])
        flat += spread * math.prod(size[axis + 1 :])
        told += spread * math.prod(size[:axis] if column else size[axis + 1 :])
    flat[~legal] = 0
    windows = node.op("gather", node.reshape(x, (count, math.prod(size))), node.constant(flat), axis=1)
    if not legal.all():
        kind = x.type.numpy
        lowest = -np.inf if node.is_float(x) else np.iinfo(kind).min
        windows = node.op("where", node.constant(legal), windows, node.like(lowest, x))
    best = node.op("argmax", windows, axis=2, keepdims=True)
    table = node.broadcast(node.constant(told[None]), (count, outs, taps))
    place = node.reshape(node.op("gather_elements", table, best, axis=2), (n, c, *at.out))
    offset = node.positions(count).reshape(n, c, *[1] * rank) * math.prod(size)
    return node.op("add", place, node.constant(offset))


def average_pool(node: Node) -> list[Item]:
    x = node.value(0)
    at = geometry(node, x)
    attrs = {
        "kernel": at.kernel,
        "strides": at.strides,
        "pads": padded(at.pads, at.ceil_pads),
        "dilations": at.dilations,
    }
    include = node.flag("count_include_pad")
    extra = at.ceil_pads if any(at.ceil_pads) else ()
    return [node.op("avg_pool", x, **attrs, count_include_pad=include, ceil_pads=extra)]


def lp_pool(node: Node) -> list[Item]:
    """(sum |x|^p)^(1/p) over windows: a depthwise convolution with ones."""
    x = node.value(0)
    at = geometry(node, x)
    p = node.integer("p", 2)
    channels = node.shape(x)[1]
    powered = power_of(node, node.op("abs", x), float(p))
    ones = node.full((channels, 1, *at.kernel), 1, x.type.dtype)
    pads = padded(at.pads, at.ceil_pads)
    total = node.op("conv", powered, ones, strides=at.strides, pads=pads, dilations=at.dilations, groups=channels)
    return [root_of(node, total, float(p))]


def power_of(node: Node, x: Value, p: float) -> Value:
    if p == 1:
        return x
    return node.op("mul", x, x) if p == 2 else node.op("pow", x, node.like(p, x))


def root_of(node: Node, x: Value, p: float) -> Value:
    if p == 0:
        node.broken("has p = 0")
    if p == 1:
        return x
    return node.op("sqrt", x) if p == 2 else node.op("pow", x, node.like(1 / p, x))


def over_image(kind: str) -> Importer:
    """GlobalAveragePool, GlobalMaxPool."""

    def run(node: Node) -> list[Item]:
        x = node.value(0)
        return [node.reduce(kind, x, range(2, 2 + len(spatial(node, node.shape(x)))), keepdims=True)]

    return run


def global_lp_pool(node: Node) -> list[Item]:
    x = node.value(0)
    p = float(node.integer("p", 2))
    axes = range(2, 2 + len(spatial(node, node.shape(x))))
    total = node.reduce("sum", power_of(node, node.op("abs", x), p), axes, keepdims=True)
    return [root_of(node, total, p)]


def max_unpool(node: Node) -> list[Item]:
    """Values back to their flat positions, zeros elsewhere."""
    x, indices = node.value(0), node.value(1)
    n, c, *size = node.shape(x)
    rank = len(size)
    kernel = kernel_of(node, rank)
    strides = numbers(node, "strides", (1,) * rank, 1)
    pads = numbers(node, "pads", (0,) * (2 * rank), 0)
    natural = [(size[i] - 1) * strides[i] + kernel[i] - pads[i] - pads[rank + i] for i in range(rank)]
    shape = node.const_ints(2) if node.has(2) else (n, c, *natural)
    if len(shape) != rank + 2 or any(a < b for a, b in itertools.islice(zip(shape, (n, c), strict=False), 2)):
        node.broken(f"has the output shape {list(shape)}, which does not fit {list(node.shape(x))}")
    # positions count in the natural image; a larger output_shape only adds room behind
    total = math.prod((n, c, *natural))
    flat = node.op(
        "scatter_elements",
        node.full((total,), 0, x.type.dtype),
        node.reshape(indices, (n * c * math.prod(size),)),
        node.reshape(x, (n * c * math.prod(size),)),
        axis=0,
    )
    image = node.reshape(flat, (n, c, *natural))
    after = [a - b for a, b in zip(shape, (n, c, *natural), strict=True)]
    if min(after) < 0:
        node.refuse(f"has an output shape {list(shape)} smaller than {[n, c, *natural]}, the least that is supported")
    return [node.pad(image, [0] * len(after), after)]


POOL: Table = {
    "AveragePool": average_pool,
    "GlobalAveragePool": over_image("mean"),
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": over_image("max"),
    "LpPool": lp_pool,
    "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
}
