"""Values that are encoded as 8-bit floats become bytes in memory, written by `to_float8` and read by `from_float8`.

%1: f32[…] float8<e4m3, scale=#s> = conv %0, …    ->   %1: f32[…] = conv %0, …
%2: f32[…] = relu %1                                   %2: u8[…] = to_float8 %1 {format="e4m3", scale=0.5}
                                                       %3: f32[…] = from_float8 %2 {format="e4m3", scale=0.5}
                                                       %4: f32[…] = relu %3

Each reader decodes for itself, so that only bytes lie between two of them. Constants keep their encodings: kernels of
convolution and matmul decode weights in registers.
"""

from __future__ import annotations

from typing import Any

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Float8


def lower_float8(graph: Graph) -> bool:
    results = [v for op in graph.ops for v in op.results if v.type.encodings]
    encoded = {v for v in results if isinstance(v.type.encodings[0], Float8)}
    if not encoded:
        return False
    stored: dict[Value, Value] = {}  # encoded value -> its bytes
    renamed: dict[Value, Value] = {}
    old, graph.ops = graph.ops, []
    for op in old:
        b = Builder(graph, source=op.source)
        if op.kind == "encode" and (op.arg(0) in encoded or op.result in encoded):
            real = _decoded(b, stored, op.arg(0)) if op.arg(0) in stored else renamed.get(op.arg(0), op.arg(0))
            if op.result in encoded:
                stored[op.result] = b.op("to_float8", real, **_form(graph, op.result))
                stored[op.result].name = op.result.name
            else:
                renamed[op.result] = real
            continue
        read: dict[Value, Value] = {}
        for v in op.inputs:
            if v is not None and v in stored and v not in read:
                read[v] = _decoded(b, stored, v)
        op.inputs = [None if v is None else read.get(v, renamed.get(v, v)) for v in op.inputs]
        graph.ops.append(op)
        for value in op.results:
            if value in encoded:
                form = _form(graph, value)
                value.type = value.type.plain
                stored[value] = b.op("to_float8", value, **form)
                stored[value].name = value.name
    graph.replace_leaving(renamed)
    return True


def _form(graph: Graph, value: Value) -> dict[str, Any]:
    encoding = value.type.encodings[0]
    assert isinstance(encoding, Float8)
    assert encoding.axis is None, f"{value!r} has scales along an axis"
    return {"format": encoding.format, "scale": float(graph.module.constants[encoding.scale])}


def _decoded(b: Builder, stored: dict[Value, Value], value: Value) -> Value:
    at = stored[value]
    assert at.op is not None
    made = b.op("from_float8", at, **at.op.attrs)
    made.stand_for(value)
    return made
