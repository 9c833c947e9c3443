"""Text form of a module: printed by dumps, read (ir/parse.py) by `edgec opt` and the pass tests. print(parse(print(m)))
== print(m).

    const #c0 = f32[2](1.0, 2.0)
    const #c1 = f32[64,3,3,3] seed(7)
    entry main(%x: f32[1,3,8,8]) {
      %0: f32[1,64,6,6] = conv %x, #c1, _ {strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1)} @ "Conv 'c1'"
      state %h = %0 from #c0
      return "y" = %0
    }

An encoding stands behind the shape, and an encoded constant is declared over the numbers that are stored:

    const #c3 = #c2 f32[64,32] quant<i8@0, scale=#c0, zero=#c1>
    const #c6 = #c5 f32[64,96] quant<i4@1:32, scale=#c3, zero=#c4>      (a scale for each 32 along axis 1)
    const #c8 = #c7 f32[64,96] palette<4@0:16, table=#c5>               (a table for each 16 along axis 0)
    const #c8 = #c7 f32[64,96] palette<8, vectors=4@1, table=#c5>       (an index stands for 4 elements along axis 1)
    const #c9 = #c8 f32[64,96] scale<@1:32, scale=#c3> palette<4, table=#c5>
    const #c9 = #c8 f32[64,96] sparse<mask=#c6> quant<i8@0, scale=#c0, zero=#c1>

Every constant is declared once, in order of first use. Up to 16 elements stand inline; a larger one is
`sha("HASH")`, taken from the arrays that the caller hands to the parser, or `seed(n)`, standard normal numbers.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Module, Value
from edgec.ir.ops import OPS
from edgec.ir.types import Encoding, Float8, Palette, Quant, Scale, Sparse, Type, dtype_name

Array = np.ndarray[Any, Any]
INLINE = 16
Names = dict[tuple[str, Type | None], str]  # constants by key, and by key and encoded type


def print_module(module: Module) -> str:
    """The text of a module."""
    names: Names = {}
    lines: list[str] = []

    def declare(key: str) -> str:
        if (key, None) not in names:
            names[key, None] = f"#c{len(names)}"
            lines.append(f"const {names[key, None]} = {_constant_text(module.constants[key], key)}")
        return names[key, None]

    for graph in module.entries.values():
        results = [v for op in graph.ops for v in op.results]
        used = [v for op in graph.ops for v in op.inputs] + [v for _, v in graph.outputs]
        used += [s.output for s in graph.states]
        for value in [*results, *(v for v in used if v is not None)]:
            for encoding in value.type.encodings:
                for key in encoding.constants:
                    declare(key)
            if value.const is not None:
                stored = declare(value.const)
                if value.type.encodings and (value.const, value.type) not in names:
                    names[value.const, value.type] = f"#c{len(names)}"
                    lines.append(f"const {names[value.const, value.type]} = {stored} {_type_text(value.type, names)}")
        for state in graph.states:
            declare(state.initial)
    for graph in module.entries.values():
        lines += _entry_lines(graph, names)
    return "\n".join(lines) + "\n"


def _type_text(type: Type, names: Names) -> str:
    return " ".join([str(type), *(_encoding_text(e, names) for e in type.encodings)])


def _encoding_text(encoding: Encoding, names: Names) -> str:
    where = "" if encoding.axis is None else f"@{encoding.axis}"
    where += f":{encoding.group}" if not isinstance(encoding, Sparse) and encoding.group else ""
    first, *others = (names[key, None] for key in encoding.constants)
    match encoding:
        case Quant():
            return f"quant<{encoding.format}{where}, scale={first}, zero={others[0]}>"
        case Float8():
            return f"float8<{encoding.format}{where}, scale={first}>"
        case Scale():
            return f"scale<{where}{', ' if where else ''}scale={first}>"
        case Palette():
            vectors = f", vectors={encoding.length}@{encoding.along}" if encoding.length > 1 else ""
            return f"palette<{encoding.bits}{where}{vectors}, table={first}>"
        case Sparse():
            return f"sparse<mask={first}>"


def _constant_text(array: Array, key: str) -> str:
    head = f"{dtype_name(array.dtype)}[{','.join(map(str, array.shape))}]"
    if array.size > INLINE:
        return f'{head} sha("{key}")'
    return f"{head}({', '.join(_number_text(v) for v in array.ravel().tolist())})"


def _number_text(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    return repr(value)


def _attribute_text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_attribute_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, str):
        return _string_text(value)
    return _number_text(value)


def _string_text(text: str) -> str:
    """Double-quoted, always."""
    return json.dumps(text, ensure_ascii=False)


def _entry_lines(graph: Graph, constants: Names) -> list[str]:
    names: dict[Value, str] = {v: f"%{_plain(v.name, i)}" for i, v in enumerate(graph.inputs)}
    for op in graph.ops:
        for result in op.results:
            names[result] = f"%{len(names) - len(graph.inputs)}"

    def ref(value: Value | None) -> str:
        if value is None:
            return "_"
        if value.const is None:
            return names[value]
        return constants[value.const, value.type if value.type.encodings else None]

    inputs = ", ".join(
        f"{names[v]}{'' if names[v] == '%' + v.name else ' ' + _string_text(v.name)}: {v.type}" for v in graph.inputs
    )
    lines = [f"entry {graph.name}({inputs}) {{"]
    for op in graph.ops:
        row = OPS[op.kind]
        given = [f"{k}={_attribute_text(v)}" for k, v in op.attrs.items() if row.attrs.get(k) != v]
        attrs = f" {{{', '.join(given)}}}" if given else ""
        source = f" @ {_string_text(op.source)}" if op.source else ""
        results = ", ".join(f"{names[r]}: {_type_text(r.type, constants)}" for r in op.results)
        operands = " " + ", ".join(map(ref, op.inputs)) if op.inputs else ""
        lines.append(f"  {results} = {op.kind}{operands}{attrs}{source}")
    lines += [f"  state {names[s.input]} = {ref(s.output)} from {constants[s.initial, None]}" for s in graph.states]
    lines.append("  return " + ", ".join(f"{_string_text(name)} = {ref(v)}" for name, v in graph.outputs))
    return [*lines, "}"]


def _plain(name: str, index: int) -> str:
    """The input's own name where it can stand after %, else a made one."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f"in{index}_"
