"""Constants of 8-bit floats and of 4 and 2 bits: their real numbers, and MatMulNBits, which multiplies by them."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table
from edgec.onnx_import.ops.halves_of_codes import halves_of_codes
from edgec.onnx_import.ops.matmul import product
from edgec.onnx_import.signature import SPELLED

Array = np.ndarray[Any, Any]


def decoded(stored: Array, scale: Array, zero: Array | None, axis: int, block: int) -> Array:
    """scale * (stored - zero) as float32, each scale for `block` elements of `axis`; scales that are one number or lie
    along the axis alone have the block 0."""
    along = [-1 if i == axis else 1 for i in range(stored.ndim)]

    steps = stored.astype(np.float32)
    if block and stored.shape[axis] % block == 0:
        blocks = steps.reshape(*stored.shape[:axis], -1, block, *stored.shape[axis + 1 :])
        if zero is not None:
            blocks -= np.expand_dims(zero.astype(np.float32), axis + 1)
        blocks *= np.expand_dims(scale.astype(np.float32), axis + 1)
        return steps

    def spread(numbers: Array) -> Array:
        if block:
            wide = np.repeat(numbers, block, axis=axis)
            return wide[tuple(slice(n) for n in stored.shape)]
        return numbers.reshape(along if numbers.size > 1 else ())

    if zero is not None:
        steps -= spread(zero.astype(np.float32))
    steps *= spread(scale.astype(np.float32))
    return steps


def check_scales(node: Node, scales: Array) -> None:
    """Negative ones are legal: onnxruntime's tools write them for int4."""
    if not np.all(np.isfinite(scales.astype(np.float64))):
        node.broken("has a scale that is no finite number; legal are finite numbers")


def dequantize_narrow(node: Node, x: Value, by: Value, shift: Value | None, to: str) -> list[Item]:
    """DequantizeLinear of a constant by a constant scale and zero point."""
    graph, dtype = node.walk.graph, x.type.dtype
    if shift is not None and shift.type.dtype != dtype:
        node.broken(f"has a zero point of another type than {SPELLED[dtype]}; legal is the tensor's own type")
    stored, scale, zero = graph.array(x), graph.array(by), None if shift is None else graph.array(shift)
    check_scales(node, scale)
    if zero is not None and zero.shape != scale.shape:
        node.broken(f"has zero points of the shape {list(zero.shape)} beside a scale of {list(scale.shape)}; "
                    "legal are equal shapes")  # fmt: skip
    node.room(stored.size)
    graph.module.narrow[SPELLED[dtype]] += stored.size
    axis, block = _placed(node, stored.shape, scale)
    coded = halves_of_codes(node, x, scale, zero, axis, block, to)
    return [coded or node.constant(decoded(stored, scale, zero, axis, block), to)]


def _placed(node: Node, shape: tuple[int, ...], scale: Array) -> tuple[int, int]:
    """Axis and block of a scale for a shape; ModelError where it does not fit."""
    if scale.size == 1:
        return 0, 0
    axis, block = node.axis(node.integer("axis", 1), len(shape)), node.integer("block_size", 0)
    legal: tuple[int, ...] = (shape[axis],)
    if block > 0:
        legal = tuple(-(-n // block) if i == axis else n for i, n in enumerate(shape))
    if scale.shape != legal:
        node.broken(f"has a scale of the shape {list(scale.shape)} for the shape {list(shape)}; legal is {list(legal)}")
    return axis, block


def matmul_nbits(node: Node) -> list[Item]:
    """y = a w', w [n, k] in blocks of `block_size` along k: b [n, blocks, bytes], scales [n, blocks], lowest bits
    first. onnxruntime, com.microsoft.MatMulNBits."""
    a, bits = node.value(0), node.integer("bits", 4)
    n, k, block = node.integer("N", 0), node.integer("K", 0), node.integer("block_size", 0)
    if bits not in (2, 4, 8):
        node.refuse(f"has weights of {bits} bits; 2, 4 and 8 are supported")
    if n < 1 or k < 1 or block < 16 or block & (block - 1):
        node.broken(f"has N={n}, K={k} and block_size={block}; legal are positive N and K, and powers of 2 from 16")
    if node.shape(a)[-1:] != (k,):
        node.broken(f"multiplies {list(node.shape(a))} by weights of K={k}; legal is a last axis of {k}")
    blocks = -(-k // block)
    node.room(n * blocks * block, 2)
    packed, scales = node.const(1), node.const(2)
    if packed.dtype != np.uint8 or packed.shape != (n, blocks, block * bits // 8):
        node.broken(f"has weights {packed.dtype}{list(packed.shape)}; legal is uint8[{n}, {blocks}, "
                    f"{block * bits // 8}]")  # fmt: skip
    if scales.shape not in ((n, blocks), (n * blocks,)):
        node.broken(f"has scales of the shape {list(scales.shape)}; legal are [{n}, {blocks}] and [{n * blocks}]")
    check_scales(node, scales)
    stored = unpacked(packed.reshape(n, -1), bits, blocks * block)
    zero, whose = _zero_points(node, n, blocks, bits), _blocks_of_rows(node, k, block)
    real = stored[:, :k].astype(np.float32)
    real -= zero[:, whose]
    real *= scales.reshape(n, blocks).astype(np.float32)[:, whose]
    node.walk.graph.module.narrow[f"uint{bits}"] += n * k
    # weights are not rounded to halves, nor are sums before the bias is added; they are not in onnxruntime
    y = product(node, node.cast(a, "f32"), node.constant(np.ascontiguousarray(real.T), "f32"))
    if node.has(5):
        y = node.op("add", y, node.cast(node.value(5), "f32"))
    return [node.cast(y, a.type.dtype)]


def _blocks_of_rows(node: Node, k: int, block: int) -> Array:
    """Which block's scale and zero point each of k rows has: in their order, or as g_idx says."""
    if not node.has(4):
        return np.arange(k) // block
    # onnxruntime 1.32 reads others as what they are not: the same weights with and without g_idx differ
    if node.integer("bits", 4) != 4 or (node.has(3) and node.const(3).dtype == np.uint8):
        node.refuse("has a g_idx; beside one, weights of 4 bits without packed zero points are supported")
    given, most = node.const(4), (k - 1) // block
    if given.shape != (k,) or given.dtype != np.int32 or given.min() < 0 or given.max() > most:
        node.broken(f"has g_idx {given.dtype}{list(given.shape)}; legal are int32[{k}] from 0 to {most}")
    return np.asarray(given)


def _zero_points(node: Node, n: int, blocks: int, bits: int) -> Array:
    """Zero points [n, blocks] in float32: packed like the weights, each row in bytes of its own, or floats; the middle
    if none."""
    if not node.has(3):
        return np.full((n, blocks), 1 << (bits - 1), np.float32)
    zero = node.const(3)
    row = -(-blocks * bits // 8)
    if zero.dtype == np.uint8 and zero.shape in ((n, row), (n * row,)):
        return unpacked(zero.reshape(n, row), bits, blocks).astype(np.float32)
    known = zero.dtype != np.uint8 and zero.shape in ((n, blocks), (n * blocks,))
    if not known or not np.all(np.isfinite(zero.astype(np.float64))):
        node.broken(f"has zero points {zero.dtype}{list(zero.shape)}; legal are uint8[{n}, {row}] and finite floats "
                    f"[{n}, {blocks}]")  # fmt: skip
    return zero.reshape(n, blocks).astype(np.float32)


def unpacked(packed: Array, bits: int, count: int) -> Array:
    """The numbers in each row of bytes, lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    split = (packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return np.asarray(split.reshape(len(packed), -1)[:, :count])


NARROW: Table = {"com.microsoft.MatMulNBits": matmul_nbits}
