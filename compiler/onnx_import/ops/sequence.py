"""Sequences and optionals: they resolve at import, so that only tensors reach the IR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import import limits
from edgec.onnx_import.items import Item, Maybe, Missing, TensorList
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.ops.control import run_body, stacked


def tensors(node: Node, i: int = 0) -> tuple[Value, ...]:
    """Operand i as a sequence."""
    item = node.item(i)
    if isinstance(item, Maybe):
        item = item.item
    if not isinstance(item, TensorList):
        node.broken(f"needs a sequence as operand {i}")
    return item.items


def listed(node: Node, items: Sequence[Value]) -> list[Item]:
    if len(items) > limits.SEQUENCE_ITEMS:
        node.refuse(f"makes a sequence of {len(items)} tensors; at most {limits.SEQUENCE_ITEMS} are supported")
    return [TensorList(tuple(items))]


def place(node: Node, i: int, count: int, end: bool = False) -> int:
    """A known position in a sequence."""
    at = node.const_int(i)
    if not -count <= at < count + end:
        node.broken(f"has the position {at} in a sequence of {count}")
    return at + count if at < 0 else at


def sequence_insert(node: Node) -> list[Item]:
    items = list(tensors(node))
    items.insert(place(node, 2, len(items), end=True) if node.has(2) else len(items), node.value(1))
    return listed(node, items)


def sequence_erase(node: Node) -> list[Item]:
    items = list(tensors(node))
    if not items:
        node.broken("erases from an empty sequence")
    del items[place(node, 1, len(items)) if node.has(1) else -1]
    return listed(node, items)


def sequence_at(node: Node) -> list[Item]:
    items = tensors(node)
    return [items[place(node, 1, len(items))]]


def sequence_length(node: Node) -> list[Item]:
    return [node.constant(np.asarray(len(tensors(node)), np.int64))]


def concat_from_sequence(node: Node) -> list[Item]:
    items = tensors(node)
    if not items:
        node.broken("joins an empty sequence")
    if node.flag("new_axis"):
        return [stacked(node, items, node.integer("axis", 0))]
    return [node.concat(items, node.axis(node.integer("axis", 0), len(node.shape(items[0]))))]


def split_to_sequence(node: Node) -> list[Item]:
    x = node.value(0)
    shape = node.shape(x)
    axis = node.axis(node.integer("axis", 0), len(shape))
    length = shape[axis]
    sizes = [1] * min(length, limits.SEQUENCE_ITEMS + 1)
    keep = node.flag("keepdims", True)
    if node.has(1):
        keep = True
        given = node.const(1)
        if given.ndim == 0:
            step = int(given)
            if step < 1:
                node.broken(f"splits into parts of {step}")
            starts = range(0, length, step)[: limits.SEQUENCE_ITEMS + 1]
            sizes = [min(step, length - i) for i in starts]
        else:
            sizes = list(node.const_ints(1))
    if len(sizes) > limits.SEQUENCE_ITEMS:
        node.refuse(f"makes a sequence of more than {limits.SEQUENCE_ITEMS} tensors, the most that are supported")
    if sum(sizes) != length or min(sizes, default=0) < 0:
        node.broken(f"splits a length of {length} into {sizes}")
    parts, at = [], 0
    for size in sizes:
        part = node.slice(x, axis, at, at + size)
        parts.append(part if keep else node.reshape(part, shape[:axis] + shape[axis + 1 :]))
        at += size
    return listed(node, parts)


def sequence_map(node: Node) -> list[Item]:
    """The body for every item of the first sequence; other operands are sequences of that length or tensors."""
    body = node.graph("body")
    first = tensors(node)
    rows = []
    for i in range(len(first)):
        node.walk.count_node()
        operands: list[Item] = []
        for item in node.inputs:
            if isinstance(item, TensorList) and i >= len(item.items):
                node.broken("maps over sequences of different lengths")
            operands.append(item.items[i] if isinstance(item, TensorList) else item)
        rows.append(run_body(node, body, operands))
    results: list[Item] = []
    for k in range(len(body.output)):
        column = [row[k] for row in rows]
        missing = [item for item in column if isinstance(item, Missing)]
        values = [item for item in column if isinstance(item, Value)]
        results.append(missing[0] if missing else TensorList(tuple(values)))
    return results


def optional(node: Node) -> list[Item]:
    item = node.item(0)
    return [Maybe(item) if item is None or isinstance(item, Value | TensorList) else item]


def optional_has(node: Node) -> list[Item]:
    item = node.item(0)
    present = item.item is not None if isinstance(item, Maybe) else item is not None
    return [node.constant(np.asarray(present))]


def optional_get(node: Node) -> list[Item]:
    item = node.item(0)
    found = item.item if isinstance(item, Maybe) else item
    if found is None:
        node.broken("reads an optional that is absent")
    return [found]


SEQUENCE: Table = {
    "ConcatFromSequence": concat_from_sequence,
    "Optional": optional,
    "OptionalGetElement": optional_get,
    "OptionalHasElement": optional_has,
    "SequenceAt": sequence_at,
    "SequenceConstruct": lambda node: listed(node, node.values()),
    "SequenceEmpty": lambda node: listed(node, []),
    "SequenceErase": sequence_erase,
    "SequenceInsert": sequence_insert,
    "SequenceLength": sequence_length,
    "SequenceMap": sequence_map,
    "SplitToSequence": split_to_sequence,
}
