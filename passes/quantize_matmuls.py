"""Matmuls by constant weights work on bytes whose scales are found at run time, a row at a time.

%1 = matmul %0, #w, #b {act="relu"}   ->   %1, %s, %z = quantize_rows %0
                                           %2 = qmatmul %1, #w'
                                           %3 = dequantize_rows %2, %s, %z, #scales, #sums, #b
                                           %4 = relu %3

Weights are int8 with a scale a result channel. `byte` is how the target stores bytes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.requant import NotInIntegers
from edgec.passes.requant_forms import activated

LONGEST = 1 << 15  # products in a sum: they fit 32 bits with any zero point


def quantize_matmuls(graph: Graph, byte: str = "i8") -> bool:
    made: dict[Value, list[Value]] = {}  # rows that are quantised already
    renamed: dict[Value, Value] = {}
    old, graph.ops = graph.ops, []
    for op in old:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        if not _by_constants(op):
            graph.ops.append(op)
            continue
        b, at = Builder(graph, source=op.source), len(graph.ops)
        try:
            renamed[op.result] = _quantized(op, b, made, byte)
        except NotInIntegers:  # an activation that has no operator of its own
            del graph.ops[at:]
            made.pop(op.arg(0), None)
            graph.ops.append(op)
    graph.replace_leaving(renamed)
    return bool(renamed)


def _by_constants(op: Op) -> bool:
    if op.kind != "matmul" or op.arg(1).const is None or op.arg(0).const is not None or op.arg(1).type.encodings:
        return False
    x, dims = op.arg(0).type, op.arg(1).type.dims
    one = math.prod(dims[:-2]) == 1 and x.rank == op.result.type.rank and x.is_static
    return one and x.dtype == "f32" and 0 < x.dims[-1] <= LONGEST and op.result.type.size > 0


def _quantized(op: Op, b: Builder, made: dict[Value, list[Value]], byte: str) -> Value:
    x, attrs = op.arg(0), op.attrs
    matrix = b.graph.array(op.arg(1)).reshape(op.arg(1).type.dims[-2:])
    weights = (matrix if attrs["trans_b"] else matrix.T).astype(np.float64)  # [n][k]
    scale = np.abs(weights).max(axis=1) / 127
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    stored = np.clip(np.rint(weights / scale[:, None]), -127, 127).astype(np.int8)
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    n = len(stored)
    vector = bias is not None and bias.const is not None and bias.type.size in (1, n)
    if x not in made:
        made[x] = b.ops("quantize_rows", x, to=byte)
    rows, row_scale, zero = made[x]
    sums = b.op("qmatmul", rows, b.const(stored), to=byte, **_whole(byte))
    operands: list[Any] = [b.const(scale), b.const(stored.sum(axis=1, dtype=np.int32))]
    if vector and bias is not None:
        operands.append(b.const(np.broadcast_to(b.graph.array(bias).reshape(-1), (n,)).astype(np.float32)))
    y = b.op("dequantize_rows", sums, row_scale, zero, *operands)
    if bias is not None and not vector:
        y = b.op("add", y, bias)
    return activated(b, y, str(attrs["act"]))


def _whole(byte: str) -> dict[str, int]:
    return {"lo": 0, "hi": 255} if byte == "u8" else {"lo": -128, "hi": 127}
