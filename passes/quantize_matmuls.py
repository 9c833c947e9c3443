"""Matmuls by constant weights work on bytes whose scales are found at run time, a row at a time.

%1 = matmul %0, #w, #b {act="relu"}   ->   %1, %s, %z = quantize_rows %0
                                           %2 = qmatmul %1, #w'
                                           %3 = dequantize_rows %2, %s, %z, #scales, #sums, #b
                                           %4 = relu %3

So does what the input adds to the gates of an LSTM, GRU or RNN, which is a matmul over all steps, and what the state
adds, but for the operators of `states_in_floats`.

%1, … = lstm %0, #w, #r, …            ->   %3 = dequantize_rows … of %0 and all directions of #w
                                           %4, … = qlstm %3, -, #r', …, #scales

Weights are int8 with a scale a result channel, the nearest ones where `rounded` has no others. `byte` is how the target
stores bytes. Operators that are not `chosen` stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops.recurrent import GATES, MOST_UNITS, SCALES
from edgec.passes.product_forms import activated
from edgec.passes.requant import NotInIntegers

Array = np.ndarray[Any, Any]
LONGEST = 1 << 15  # products in a sum: they fit 32 bits with any zero point


@dataclass(frozen=True)
class Rounded:
    """Weights [n, k] as int8, a scale for each row of them, and what to add to the bias [n] for their sake."""

    numbers: Array
    scale: Array
    bias: Array


def quantize_matmuls(
    graph: Graph, byte: str = "i8", states_in_floats: Collection[Op] = (), chosen: Collection[Op] | None = None,
    rounded: Mapping[str, Rounded] | None = None,
) -> bool:  # fmt: skip
    """`rounded`: by the name of the constant."""
    taken = set(operators_on_rows(graph) if chosen is None else chosen)
    rows = _Rows(byte, rounded or {})
    renamed: dict[Value, Value] = {}
    changed = False
    old, graph.ops = graph.ops, []
    for op in old:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        b, at = Builder(graph, source=op.source), len(graph.ops)
        if op in taken and op.kind == "matmul":
            try:
                renamed[op.result] = _matmul(op, b, rows)
                continue
            except NotInIntegers:  # an activation that has no operator of its own
                del graph.ops[at:]
                rows.made.pop(op.arg(0), None)
        elif op in taken:
            if by_constants(op):
                op.inputs[:2] = [_products(b, op, None, rows), None]
                changed = True
            if state_by_constants(op) and op not in states_in_floats:
                renamed |= zip(op.results, _with_bytes(op, b), strict=True)
                continue
        graph.ops.append(op)
    graph.replace_leaving(renamed)
    return changed or bool(renamed)


def operators_on_rows(graph: Graph) -> list[Op]:
    """Those that have such a form."""
    return [
        op for op in graph.ops if op.kind in ("matmul", *GATES) and (by_constants(op) or state_by_constants(op))
    ]


def by_constants(op: Op) -> bool:
    """Whether rows of its first operand, in floats, meet a constant matrix."""
    w = op.inputs[1]
    if w is None or w.const is None or op.arg(0).const is not None or w.type.encodings:
        return False
    x = op.arg(0).type
    one = op.kind in GATES or (math.prod(w.type.dims[:-2]) == 1 and x.rank == op.result.type.rank)
    return one and x.is_static and x.dtype == "f32" and 0 < x.dims[-1] <= LONGEST and op.results[0].type.size > 0


def state_by_constants(op: Op) -> bool:
    """A recurrent operator whose products with the state may be those of bytes."""
    if op.kind not in GATES or op.arg(0).type.dtype != "f32":
        return False
    r = op.arg(2)
    return r.const is not None and r.type.dtype == "f32" and not r.type.encodings and 0 < r.type.dims[-1] <= MOST_UNITS


def _with_bytes(op: Op, b: Builder) -> list[Value]:
    """The operator with states of bytes."""
    kind = f"q{op.kind}"
    stored, scale = _bytes_of(b.graph.array(op.arg(2)))  # [directions, gates of units, units]
    operands = [*op.inputs, *[None] * (SCALES[kind] - len(op.inputs)), b.const(scale)]
    operands[2] = b.const(stored)
    return b.ops(kind, *operands, **op.attrs)


def weights_by_rows(graph: Graph, op: Op) -> Array:
    """[n, k] of a matmul, or of what the input adds to all gates of all directions."""
    w = graph.array(op.arg(1))
    if op.kind != "matmul":
        return w.reshape(-1, w.shape[-1])
    matrix = w.reshape(w.shape[-2:])
    return matrix if op.attrs["trans_b"] else matrix.T


@dataclass
class _Rows:
    """`made`: of a value, the results of its `quantize_rows`."""

    byte: str
    rounded: Mapping[str, Rounded]
    made: dict[Value, list[Value]] = field(default_factory=dict)


def _matmul(op: Op, b: Builder, rows: _Rows) -> Value:
    bias, channels = op.inputs[2] if len(op.inputs) > 2 else None, op.result.type.dims[-1]
    vector = None
    if bias is not None and bias.const is not None and bias.type.size in (1, channels):
        vector = np.broadcast_to(b.graph.array(bias).reshape(-1), (channels,)).astype(np.float32)
    y = _products(b, op, vector, rows)
    if bias is not None and vector is None:
        y = b.op("add", y, bias)
    return activated(b, y, str(op.attrs["act"]))


def _products(b: Builder, op: Op, bias: Array | None, rows: _Rows) -> Value:
    """Of rows of the first operand by constant weights."""
    x, w = op.arg(0), op.arg(1)
    if x not in rows.made:
        rows.made[x] = b.ops("quantize_rows", x, to=rows.byte)
    narrow, row_scale, zero = rows.made[x]
    found = rows.rounded.get(w.const or "")
    stored, scale = _bytes_of(weights_by_rows(b.graph, op)) if found is None else (found.numbers, found.scale)
    if found is not None:
        bias = found.bias if bias is None else bias + found.bias
    sums = b.op("qmatmul", narrow, b.const(stored), to=rows.byte, **_whole(rows.byte))
    operands = [scale, stored.sum(axis=1, dtype=np.int32), *([bias] if bias is not None else [])]
    return b.op("dequantize_rows", sums, row_scale, zero, *(b.const(v) for v in operands))


def scales_of(w: Array) -> Array:
    """One for each row of weights [..., k]."""
    scale = np.abs(w.astype(np.float64)).max(axis=-1) / 127
    return np.where(scale > 0, scale, 1.0).astype(np.float32)


def _bytes_of(w: Array) -> tuple[Array, Array]:
    """Weights [..., k] as int8, and a scale for each row of them."""
    weights, scale = w.astype(np.float64), scales_of(w)
    return np.clip(np.rint(weights / scale[..., None]), -127, 127).astype(np.int8), scale


def _whole(byte: str) -> dict[str, int]:
    return {"lo": 0, "hi": 255} if byte == "u8" else {"lo": -128, "hi": 127}
