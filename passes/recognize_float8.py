"""Values that are 8-bit floats between two operators only become bytes, which kernels read: QuantizeLinear and
DequantizeLinear of float8, and what moves numbers between the two.

%1 = div %0, 0.3                     %1 = to_float8 %0 {format="e4m3", scale=0.3}
%2 = cast %1 {to="f8e4m3fn"}    ->   %2 = from_float8 %1 {format="e4m3", scale=0.3}
%3 = cast %2 {to="f32"}
%4 = mul %3, 0.3

A NaN becomes 0 there, as it does in integers; a value that leaves, or that anything else reads, stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops.float8 import MOST
from edgec.passes.sweep import sweep

FORMATS = {"f8e4m3fn": "e4m3", "f8e5m2": "e5m2"}
MOVES = ("broadcast_to", "reshape", "slice", "transpose")  # of one operand
Form = Callable[[Builder, Op], Value]


def recognize_float8(graph: Graph) -> bool:
    forms = _forms(graph)

    def made(b: Builder, op: Op) -> Value | None:
        return forms[op](b, op) if op in forms else None

    return bool(forms) and sweep(graph, made)


def has_float8(graph: Graph) -> bool:
    """Whether there are such values."""
    return bool(_forms(graph)) or any(op.kind == "to_float8" for op in graph.ops)


def _forms(graph: Graph) -> dict[Op, Form]:
    """What each operator of such values becomes."""
    users, leaving = graph.users(), graph.output_values()
    found: dict[Op, Form] = {}
    for op in graph.ops:
        if op.kind != "cast" or op.result.type.dtype not in FORMATS or op.arg(0).type.dtype != "f32":
            continue
        region = _region(op.result, users, leaving) if op.attrs["saturate"] else None
        if region is None:
            continue
        format = FORMATS[op.result.type.dtype]
        found[op] = _source(graph, op, format)
        for reader in region:
            found[reader] = _moved if reader.kind in MOVES else _read(format, 1.0)
            scaled = users.get(reader.result, [])
            scales = {_scale(graph, u, reader.result) for u in scaled}
            if reader.kind == "cast" and reader.result not in leaving and len(scales) == 1 and None not in scales:
                found[reader] = _read(format, scales.pop() or 1.0)
                found.update((u, _left(u.inputs.index(reader.result))) for u in scaled)
    return found


def _region(value: Value, users: dict[Value, list[Op]], leaving: set[Value]) -> list[Op] | None:
    """What moves the value and what makes floats of it; None where it is more than that."""
    found, stack = [], [value]
    while stack:
        at = stack.pop()
        if at in leaving:
            return None
        for user in users.get(at, []):
            if user.kind in MOVES:
                stack.append(user.result)
            elif user.kind != "cast" or user.result.type.dtype != "f32":
                return None
            found.append(user)
    return found


def _source(graph: Graph, op: Op, format: str) -> Form:
    divided = op.arg(0).op
    scale = _number(graph, divided.arg(1)) if divided is not None and divided.kind == "div" else None
    folds = scale is not None and divided is not None and divided.arg(0).type == op.arg(0).type

    def made(b: Builder, op: Op) -> Value:
        x = op.arg(0)
        if folds:
            assert x.op is not None
            return b.op("to_float8", x.op.arg(0), format=format, scale=scale or 1.0)
        return b.op("to_float8", x, format=format, scale=1.0)

    return made


def _read(format: str, scale: float) -> Form:
    return lambda b, op: b.op("from_float8", op.arg(0), format=format, scale=scale)


def _moved(b: Builder, op: Op) -> Value:
    return b.op(op.kind, op.arg(0), **op.attrs)


def _left(i: int) -> Form:
    """The scale is part of what the operand is by now."""
    return lambda b, op: op.arg(i)


def _scale(graph: Graph, op: Op, value: Value) -> float | None:
    """The number that an operator multiplies the value by."""
    if op.kind != "mul" or op.result.type != value.type or op.inputs.count(value) != 1:
        return None
    return _number(graph, op.arg(1 - op.inputs.index(value)))


def _number(graph: Graph, value: Value) -> float | None:
    """A constant that may be a scale."""
    if value.const is None or value.type.size != 1:
        return None
    number = float(np.float32(graph.array(value).reshape(())))
    return number if 1 / MOST <= number <= MOST else None
