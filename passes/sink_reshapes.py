"""Moves reshapes below element-wise ops, so that these meet the convolution or matmul before the reshape.

%1 = reshape %0 {shape=(1, 64, 49)}       %1 = relu %0
%2 = relu %1                        ->    %2 = reshape %1 {shape=(1, 64, 49)}
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops import OPS
from edgec.passes.sink_transposes import BYTES
from edgec.passes.sweep import sweep


def sink_reshapes(graph: Graph) -> bool:
    return sweep(graph, _sunk)


def _under(value: Value | None) -> Value | None:
    """What a reshaped value is a reshape of."""
    return value.op.arg(0) if value is not None and value.op is not None and value.op.kind == "reshape" else None


def _sunk(b: Builder, op: Op) -> Value | None:
    if op.kind == "reshape":
        source = _under(op.arg(0))
        return None if source is None else b.op("reshape", source, shape=op.result.type.dims)
    if op.kind in ("quantize", "dequantize") and op.attrs["axis"] == -1 and (under := _under(op.arg(0))) is not None:
        return b.op("reshape", b.op(op.kind, under, *op.inputs[1:], **op.attrs), shape=op.result.type.dims)
    if OPS[op.kind].family != "elementwise" and op.kind not in BYTES:
        return None
    source = next((s for v in op.inputs if (s := _under(v)) is not None), None)
    if source is None or source.type.size != op.result.type.size:
        return None
    operands = [_before(b, v, source, op.result) for v in op.inputs]
    if any(v is None for v in operands):
        return None
    return b.op("reshape", b.op(op.kind, *operands, **op.attrs), shape=op.result.type.dims)


def _before(b: Builder, value: Value | None, source: Value, result: Value) -> Value | None:
    """The operand as it meets `source`: under its own reshape, a scalar, or a constant in the source's shape."""
    if value is None:
        return None
    under = _under(value)
    if under is not None:
        return under if under.type.dims == source.type.dims and value.type.dims == result.type.dims else None
    if value.type.rank == 0:
        return value
    if value.const is None:
        return None
    if value.type.size == 1 and value.type.rank <= result.type.rank:
        return b.op("reshape", value, shape=())
    last = value.type.dims[-1]
    if value.type.size == last and source.type.dims[-1:] == result.type.dims[-1:] == (last,):
        return b.op("reshape", value, shape=(last,))
    return b.op("reshape", value, shape=source.type.dims) if value.type.dims == result.type.dims else None
