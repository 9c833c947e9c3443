"""Reads the text form of a module (ir/text.py)."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.graph import Graph, Module, Op, State, Value
from edgec.ir.ops import OPS
from edgec.ir.types import DTYPES, Bounded, Dim, Encoding, Float8, Palette, Quant, Scale, Sparse, Type

Array = np.ndarray[Any, Any]
ENCODINGS = ("quant", "float8", "scale", "palette", "sparse")

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
            if array.dtype.type is np.void and array.itemsize == type.numpy.itemsize:
                array = array.view(type.numpy)  # numpy's files hold types that it has not as raw bytes
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
        while any(map(self._peek, ENCODINGS)):
            encodings.append(self._encoding())
        return Type(dtype, tuple(dims), tuple(encodings))

    def _encoding(self) -> Encoding:
        kind = self._take("word", "an encoding")
        self._expect("<")
        form = ""
        bits = 0
        if kind == "palette":
            bits = self._integer()
        elif kind in ("quant", "float8"):
            form = self._take("word", "a format")
        axis = self._integer() if kind != "sparse" and self._accept("@") else None
        group = self._integer() if axis is not None and self._accept(":") else 0
        length, along, keys = 1, 0, []
        if kind == "palette" and self._tokens[self._at + 1][1] == "vectors":
            self._parameter(True, "vectors")
            length = self._integer()
            self._expect("@")
            along = self._integer()
        names = {"quant": ("scale", "zero"), "palette": ("table",), "sparse": ("mask",)}.get(kind, ("scale",))
        for i, name in enumerate(names):
            self._parameter(kind in ("quant", "float8", "palette") or axis is not None or i > 0, name)
            keys.append(self._key())
        self._expect(">")
        match kind:
            case "quant":
                return Quant(form, keys[0], keys[1], axis, group)
            case "float8":
                return Float8(form, keys[0], axis, group)
            case "scale":
                return Scale(keys[0], axis, group)
            case "palette":
                return Palette(bits, keys[0], axis, group, length, along)
        return Sparse(keys[0])

    def _parameter(self, behind: bool, name: str) -> None:
        """`name=`, with a comma before it where it stands behind something."""
        if behind:
            self._expect(",")
        self._expect(name)
        self._expect("=")

    def _integer(self) -> int:
        number = self._number()
        if not isinstance(number, int):
            raise self._error(f"expected an integer, found {number}")
        return number

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
