"""GatherBlockQuantized: rows of a table whose numbers are quantised in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.types import NARROW, NARROW_FLOATS
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.ops.index import indices
from edgec.onnx_import.ops.narrow import check_scales, decoded, unpacked
from edgec.onnx_import.signature import SPELLED

Array = np.ndarray[Any, Any]
FLOATS = frozenset(SPELLED[dtype] for dtype in NARROW_FLOATS)


def gather_block_quantized(node: Node) -> list[Item]:
    """y = (data - zero) * scale at the indices, a scale for each `block_size` along quantize_axis. uint8 is numbers of
    `bits` packed along the last axis, lowest bits first. onnxruntime, com.microsoft.GatherBlockQuantized."""
    dtype = node.value(0).type.dtype
    packed, element = dtype not in NARROW, SPELLED[dtype]
    bits = node.integer("bits", 4) if packed else 8
    stored = _numbers(node, 0, bits)
    rank, block = stored.ndim, node.integer("block_size", 128)
    along, across = node.axis(node.integer("gather_axis", 0), rank), node.axis(node.integer("quantize_axis", 1), rank)
    if bits not in (2, 4, 8) or (packed and along != 0):
        node.refuse(f"has uint8 of {bits} bits along axis {along}; 2, 4 and 8 bits and axis 0 are supported")
    whole = element in FLOATS and block == 0
    if not whole and (block < 16 or block & (block - 1)):
        node.broken(f"has block_size={block}; legal are powers of 2 from 16" + " and 0" * (element in FLOATS))
    block = max(1, stored.shape[across]) if whole else block
    if not node.is_float(node.value(2)):
        node.broken(f"has scales of {node.value(2).type.dtype}; legal are floats")
    node.room(stored.size)
    blocks = tuple(-(-n // block) if i == across else n for i, n in enumerate(stored.shape))
    scale = node.const(2)
    one = tuple(1 if i != across and element in FLOATS and scale.ndim == rank and scale.shape[i] == 1 else n
                for i, n in enumerate(blocks))  # fmt: skip
    if scale.shape != one:
        node.broken(f"has scales of the shape {list(scale.shape)}; legal is {list(blocks)}")
    check_scales(node, scale)
    zero = np.full(blocks, 1 << bits - 1 if packed else 0, np.uint8)
    if node.has(3):
        zero = _numbers(node, 3, bits)
        zero = zero[..., : blocks[-1]] if packed else zero
    if zero.shape != blocks:
        node.broken(f"has zero points of the shape {list(zero.shape)}; legal is {list(blocks)}")
    dtype = node.value(2).type.dtype
    node.walk.graph.module.narrow[f"uint{bits}" if packed else element] += stored.size
    real = decoded(stored, np.broadcast_to(scale, blocks), zero, across, block)
    y = node.op("gather", node.constant(real), indices(node, 1), axis=along)
    return [node.cast(y, dtype)]


def _numbers(node: Node, i: int, bits: int) -> Array:
    """Operand i in a type that holds its numbers; what is packed in bytes along the last axis, unpacked."""
    array = node.const(i)
    if node.value(i).type.dtype in NARROW:
        return array
    if array.dtype != np.uint8 or not array.ndim:
        node.refuse(f"has {array.dtype}{list(array.shape)} as operand {i}; uint8, 4-bit integers and 8-bit floats are "
                    "supported")  # fmt: skip
    if bits not in (2, 4):
        return array
    flat = array.reshape(-1, array.shape[-1])
    return unpacked(flat, bits, array.shape[-1] * 8 // bits).reshape(*array.shape[:-1], -1)


GATHER_QUANTIZED: Table = {"com.microsoft.GatherBlockQuantized": gather_block_quantized}
