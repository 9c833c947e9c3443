"""Module, Graph, Op, Value: the IR as objects, compared by identity. A graph is SSA, in topological order.

A `Value` is one of: a graph input, the result of an op, or a constant (its array lives in the module under a content
hash). A `State` pairs a graph input with the output that becomes that input at the next call.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from edgec.ir.encodings import decode
from edgec.ir.origin import VIEWS, Origin, Scaled
from edgec.ir.types import Type, dtype_name

Attr = int | float | str | bool | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


class Value:
    """A tensor in a graph. `name` is for people and interfaces; identity is the object; `origin` is the tensor of the
    ONNX model that it is, where that is known."""

    __slots__ = ("const", "name", "op", "origin", "scaled", "type")

    def __init__(self, name: str, type: Type, op: Op | None = None, const: str | None = None) -> None:
        self.name = name
        self.type = type
        self.op = op  # the op that makes this value; None for inputs and constants
        self.const = const  # key into Module.constants; None otherwise
        self.origin: Origin | None = None
        self.scaled: Scaled | None = None  # by which numbers it is that tensor; None: it is the tensor itself

    def stand_for(self, old: Value) -> None:
        """This value takes the place of `old`, and those that it is a transpose or reshape of do with it."""
        if old.origin is None or old.type != self.type:
            return
        self.origin, self.scaled, self.name = old.origin, old.scaled, self.name or old.name
        value = self
        while value.op is not None and value.scaled is None and value.op.kind in VIEWS and value.origin is not None:
            kind, under = value.op.kind, value.op.arg(0)
            if under.op is None or under.origin is not None:
                break
            argument: tuple[int, ...] = value.op.attrs[VIEWS[kind]]  # type: ignore[assignment]
            under.origin = value.origin.operand(kind, argument, under.type.dims)
            under.name = under.name or value.name
            value = under

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


class Op:
    """One operation: `kind` is a row of the operator table, `source` the ONNX node it came from (for messages)."""

    __slots__ = ("attrs", "inputs", "kind", "results", "source")

    def __init__(
        self, kind: str, inputs: Iterable[Value | None], attrs: dict[str, Attr] | None = None, source: str = ""
    ) -> None:
        self.kind = kind
        self.inputs: list[Value | None] = list(inputs)  # None: an optional operand that is absent
        self.attrs: dict[str, Attr] = attrs or {}
        self.results: list[Value] = []
        self.source = source

    @property
    def result(self) -> Value:
        """The only result."""
        assert len(self.results) == 1, self.kind
        return self.results[0]

    @property
    def label(self) -> str:
        """For people: the kind, and the ONNX node where it is known."""
        return f"{self.kind} {self.source}".strip()

    def arg(self, i: int) -> Value:
        """Operand i, which must be present."""
        value = self.inputs[i]
        assert value is not None, f"{self.kind}: operand {i} is absent"
        return value

    def __repr__(self) -> str:
        return f"{', '.join(map(repr, self.results))} = {self.kind}"


@dataclass
class State:
    """`input` holds `initial` (a constant's key) at the first call and the last call's `output` afterwards."""

    input: Value
    output: Value
    initial: str


@dataclass
class Module:
    """Named constants and named entries over them. Constants are immutable and named by their content."""

    constants: dict[str, np.ndarray] = field(default_factory=dict)
    entries: dict[str, Graph] = field(default_factory=dict)
    narrow: Counter[str] = field(default_factory=Counter)  # numbers of the model in few bits that are floats here

    def intern(self, array: np.ndarray) -> str:
        """Key of the array in `constants`; equal dtype, shape and bytes give the same key."""
        # ascontiguousarray would make a scalar one-dimensional
        array = array if array.flags.c_contiguous else np.ascontiguousarray(array)
        digest = hashlib.sha256(f"{dtype_name(array.dtype)}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
        key = digest.hexdigest()[:16]
        if key not in self.constants:
            array.setflags(write=False)
            self.constants[key] = array
        return key


class Graph:
    """One entry of a module: inputs, ops in topological order, outputs.

    `outputs` is a list of (name, value) pairs, since one value may leave under two names.
    """

    def __init__(self, module: Module, name: str = "main") -> None:
        self.module = module
        self.name = name
        self.inputs: list[Value] = []
        self.ops: list[Op] = []
        self.outputs: list[tuple[str, Value]] = []
        self.states: list[State] = []
        module.entries[name] = self

    # -- building ---------------------------------------------------------------------------------------------

    def add_input(self, name: str, type: Type) -> Value:
        value = Value(name, type)
        self.inputs.append(value)
        return value

    def constant(self, array: np.ndarray, name: str = "") -> Value:
        """A fresh value for an array (the array itself is stored once per content)."""
        key = self.module.intern(np.asarray(array))
        stored = self.module.constants[key]
        return Value(name or f"c_{key[:8]}", Type(dtype_name(stored.dtype), stored.shape), const=key)

    def encoded(self, stored: np.ndarray, type: Type, name: str = "") -> Value:
        """A constant of an encoded type, by the numbers that are stored."""
        return Value(name, type, const=self.module.intern(stored))

    def array(self, value: Value) -> np.ndarray:
        """The contents of a constant value: real numbers, whatever they are stored as (read-only where they are)."""
        stored = self.stored(value)
        if not value.type.encodings:
            return stored
        return decode(self.module.constants, stored, value.type).astype(value.type.numpy, copy=False)

    def stored(self, value: Value) -> np.ndarray:
        """The contents of a constant value as they are stored (read-only)."""
        assert value.const is not None, f"{value!r} is not a constant"
        return self.module.constants[value.const]

    def insert(self, index: int, op: Op, types: Iterable[Type]) -> list[Value]:
        """Put `op` at position `index` of `ops` and make its results."""
        op.results = [Value("", type, op) for type in types]
        self.ops.insert(index, op)
        return op.results

    # -- asking -----------------------------------------------------------------------------------------------

    def values(self) -> Iterator[Value]:
        """Inputs, then results in order. Constants are not listed."""
        yield from self.inputs
        for op in self.ops:
            yield from op.results

    def users(self) -> dict[Value, list[Op]]:
        """Ops that read each value (once per operand position). Built anew: call it once a sweep."""
        table: dict[Value, list[Op]] = {}
        for op in self.ops:
            for value in op.inputs:
                if value is not None:
                    table.setdefault(value, []).append(op)
        return table

    def constant_uses(self) -> Counter[str]:
        """How often operands are each constant, by its name."""
        return Counter(v.const for op in self.ops for v in op.inputs if v is not None and v.const is not None)

    def output_values(self) -> set[Value]:
        """Values that leave the graph, states included."""
        return {v for _, v in self.outputs} | {s.output for s in self.states}

    # -- changing ---------------------------------------------------------------------------------------------

    def replace(self, old: Value, new: Value) -> None:
        """Every reader of `old`, the outputs and the states read `new` from now on."""
        for op in self.ops:
            if old in op.inputs:
                op.inputs = [new if v is old else v for v in op.inputs]
        self.outputs = [(name, new if v is old else v) for name, v in self.outputs]
        for state in self.states:
            if state.output is old:
                state.output = new
        new.stand_for(old)

    def replace_leaving(self, renamed: dict[Value, Value]) -> None:
        """Outputs and states read the new values. For passes that sweep once and rename operands as they go: `replace`
        walks the graph each time."""
        for old, new in renamed.items():
            new.stand_for(old)
        self.outputs = [(name, renamed.get(v, v)) for name, v in self.outputs]
        for state in self.states:
            state.output = renamed.get(state.output, state.output)

    def remove(self, ops: Iterable[Op]) -> None:
        """Drop ops (whose results nobody may read any more)."""
        gone = set(map(id, ops))
        self.ops = [op for op in self.ops if id(op) not in gone]
