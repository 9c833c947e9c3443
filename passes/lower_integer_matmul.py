"""Integer products of bytes less a zero point, known at run time, by constant weights use the matmul of bytes.

%3: i32 = cast %0 {to="i32"}                    %5: i32 = qmatmul %0, #w'
%4 = sub %3, %z                            ->   %6 = mul %z, sums of #w over each column
%5 = matmul %4, #w                              %7 = sub %5, %6

So are convolutions. Where they pad, the sums of weights differ from pixel to pixel, and are a constant image, if that
is small; otherwise the bytes are padded with their zero point first. Weights of u8 less a zero point may go beyond a
byte, and then are a sum of two or three terms that do not, with a product each. `byte` is how the target stores bytes;
those of the other kind move by 128, and their zero point with them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops import OPS
from edgec.ir.ops.integer import terms_of_bytes
from edgec.passes.lower_requant import turned
from edgec.passes.sweep import sweep

Array = np.ndarray[Any, Any]
LARGEST = 255  # of a weight: a byte less another
MOST = 1 << 18  # sums of weights of a convolution that pads
MOVES = ("reshape", "transpose")
BYTES = ("i8", "u8")


def lower_integer_matmul(graph: Graph, byte: str = "i8") -> bool:
    return sweep(graph, lambda b, op: _lowered(graph, b, op, byte))


def _lowered(graph: Graph, b: Builder, op: Op, byte: str) -> Value | None:
    if op.kind not in ("conv", "matmul") or op.result.type.dtype != "i32" or op.arg(1).const is None:
        return None
    moves, under = _peeled(op.arg(0))
    source = _bytes_and_zero(under)
    w = _weights(graph, op)
    if source is None or w is None or any(v is not None for v in op.inputs[2:]) or op.attrs["act"]:
        return None
    x, zero = source
    largest = max(int(w.max(initial=0)), -int(w.min(initial=0)))
    if largest > LARGEST or w[0].size * 255 * max(largest, 127) > np.iinfo(np.int32).max:
        return None
    moved = {("u8", "i8"): 128, ("i8", "u8"): -128}.get((x.type.dtype, byte), 0)
    attrs: Any = dict(op.attrs)
    own = zero.op.arg(0) if zero is not None and zero.op is not None and zero.op.kind == "cast" else None
    wide = op.kind == "conv" and any(attrs["pads"]) and math.prod(op.result.type.dims[1:]) > MOST
    if wide and (own is None or own.type.dtype != x.type.dtype):
        return None
    made = turned(b, x, byte)
    for move in moves:
        made = b.op(move.kind, made, **move.attrs)
    if wide and own is not None:
        made = _padded(b, made, turned(b, own, byte), attrs["pads"])
        attrs["pads"] = (0, 0, 0, 0)
    columns = _sums(op, w, attrs)
    y = _products(b, op.kind, made, w, attrs)
    if zero is None:
        return b.op("add", y, b.const(moved * columns)) if moved else y
    less = b.op("sub", zero, b.const(moved, "i32")) if moved else zero
    return b.op("sub", y, b.op("mul", less, b.const(columns)))


def _products(b: Builder, kind: str, x: Value, w: Array, attrs: Any) -> Value:
    """Of bytes by weights, a term of these at a time."""
    names = ("strides", "pads", "dilations", "groups", "layout") if kind == "conv" else ()
    total: Value | None = None
    for term in terms_of_bytes(w):
        y = b.op(f"q{kind}", x, b.const(term.astype(np.int8)), **{n: attrs[n] for n in names})
        total = y if total is None else b.op("add", total, y)
    assert total is not None
    return total


def _peeled(value: Value) -> tuple[list[Op], Value]:
    """What only moves elements, in order, and what it moves."""
    moves: list[Op] = []
    while value.op is not None and value.op.kind in MOVES:
        moves.insert(0, value.op)
        value = value.op.arg(0)
    return moves, value


def _bytes_and_zero(value: Value) -> tuple[Value, Value | None] | None:
    """Bytes and an i32 number that the value is the difference of, both in 32 bits."""
    op, zero = value.op, None
    if op is not None and op.kind == "sub" and op.arg(1).type.size == 1 and op.arg(1).type.rank == 0:
        zero, op = op.arg(1), op.arg(0).op
    if op is None or op.kind != "cast" or op.arg(0).type.dtype not in BYTES:
        return None
    return op.arg(0), zero


def _weights(graph: Graph, op: Op) -> Array | None:
    """The weights, result channels first, where sums over bytes of them are all that the operator is."""
    w, x = graph.array(op.arg(1)), op.arg(0).type
    if op.kind == "conv":
        return w if x.rank == 4 and op.attrs["layout"] == "nhwc" else None
    if math.prod(w.shape[:-2]) != 1 or x.rank != op.result.type.rank or x.rank < 2:
        return None
    matrix = w.reshape(w.shape[-2:])
    return matrix if op.attrs["trans_b"] else np.ascontiguousarray(matrix.T)


def _padded(b: Builder, x: Value, zero: Value, pads: tuple[int, ...]) -> Value:
    """Bytes of images [n][h][w][c] with zero points, known at run time, around them."""
    top, left, bottom, right = pads
    _, h, w, _ = x.type.dims
    inside = np.zeros((1, top + h + bottom, left + w + right, 1), np.bool_)
    inside[:, top : top + h, left : left + w] = True
    wide = b.op("pad", x, before=(0, top, left, 0), after=(0, bottom, right, 0), mode="constant", value=0.0)
    return b.op("where", b.const(inside), wide, zero)


def _sums(op: Op, w: Array, attrs: Any) -> Array:
    """The sum of the weights that meet the operand, for each result channel, or for each pixel of an image too."""
    if op.kind == "matmul" or not any(attrs["pads"]):
        return np.asarray(w.reshape(len(w), -1).sum(axis=1, dtype=np.int64).astype(np.int32))
    ones = np.ones((1, *op.arg(0).type.dims[1:]), np.int32)
    (sums,) = OPS["conv"].evaluate([ones, w.astype(np.int32)], op.attrs)
    return np.asarray(sums)
