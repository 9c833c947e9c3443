"""Attention (opset 23 on) as the core op: heads, cache, and all masks as one."""

from __future__ import annotations

import math

from edgec.ir.graph import Value
from edgec.onnx_import.functions import standard_body
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.tensors import CODES


def heads(node: Node, x: Value, attribute: str) -> Value:
    """[B, N, H D] -> [B, H, N, D]; four dimensions stay."""
    shape = node.shape(x)
    if len(shape) == 4:
        return x
    count = node.integer(attribute, 0)
    if len(shape) != 3 or count < 1 or shape[2] % count:
        node.broken(f"has {attribute}={count} for the shape {list(shape)}")
    return node.transpose(node.reshape(x, (shape[0], shape[1], count, shape[2] // count)), (0, 2, 1, 3))


def by_body(node: Node) -> list[Item]:
    """Forms that the core op does not have: the standard's own decomposition."""
    body = standard_body(node.proto, node.inputs, node.opset)
    if body is None:
        node.refuse("has attributes for which the standard gives no decomposition; the defaults are supported")
    return list(node.walk.run_function(body, node.proto, node.inputs, node.scope))


def attention(node: Node) -> list[Item]:
    unusual = node.number("softcap", 0.0) != 0 or node.wants(3)
    windows = node.integer("left_window_size", -1) >= 0 or node.integer("right_window_size", -1) >= 0
    precision = node.integer("softmax_precision", 0)
    dtype = node.value(0).type.dtype
    if unusual or windows or precision not in (0, CODES["f32"], CODES[dtype]):
        return by_body(node)
    q = heads(node, node.value(0), "q_num_heads")
    k, v = (heads(node, node.value(i), "kv_num_heads") for i in (1, 2))
    offset = 0
    if node.has(4):
        offset = node.shape(node.value(4))[2]
        k, v = (node.concat([node.value(i + 3), x], 2) for i, x in ((1, k), (2, v)))
    batch, count, rows, size = node.shape(q)
    columns = node.shape(k)[2]
    mask, plain_causal = masks(node, batch, rows, columns, offset)
    scale = node.number("scale", 1 / math.sqrt(size) if size else 1.0)
    result = node.op("attention", q, k, v, *([mask] if mask is not None else []), scale=scale, causal=plain_causal)
    if len(node.shape(node.value(0))) == 3:
        merged = node.transpose(result, (0, 2, 1, 3))
        result = node.reshape(merged, (batch, rows, count * node.shape(v)[3]))
    return [result, k, v]


def masks(node: Node, batch: int, rows: int, columns: int, offset: int) -> tuple[Value | None, bool]:
    """The mask for the core op, and whether the plain causal one comes on top."""
    mask = node.optional(3)
    if mask is not None and node.shape(mask)[-1] < columns:
        after = [0] * (len(node.shape(mask)) - 1) + [columns - node.shape(mask)[-1]]
        if mask.type.dtype == "bool":
            mask = node.cast(node.pad(node.cast(mask, "u8"), [0] * len(after), after), "bool")
        else:
            mask = node.pad(mask, [0] * len(after), after, -math.inf)
    legal: Value | None = None
    causal = node.flag("is_causal")
    i, j = node.positions(rows)[:, None], node.positions(columns)[None]
    if node.has(6):
        # an external cache: as many keys are valid as the operand says, per batch entry
        valid = node.reshape(node.cast(node.value(6), "i64"), (batch, 1, 1, 1))
        legal = node.op("lt", node.constant(j), valid)
        if causal:
            last = node.op("add", node.constant(i - rows), valid)
            legal = node.op("and", legal, node.op("le", node.constant(j), last))
            causal = False
    elif causal and offset:
        node.room(rows * columns // 8, what=f"the mask of {node.source}")
        legal, causal = node.constant(j <= i + offset), False
    if legal is None or mask is None:
        return (mask if legal is None else legal), causal
    if mask.type.dtype == "bool":
        return node.op("and", mask, legal), causal
    return node.op("where", legal, mask, node.like(-math.inf, mask)), causal


ATTENTION: Table = {"Attention": attention}
