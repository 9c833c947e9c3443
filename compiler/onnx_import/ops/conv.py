"""Convolutions."""

from __future__ import annotations

import math

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.ops.window import numbers, spatial, window


def conv(node: Node) -> list[Item]:
    return [convolve(node, node.value(0), node.value(1), node.optional(2))]


def convolve(node: Node, x: Value, w: Value, bias: Value | None) -> Value:
    """A core conv with the node's attributes."""
    size, weight = spatial(node, node.shape(x)), node.shape(w)
    if len(weight) != len(size) + 2:
        node.broken(f"has weights of the shape {list(weight)}, which do not fit an input of {list(node.shape(x))}")
    if numbers(node, "kernel_shape", weight[2:], 1) != weight[2:]:
        node.broken(f"has a kernel_shape that is not that of its weights {list(weight[2:])}")
    geometry = window(node, size, weight[2:])
    return node.op(
        "conv",
        x,
        w,
        *([bias] if bias is not None else []),
        strides=geometry.strides,
        pads=geometry.pads,
        dilations=geometry.dilations,
        groups=node.integer("group", 1),
    )


def conv_transpose(node: Node) -> list[Item]:
    x, w, bias = node.value(0), node.value(1), node.optional(2)
    size, weight = spatial(node, node.shape(x)), node.shape(w)
    rank = len(size)
    if len(weight) != rank + 2:
        node.broken(f"has weights of the shape {list(weight)}, which do not fit an input of {list(node.shape(x))}")
    kernel = weight[2:]
    strides = numbers(node, "strides", (1,) * rank, 1)
    dilations = numbers(node, "dilations", (1,) * rank, 1)
    extra = numbers(node, "output_padding", (0,) * rank, 0)
    auto = node.text("auto_pad", "NOTSET")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    # lengths without pads
    full = [(n - 1) * s + r + e for n, s, r, e in zip(size, strides, reach, extra, strict=True)]
    wanted = numbers(node, "output_shape", (0,) * rank, 1)
    if not any(wanted) and auto.startswith("SAME"):
        wanted = tuple(n * s for n, s in zip(size, strides, strict=True))
    pads = (0,) * (2 * rank) if auto == "VALID" else numbers(node, "pads", (0,) * (2 * rank), 0)
    if any(wanted):
        # the total may be negative: then the output is longer than any input reaches
        total = [f - o for f, o in zip(full, wanted, strict=True)]
        extra = tuple(e + max(0, -t) for e, t in zip(extra, total, strict=True))
        total = [max(0, t) for t in total]
        half, rest = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        # ONNX: the odd one goes in front unless SAME_UPPER
        pads = half + rest if auto == "SAME_UPPER" else rest + half
    return [
        node.op(
            "conv_transpose",
            x,
            w,
            *([bias] if bias is not None else []),
            strides=strides,
            pads=pads,
            dilations=dilations,
            groups=node.integer("group", 1),
            output_padding=extra,
        )
    ]


def col2im(node: Node) -> list[Item]:
    """Columns summed into an image: a transposed convolution with one-hot weights.

    x [N, C K, L] -> [N, C K, *blocks], w [C K, 1, *block] with group C.
    """
    x, image, block = node.value(0), node.const_ints(1), node.const_ints(2)
    n, columns, _ = node.shape(x)
    rank, taps = len(image), math.prod(block)
    if len(block) != rank or taps < 1 or columns % taps:
        node.broken(f"has the block {list(block)}, which does not fit an image {list(image)} and {columns} rows")
    strides = numbers(node, "strides", (1,) * rank, 1)
    dilations = numbers(node, "dilations", (1,) * rank, 1)
    pads = numbers(node, "pads", (0,) * (2 * rank), 0)
    room = [
        i + pads[a] + pads[rank + a] - (k - 1) * d - 1
        for a, (i, k, d) in enumerate(zip(image, block, dilations, strict=True))
    ]
    blocks = [r // s + 1 for r, s in zip(room, strides, strict=True)]
    channels = columns // taps
    node.room(columns * taps, 3)
    weights = np.tile(np.eye(taps), (channels, 1)).reshape(columns, 1, *block).astype(x.type.numpy)
    result = node.op(
        "conv_transpose",
        node.reshape(x, (n, columns, *blocks)),
        node.constant(weights),
        strides=strides,
        pads=pads,
        dilations=dilations,
        groups=channels,
        output_padding=tuple(r % s for r, s in zip(room, strides, strict=True)),
    )
    return [result]


CONV: Table = {"Conv": conv, "ConvTranspose": conv_transpose, "Col2Im": col2im}
