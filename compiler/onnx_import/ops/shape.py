"""Operators that move and join elements without computing, and the shape arithmetic around them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import import limits
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.tensors import dense_of


def constant(node: Node) -> list[Item]:
    for name in ("value_string", "value_strings"):
        if name in node.attributes:
            node.refuse("is a string; tensors of numbers are supported")
    if "sparse_value" in node.attributes:
        return [node.constant(dense_of(node.attributes["sparse_value"].sparse_tensor, node.walk.spend))]
    array = node.tensor("value")
    if array is None and "value_float" in node.attributes:
        array = np.asarray(node.number("value_float", 0.0, finite=False), np.float32)
    if array is None and "value_int" in node.attributes:
        array = np.asarray(node.integer("value_int", 0), np.int64)
    if array is None and "value_floats" in node.attributes:
        array = np.asarray(node.numbers("value_floats"), np.float32)
    if array is None and "value_ints" in node.attributes:
        array = np.asarray(node.integers("value_ints"), np.int64)
    if array is None:
        node.broken("has no value")
    return [node.constant(array)]


def constant_of_shape(node: Node) -> list[Item]:
    given = node.tensor("value")
    array = np.zeros(1, np.float32) if given is None else given
    if array.size != 1:
        node.broken(f"has a value of {array.size} elements; one is needed")
    dims = limits.check_shape(node.const_ints(0), f"the result of {node.source}")
    return [node.broadcast(node.constant(array.reshape(())), dims)]


def shape_of(node: Node) -> list[Item]:
    shape = node.shape(node.value(0))
    start, stop = node.integer("start", 0), node.integer("end", len(shape))
    return [node.constant(np.asarray(shape[slice(start, stop)], np.int64))]


def size_of(node: Node) -> list[Item]:
    return [node.constant(np.asarray(math.prod(node.shape(node.value(0))), np.int64))]


def reshape(node: Node) -> list[Item]:
    x = node.value(0)
    old = node.shape(x)
    wanted = list(node.const_ints(1))
    if not node.flag("allowzero"):
        for i, d in enumerate(wanted):
            if d == 0:
                if i >= len(old):
                    node.broken(f"copies the dimension {i} of the shape {list(old)}")
                wanted[i] = old[i]
    if wanted.count(-1) > 1 or any(d < -1 for d in wanted):
        node.broken(f"has the shape {wanted}, which is not legal")
    if -1 in wanted:
        known = math.prod(d for d in wanted if d != -1)
        total = math.prod(old)
        if known == 0 or total % known:
            node.broken(f"cannot reshape {list(old)} to {wanted}")
        wanted[wanted.index(-1)] = total // known
    if math.prod(wanted) != math.prod(old):
        node.broken(f"cannot reshape {list(old)} to {wanted}")
    return [node.reshape(x, wanted)]


def flatten(node: Node) -> list[Item]:
    x = node.value(0)
    shape = node.shape(x)
    axis = node.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        node.broken(f"has the axis {axis} for the shape {list(shape)}")
    axis = axis + len(shape) if axis < 0 else axis
    return [node.reshape(x, (math.prod(shape[:axis]), math.prod(shape[axis:])))]


def axes_operand(node: Node, i: int = 1) -> tuple[int, ...] | None:
    """Axes of Squeeze and Unsqueeze: an operand since opset 13."""
    if node.opset >= 13:
        return node.const_ints(i) if node.has(i) else None
    return node.integers("axes")


def squeeze(node: Node) -> list[Item]:
    x = node.value(0)
    shape = node.shape(x)
    given = axes_operand(node)
    axes = [i for i, d in enumerate(shape) if d == 1] if given is None else node.axes(given, len(shape))
    wrong = [shape[a] for a in axes if shape[a] != 1]
    if wrong:
        node.broken(f"removes the axes {list(axes)} of the shape {list(shape)}, which are not all 1")
    return [node.reshape(x, [d for i, d in enumerate(shape) if i not in axes])]


def unsqueeze(node: Node) -> list[Item]:
    x = node.value(0)
    given = axes_operand(node) or ()
    rank = len(node.shape(x)) + len(given)
    axes = node.axes(given, rank)
    rest = iter(node.shape(x))
    return [node.reshape(x, [1 if i in axes else next(rest) for i in range(rank)])]


def transpose(node: Node) -> list[Item]:
    x = node.value(0)
    rank = len(node.shape(x))
    perm = node.integers("perm")
    order = tuple(reversed(range(rank))) if perm is None else perm
    if sorted(order) != list(range(rank)):
        node.broken(f"has perm={list(order)} for {rank} dimensions")
    return [node.transpose(x, order)]


def expand(node: Node) -> list[Item]:
    """Two-way broadcasting: a 1 in the wanted shape keeps the dimension."""
    x = node.value(0)
    wanted = limits.check_shape(node.const_ints(1), f"the result of {node.source}")
    try:
        shape = np.broadcast_shapes(node.shape(x), wanted)
    except ValueError:
        node.broken(f"cannot expand {list(node.shape(x))} to {list(wanted)}")
    return [node.broadcast(x, shape)]


def tile(node: Node) -> list[Item]:
    return [tiled(node, node.value(0), node.const_ints(1))]


def tiled(node: Node, x: Value, repeats: Sequence[int]) -> Value:
    """[a, b] tiled by (r, s) = [1, a, 1, b] -> [r, a, s, b] -> [r a, s b]"""
    shape = node.shape(x)
    if len(repeats) != len(shape) or any(r < 0 for r in repeats):
        node.broken(f"has repeats={list(repeats)} for the shape {list(shape)}")
    final = limits.check_shape([d * r for d, r in zip(shape, repeats, strict=True)], f"the result of {node.source}")
    if all(r == 1 for r in repeats):
        return x
    split: list[int] = []
    wide: list[int] = []
    for d, r in zip(shape, repeats, strict=True):
        split += [1, d] if r != 1 else [d]
        wide += [r, d] if r != 1 else [d]
    return node.reshape(node.broadcast(node.reshape(x, split), wide), final)


def concat(node: Node) -> list[Item]:
    values = node.values()
    if not values or "axis" not in node.attributes:
        node.broken("needs operands and the attribute 'axis'")
    axis = node.axis(node.integer("axis", 0), len(node.shape(values[0])))
    # exporters join empty pieces of shape arithmetic
    full = [v for v in values if node.shape(v)[axis : axis + 1] != (0,)] or values[:1]
    return [node.concat(full, axis)]


def depth_to_space(node: Node) -> list[Item]:
    x = node.value(0)
    n, c, h, w = image_shape(node, x)
    b = node.integer("blocksize", 0)
    mode = node.text("mode", "DCR")
    if b < 1 or c % (b * b) or mode not in ("DCR", "CRD"):
        node.broken(f"has blocksize={b} and mode='{mode}' for {c} channels")
    d = c // (b * b)
    if mode == "DCR":
        moved = node.transpose(node.reshape(x, (n, b, b, d, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        moved = node.transpose(node.reshape(x, (n, d, b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return [node.reshape(moved, (n, d, h * b, w * b))]


def space_to_depth(node: Node) -> list[Item]:
    x = node.value(0)
    n, c, h, w = image_shape(node, x)
    b = node.integer("blocksize", 0)
    mode = node.text("mode", "DCR")
    if b < 1 or h % b or w % b or mode not in ("DCR", "CRD"):
        node.broken(f"has blocksize={b} and mode='{mode}' for an image of {h} by {w}")
    split = node.reshape(x, (n, c, h // b, b, w // b, b))
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return [node.reshape(node.transpose(split, order), (n, c * b * b, h // b, w // b))]


def image_shape(node: Node, x: Value) -> tuple[int, ...]:
    shape = node.shape(x)
    if len(shape) != 4:
        node.broken(f"needs four dimensions, not {len(shape)}")
    return shape


def arange(node: Node) -> list[Item]:
    start, limit, delta = (node.const(i).reshape(-1)[0] for i in range(3))
    if delta == 0 or not all(np.isfinite(float(v)) for v in (start, limit, delta)):
        node.broken(f"has start={start}, limit={limit}, delta={delta}")
    floats = start.dtype.kind not in "iu"
    begin, end, step = (float(v) if floats else int(v) for v in (start, limit, delta))
    length = max(0, math.ceil((end - begin) / step) if floats else -((begin - end) // step))
    limits.check_shape((int(length),), f"the result of {node.source}")
    node.room(int(length), 3)
    steps = np.arange(int(length)).astype(np.float64 if floats else np.int64)
    return [node.constant((begin + steps * step).astype(start.dtype))]


def eye_like(node: Node) -> list[Item]:
    x = node.value(0)
    shape = node.shape(x)
    if len(shape) != 2:
        node.broken(f"needs a matrix, not {len(shape)} dimensions")
    node.room(shape[0] * shape[1])
    dtype = node.dtype("dtype", x.type.dtype)
    k = max(-shape[0], min(shape[1], node.integer("k", 0)))
    return [node.constant(np.eye(*shape, k=k), dtype)]


def trilu(node: Node) -> list[Item]:
    x = node.value(0)
    shape = node.shape(x)
    if len(shape) < 2:
        node.broken("needs matrices")
    k = node.const_int(1) if node.has(1) else 0
    k = max(-shape[-2] - 1, min(shape[-1] + 1, k))
    node.room(shape[-2] * shape[-1] // 8, 3, f"the mask of {node.source}")
    ones = np.ones(shape[-2:], np.bool_)
    keep = np.triu(ones, k) if node.flag("upper", True) else np.tril(ones, k)
    return [node.op("where", node.constant(keep), x, node.like(0, x))]


SHAPE: Table = {
    "Concat": concat,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "EyeLike": eye_like,
    "Flatten": flatten,
    "Range": arange,
    "Reshape": reshape,
    "Shape": shape_of,
    "Size": size_of,
    "SpaceToDepth": space_to_depth,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": unsqueeze,
}
