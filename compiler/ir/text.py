"""Text form of a module: printed by dumps, read by `edgec opt` and the pass tests. print(parse(print(m))) == print(m).

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

Every constant is declared once, in order of first use. Up to 16 elements stand inline; a larger one is
`sha("HASH")`, taken from the arrays that the caller hands to the parser, or `seed(n)`, standard normal numbers.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.graph import Graph, Module, Op, State, Value
from edgec.ir.ops import OPS
from edgec.ir.types import DTYPES, Bounded, Dim, Encoding, Float8, Quant, Type, dtype_name

Array = np.ndarray[Any, Any]
INLINE = 16


# -- printing -------------------------------------------------------------------------------------------------------


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
    axis = "" if encoding.axis is None else f"@{encoding.axis}"
    axis += f":{encoding.group}" if isinstance(encoding, Quant) and encoding.group else ""
    scale = f"scale={names[encoding.scale, None]}"
    if isinstance(encoding, Float8):
        return f"float8<{encoding.format}{axis}, {scale}>"
    return f"quant<{encoding.format}{axis}, {scale}, zero={names[encoding.zero, None]}>"


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


# -- parsing --------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"(?P<space>(?:\s|//[^\n]*)+)|(?P<string>\"(?:[^\"\\\n]|\\.)*\")|(?P<value>[%#][A-Za-z0-9_]+)"
    r"|(?P<number>[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\d+(?![\w])|inf\b|nan\b))"
    r"|(?P<word>[A-Za-z0-9_]+)|(?P<mark><=|[][(){}<>=,:@])"
)


def parse_module(text: str, constants: Mapping[str, Array] | None = None) -> Module:
    """The module that a text describes; IRError with line and column where it is not legal."""
    return _Parser(text, constants or {}).module()


class _Parser:
    def __init__(self, text: str, arrays: Mapping[str, Array]) -> None:
        self._text = text
        self._arrays = arrays
        self._tokens: list[tuple[str, str, int]] = []
        self._at = 0
        self._module = Module()
        self._constants: dict[str, tuple[str, Type | None]] = {}
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._error(f"{text[position]!r} stands for nothing", position)
            if match.lastgroup != "space":
                self._tokens.append((str(match.lastgroup), match.group(), position))
            position = match.end()
        self._tokens.append(("end", "the end of the text", len(text)))

    def _error(self, message: str, position: int | None = None) -> IRError:
        at = self._tokens[min(self._at, len(self._tokens) - 1)][2] if position is None else position
        line = self._text.count("\n", 0, at) + 1
        column = at - (self._text.rfind("\n", 0, at) + 1) + 1
        return IRError(f"{line}:{column}: {message}")

    def _peek(self, text: str) -> bool:
        return self._tokens[self._at][1] == text and self._tokens[self._at][0] != "string"

    def _take(self, group: str, what: str) -> str:
        found, text, _ = self._tokens[self._at]
        if found != group:
            raise self._error(f"expected {what}, found {text}")
        if group != "end":
            self._at += 1
        return text

    def _expect(self, text: str) -> None:
        if not self._peek(text):
            raise self._error(f"expected {text}, found {self._tokens[self._at][1]}")
        self._at += 1

    def _accept(self, text: str) -> bool:
        if self._peek(text):
            self._at += 1
            return True
        return False

    def _string(self) -> str:
        raw = self._take("string", "a string")
        try:
            return str(ast.literal_eval(raw))
        except (ValueError, SyntaxError):
            raise self._error(f"{raw} is no string") from None

    def _number(self) -> int | float:
        raw = self._take("number", "a number")
        if raw.lstrip("+-").isdigit():
            return int(raw)
        return float(raw)

    # -- grammar ----------------------------------------------------------------------------------------------

    def module(self) -> Module:
        while self._accept("const"):
            name = self._take("value", "a name such as #c0")
            self._expect("=")
            if self._tokens[self._at][0] == "value":
                key = self._key()
                self._constants[name] = key, self._type()
            else:
                self._constants[name] = self._module.intern(self._constant()), None
        while self._accept("entry"):
            self._entry()
        self._take("end", "const or entry")
        if not self._module.entries:
            raise self._error("the text has no entry")
        return self._module

    def _constant(self) -> Array:
        type = self._type()
        count = type.size
        if self._accept("sha"):
            self._expect("(")
            key = self._string()
            self._expect(")")
            if key not in self._arrays:
                raise self._error(f"the array {key} is not at hand")
            array = np.array(self._arrays[key])
            if array.shape != type.dims or array.dtype != type.numpy:
                raise self._error(f"the array {key} is not {type}")
            return array
        if count > 1 << 26:
            raise self._error(f"{type} is too large")
        if self._accept("seed"):
            self._expect("(")
            seed = self._number()
            self._expect(")")
            if not isinstance(seed, int) or seed < 0:
                raise self._error("a seed is an integer >= 0")
            rng = np.random.default_rng(seed)
            return rng.standard_normal(type.dims).astype(type.numpy)
        self._expect("(")
        values: list[Any] = []
        while not self._accept(")"):
            if self._peek("True") or self._peek("False"):
                values.append(self._take("word", "a value") == "True")
            else:
                values.append(self._number())
            if not self._peek(")"):
                self._expect(",")
        if len(values) != count:
            raise self._error(f"{type} has {count} elements, and {len(values)} are given")
        try:
            return np.array(values, type.numpy).reshape(type.dims)
        except (OverflowError, ValueError) as error:
            raise self._error(f"these are no elements of {type}: {error}") from None

    def _type(self) -> Type:
        group, dtype, _ = self._tokens[self._at]
        if group == "word" and dtype not in DTYPES:
            raise self._error(f"there is no dtype {dtype}; legal: {', '.join(DTYPES)}")
        self._take("word", "a dtype")
        self._expect("[")
        dims: list[Dim] = []
        while not self._accept("]"):
            if self._tokens[self._at][0] == "word":
                name = self._take("word", "a name")
                self._expect("<=")
                dims.append(Bounded(name, int(self._number())))
            else:
                dims.append(int(self._number()))
            if not self._peek("]"):
                self._expect(",")
        if any((d.limit if isinstance(d, Bounded) else d) < 0 for d in dims) or len(dims) > 32:
            raise self._error("a dimension is negative, or there are more than 32")
        encodings: list[Encoding] = []
        while self._peek("quant") or self._peek("float8"):
            encodings.append(self._encoding())
        return Type(dtype, tuple(dims), tuple(encodings))

    def _encoding(self) -> Encoding:
        kind = self._take("word", "an encoding")
        self._expect("<")
        form = self._take("word", "a format")
        axis = int(self._number()) if self._accept("@") else None
        group = int(self._number()) if kind == "quant" and axis is not None and self._accept(":") else 0
        keys = []
        for name in ("scale", "zero") if kind == "quant" else ("scale",):
            self._expect(",")
            self._expect(name)
            self._expect("=")
            keys.append(self._key())
        self._expect(">")
        return Quant(form, keys[0], keys[1], axis, group) if kind == "quant" else Float8(form, keys[0], axis)

    def _key(self) -> str:
        """The key of a constant that is stored as it is."""
        name = self._take("value", "a constant such as #c0")
        key, type = self._constants.get(name, ("", None))
        if not key or type is not None:
            raise self._error(f"{name} is no constant that is stored as it is")
        return key

    def _entry(self) -> None:
        name = self._take("word", "a name")
        if name in self._module.entries:
            raise self._error(f"there are two entries {name}")
        graph = Graph(self._module, name)
        values: dict[str, Value] = {}
        self._expect("(")
        while not self._accept(")"):
            short = self._take("value", "an input such as %x")
            long = self._string() if self._tokens[self._at][0] == "string" else short[1:]
            self._expect(":")
            self._define(values, short, graph.add_input(long, self._type()))
            if not self._peek(")"):
                self._expect(",")
        self._expect("{")
        while not self._peek("return"):
            if self._accept("state"):
                self._state(graph, values)
            else:
                self._op(graph, values)
        self._expect("return")
        while not self._accept("}"):
            output = self._string()
            self._expect("=")
            graph.outputs.append((output, self._value(graph, values)))
            if not self._peek("}"):
                self._expect(",")

    def _define(self, values: dict[str, Value], name: str, value: Value) -> None:
        if name in values or name[0] != "%":
            raise self._error(f"{name} is defined twice, or does not begin with %")
        values[name] = value

    def _value(self, graph: Graph, values: dict[str, Value]) -> Value:
        name = self._take("value", "a value")
        if name in self._constants:
            key, type = self._constants[name]
            array = graph.module.constants[key]
            return graph.constant(array) if type is None else graph.encoded(array, type)
        if name not in values:
            raise self._error(f"{name} is not defined")
        return values[name]

    def _state(self, graph: Graph, values: dict[str, Value]) -> None:
        state_input = self._value(graph, values)
        self._expect("=")
        output = self._value(graph, values)
        self._expect("from")
        initial = self._value(graph, values)
        if initial.const is None:
            raise self._error("a state starts from a constant")
        graph.states.append(State(state_input, output, initial.const))

    def _op(self, graph: Graph, values: dict[str, Value]) -> None:
        results: list[tuple[str, Type]] = []
        while True:
            name = self._take("value", "a result such as %0, or return")
            self._expect(":")
            results.append((name, self._type()))
            if not self._accept(","):
                break
        self._expect("=")
        group, kind, _ = self._tokens[self._at]
        if group == "word" and kind not in OPS:
            raise self._error(f"there is no operator {kind}")
        self._take("word", "an operator")
        inputs: list[Value | None] = []
        while self._tokens[self._at][0] == "value" or self._peek("_"):
            inputs.append(None if self._accept("_") else self._value(graph, values))
            if not self._accept(","):
                break
        attrs: dict[str, Any] = {}
        if self._accept("{"):
            while not self._accept("}"):
                key = self._take("word", "an attribute")
                self._expect("=")
                attrs[key] = self._attribute()
                if not self._peek("}"):
                    self._expect(",")
        source = self._string() if self._accept("@") else ""
        try:
            op = Op(kind, inputs, OPS[kind].complete(attrs), source)
        except IRError as error:
            raise self._error(str(error)) from None
        graph.insert(len(graph.ops), op, [t for _, t in results])
        for (name, _), value in zip(results, op.results, strict=True):
            self._define(values, name, value)

    def _attribute(self) -> Any:
        if self._accept("("):
            items: list[Any] = []
            while not self._accept(")"):
                items.append(self._attribute())
                if not self._peek(")"):
                    self._expect(",")
            return tuple(items)
        if self._tokens[self._at][0] == "string":
            return self._string()
        if self._accept("True"):
            return True
        if self._accept("False"):
            return False
        return self._number()
