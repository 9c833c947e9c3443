"""Moves a dequantize above what only moves bytes, or takes their largest, so that it meets the quantize there.

%1 = quantize %0, #s, #z                        %1 = quantize %0, #s, #z
%2 = max_pool %1 {kernel=(2, 2), …}        ->   %2 = dequantize %1, #s, #z
%3 = dequantize %2, #s, #z                      %3 = max_pool %2 {kernel=(2, 2), …}
"""

from __future__ import annotations

from typing import Any

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.sweep import sweep

KINDS = ("concat", "max_pool", "pad", "reshape", "slice", "transpose")


def raise_dequantize(graph: Graph) -> bool:
    return sweep(graph, lambda b, op: _raised(graph, b, op))


def _raised(graph: Graph, b: Builder, op: Op) -> Value | None:
    """The move of what is dequantised, for one scale a tensor."""
    if op.kind != "dequantize" or op.attrs["axis"] != -1 or any(v.const is None for v in (op.arg(1), op.arg(2))):
        return None
    return _above(graph, b, op, op.arg(0))


def _above(graph: Graph, b: Builder, op: Op, x: Value) -> Value | None:
    """The dequantised x, where it is made by a move."""
    move = x.op
    if move is None or move.kind not in KINDS:
        return None
    attrs: dict[str, Any] = dict(move.attrs)
    if move.kind == "pad" and attrs["mode"] == "constant":
        attrs["value"] = (attrs["value"] - int(graph.array(op.arg(2)))) * float(graph.array(op.arg(1)))
    operands = []
    for v in move.inputs:
        assert v is not None
        operands.append(_above(graph, b, op, v) or b.op("dequantize", v, op.arg(1), op.arg(2)))
    return b.op(move.kind, *operands, **attrs)
