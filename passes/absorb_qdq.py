"""Pairs of quantize and dequantize become encodings of the values between them, so that operators work on bytes.

%1 = conv %0, #w                               %1: f32[…] quant<u8, scale=#s, zero=#z> = conv %0, #w
%2: u8[…] = quantize %1, #s, #z           ->   %4 = max_pool %1
%3 = dequantize %2, #s, #z
%4 = max_pool %3

A value that nothing else reads takes the encoding itself; one that is read as it is, too, gets an `encode` behind it.
Bytes that come into the model or leave it keep their dequantize or quantize, which then only names them. What moves
elements, and ReLU or a clip between numbers of the grid, has its operand's encoding where nothing says another, and
hands that of its result up to its operand: rounding and then moving gives the same bits as moving and then rounding.
"""

from __future__ import annotations

import math

import numpy as np

from edgec.ir.encodings import nearest_steps
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import Encoding, Quant, Type
from edgec.passes.raise_dequantize import KINDS

MOVES = (*KINDS, "resize")
BYTES = ("i8", "u8")


def absorb_qdq(graph: Graph) -> bool:
    changed = _named(graph)
    while _taken_by_producers(graph) | _handed_on(graph) | _handed_up(graph):
        changed = True
    return _decoded_where_leaving(graph) or changed


def encoding_of(op: Op) -> Quant | None:
    """What a quantize or dequantize of bytes says, for one scale a tensor."""
    scale, zero = op.arg(1), op.arg(2)
    if op.attrs["axis"] != -1 or scale.const is None or zero.const is None or zero.type.dtype not in BYTES:
        return None
    return Quant(zero.type.dtype, scale.const, zero.const)


def _named(graph: Graph) -> bool:
    """An encode in front of each quantize; what a dequantize makes has its encoding."""
    changed = False
    old, graph.ops = graph.ops, []
    renamed: dict[Value, Value] = {}
    encoded: dict[tuple[Value, Encoding], Value] = {}
    for op in old:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        graph.ops.append(op)
        encoding = encoding_of(op) if op.kind in ("quantize", "dequantize") else None
        x = op.arg(0) if encoding is not None else None
        if encoding is None or x is None:
            continue
        if op.kind == "quantize" and x.type.encodings != (encoding,):
            if (x, encoding) not in encoded:
                encoded[x, encoding] = _encode(graph, len(graph.ops) - 1, x, encoding)
            op.inputs[0] = encoded[x, encoding]
            changed = True
        if op.kind == "dequantize" and not op.result.type.encodings:
            source = x.op
            if source is not None and source.kind == "quantize" and source.arg(0).type.encodings == (encoding,):
                renamed[op.result] = source.arg(0)
            op.result.type = Type("f32", op.result.type.shape, (encoding,))
            changed = True
    graph.replace_leaving(renamed)
    _drop_unread(graph)
    return changed


def _encode(graph: Graph, at: int, x: Value, encoding: Encoding | None) -> Value:
    op = Op("encode", [x], {}, x.op.source if x.op is not None else "")
    (made,) = graph.insert(at, op, [Type("f32", x.type.shape, (encoding,) if encoding is not None else ())])
    return made


def _drop_unread(graph: Graph) -> None:
    """Quantize, dequantize and encode that nothing reads any more."""
    live = graph.output_values()
    kept = []
    for op in reversed(graph.ops):
        if op.kind not in ("quantize", "dequantize", "encode") or op.result in live:
            kept.append(op)
            live.update(v for v in op.inputs if v is not None)
    graph.ops = kept[::-1]


def _taken_by_producers(graph: Graph) -> bool:
    """A value whose only reader is an encode has its encoding."""
    users, leaving = graph.users(), graph.output_values()
    renamed: dict[Value, Value] = {}
    for op in graph.ops:
        x = op.arg(0) if op.kind == "encode" else None
        if x is not None and op.result.type.encodings and _may_take(x, users, leaving):
            x.type = op.result.type
            renamed[op.result] = x
    if not renamed:
        return False
    graph.ops = [op for op in graph.ops if not any(r in renamed for r in op.results)]
    for op in graph.ops:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
    graph.replace_leaving(renamed)
    return True


def _may_take(x: Value, users: dict[Value, list[Op]], leaving: set[Value]) -> bool:
    """Whether a plain value that one operator reads may be stored in another way."""
    made = x.op is not None and len(x.op.results) == 1 and x.op.kind != "encode"
    return made and not x.type.encodings and x.type.dtype == "f32" and len(users[x]) == 1 and x not in leaving


def _moves(graph: Graph, op: Op, encoding: Encoding) -> bool:
    """Gives numbers that its operands have, or others that bytes of the encoding stand for."""
    if len(op.results) != 1 or op.result.type.dtype != "f32" or any(v is None for v in op.inputs):
        return False
    if op.kind == "pad":
        return op.attrs["mode"] != "constant" or op.attrs["value"] == 0.0
    if op.kind == "clip":
        return all(_stands_for(graph, encoding, float(op.attrs[end])) for end in ("lo", "hi"))  # type: ignore[arg-type]
    return (op.kind in MOVES and (op.kind != "resize" or op.attrs["mode"] == "nearest")) or op.kind == "relu"


def _stands_for(graph: Graph, encoding: Encoding, bound: float) -> bool:
    """Whether a byte does, or the bound is none."""
    if math.isinf(bound):
        return True
    assert isinstance(encoding, Quant)
    scale, zero = (graph.module.constants[key] for key in encoding.constants)
    byte = nearest_steps(np.array(bound, np.float32), scale, zero)
    return bool(np.isclose((float(byte) - float(zero)) * float(scale), bound, rtol=1e-6, atol=0.0))


def _handed_on(graph: Graph) -> bool:
    """A move of values that are encoded alike makes one that is so, too."""
    changed = False
    for op in graph.ops:
        if not op.inputs or len(op.results) != 1 or op.result.type.encodings:
            continue
        first, *others = {v.type.encodings for v in op.inputs if v is not None}
        varies = all(v is not None and v.const is None for v in op.inputs)
        if first and not others and varies and _moves(graph, op, first[0]):
            op.result.type = Type("f32", op.result.type.shape, first)
            changed = True
    return changed


def _handed_up(graph: Graph) -> bool:
    """A move that makes an encoded value takes encoded ones."""
    changed = False
    users, leaving = graph.users(), graph.output_values()
    encoded: dict[tuple[Value, Encoding], Value] = {}
    for op in list(graph.ops):
        if len(op.results) != 1 or not op.result.type.encodings:
            continue
        (encoding,) = op.result.type.encodings
        if not _moves(graph, op, encoding):
            continue
        for i, x in enumerate(op.inputs):
            assert x is not None
            if x.type.encodings:
                continue
            if _may_take(x, users, leaving):
                x.type = Type("f32", x.type.shape, (encoding,))
            else:
                if (x, encoding) not in encoded:
                    encoded[x, encoding] = _encode(graph, graph.ops.index(op), x, encoding)
                op.inputs[i] = encoded[x, encoding]
            changed = True
    return changed


def _decoded_where_leaving(graph: Graph) -> bool:
    plain = {v: _encode(graph, len(graph.ops), v, None) for v in graph.output_values() if v.type.encodings}
    graph.replace_leaving(plain)
    return bool(plain)
