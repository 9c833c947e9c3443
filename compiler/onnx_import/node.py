"""What a table entry sees of an ONNX node: operands, attributes, opset, and a way to make core operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

from edgec.ir import cost
from edgec.ir.build import Builder
from edgec.ir.errors import ModelError
from edgec.ir.graph import Attr, Value
from edgec.ir.ops import OPS
from edgec.ir.types import DTYPES, FLOATS, Type
from edgec.onnx_import import limits
from edgec.onnx_import.items import Float8Bytes, Item, Maybe, Narrow
from edgec.onnx_import.tensors import array_of, dtype_of

if TYPE_CHECKING:
    from edgec.onnx_import.importer import Scope, Walk

NAMES = {
    AttributeProto.FLOAT: "a float",
    AttributeProto.INT: "an integer",
    AttributeProto.STRING: "a string",
    AttributeProto.TENSOR: "a tensor",
    AttributeProto.GRAPH: "a graph",
    AttributeProto.FLOATS: "floats",
    AttributeProto.INTS: "integers",
    AttributeProto.STRINGS: "strings",
}


class Refusal(Exception):
    """This node cannot be imported; str() is the end of a sentence that begins with the node."""


class Node:
    """One ONNX node at the moment of its import."""

    def __init__(self, proto: NodeProto, inputs: list[Item], walk: Walk, scope: Scope, opset: int) -> None:
        self.proto = proto
        self.op_type = str(proto.op_type)
        self.inputs = inputs
        self.walk = walk
        self.scope = scope
        self.opset = opset
        self.source = describe(proto)
        self.builder = Builder(walk.graph, source=self.source)
        self.attributes: dict[str, Any] = {a.name: a for a in proto.attribute}

    # -- operands ---------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Number of operands, trailing absent ones not counted."""
        return max((i + 1 for i, item in enumerate(self.inputs) if item is not None), default=0)

    def has(self, i: int) -> bool:
        return i < len(self.inputs) and self.inputs[i] is not None

    def wants(self, i: int) -> bool:
        """Does anybody read output i?"""
        return i < len(self.proto.output) and bool(self.proto.output[i])

    def item(self, i: int) -> Item:
        return self.inputs[i] if i < len(self.inputs) else None

    def value(self, i: int = 0) -> Value:
        """Operand i as a tensor."""
        item = self.item(i)
        if item is None:
            self.broken(f"needs its operand {i}")
        if isinstance(item, Maybe) and isinstance(item.item, Value):
            return item.item
        if isinstance(item, Narrow | Float8Bytes):
            what = "constants of it" if isinstance(item, Narrow) else "it"
            self.refuse(f"has an operand of {item.element}; DequantizeLinear and Cast take {what}")
        if not isinstance(item, Value):
            self.refuse(f"needs a tensor as operand {i}, not a sequence or an optional")
        return item

    def narrow(self, i: int) -> Narrow | None:
        """Operand i where it is a constant of 8-bit floats or of fewer bits."""
        item = self.item(i)
        return item if isinstance(item, Narrow) else None

    def optional(self, i: int) -> Value | None:
        return self.value(i) if self.has(i) else None

    def values(self, start: int = 0) -> list[Value]:
        """All operands from `start` on."""
        return [self.value(i) for i in range(start, len(self.inputs))]

    def const(self, i: int) -> np.ndarray:
        """Contents of operand i, which must be known at import."""
        return self.array(self.value(i), self.proto.input[i])

    def array(self, value: Value, name: str = "") -> np.ndarray:
        """Contents of a value that must be known at import."""
        if value.const is None:
            inputs = self.walk.inputs_behind(value)
            if not inputs:
                self.refuse(f"needs '{name or value.name}' to be a constant, and it is too large for one")
            hint = " ".join(f"--const {n}=..." for n in inputs)
            self.refuse(f"needs '{name or value.name}' to be a constant (bind it with {hint})")
        return self.walk.graph.array(value)

    def const_ints(self, i: int) -> tuple[int, ...]:
        """Operand i as integers."""
        array = self.const(i)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            self.broken(f"needs integers in one dimension as operand {i}, not {array.dtype}{list(array.shape)}")
        self.check_operand(i, array)
        return tuple(int(v) for v in array.reshape(-1))

    def const_floats(self, i: int) -> tuple[float, ...]:
        """Operand i as numbers."""
        array = self.const(i)
        self.check_operand(i, array)
        return tuple(float(v) for v in array.reshape(-1))

    def check_operand(self, i: int, array: np.ndarray) -> None:
        if array.size > limits.OPERANDS:
            self.broken(f"has {array.size} numbers as operand {i}; at most {limits.OPERANDS} are allowed")

    def const_int(self, i: int) -> int:
        values = self.const(i).reshape(-1)
        if values.size != 1 or values.dtype.kind not in "iu":
            self.broken(f"needs one integer as operand {i}, not {values.size} of {values.dtype}")
        return int(values[0])

    def const_float(self, i: int) -> float:
        values = self.const(i).reshape(-1)
        if values.size != 1:
            self.broken(f"needs one number as operand {i}, not {values.size}")
        return float(values[0])

    # -- attributes -------------------------------------------------------------------------------------------

    def attribute(self, name: str, kind: int) -> Any:
        """The attribute's payload holder, or None when it is absent."""
        found = self.attributes.get(name)
        if found is None:
            return None
        if found.ref_attr_name:
            self.broken(f"refers to the function attribute '{found.ref_attr_name}', which is not bound")
        if found.type != kind:
            self.broken(f"has an attribute '{name}' that must be {NAMES[kind]}")
        return found

    def integer(self, name: str, default: int) -> int:
        found = self.attribute(name, AttributeProto.INT)
        return default if found is None else int(found.i)

    def flag(self, name: str, default: bool = False) -> bool:
        return self.integer(name, default) != 0

    def number(self, name: str, default: float, finite: bool = True) -> float:
        found = self.attribute(name, AttributeProto.FLOAT)
        number = default if found is None else float(found.f)
        if math.isnan(number) or (finite and math.isinf(number)):
            self.broken(f"has an attribute '{name}' of {number}, which must be a finite number")
        return number

    def text(self, name: str, default: str) -> str:
        found = self.attribute(name, AttributeProto.STRING)
        return default if found is None else found.s.decode("utf-8", "replace")

    def texts(self, name: str) -> tuple[str, ...] | None:
        found = self.attribute(name, AttributeProto.STRINGS)
        return None if found is None else tuple(s.decode("utf-8", "replace") for s in found.strings)

    def integers(self, name: str) -> tuple[int, ...] | None:
        found = self.attribute(name, AttributeProto.INTS)
        return None if found is None else tuple(int(v) for v in found.ints)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        found = self.attribute(name, AttributeProto.FLOATS)
        return None if found is None else tuple(float(v) for v in found.floats)

    def tensor(self, name: str) -> np.ndarray | None:
        found = self.attribute(name, AttributeProto.TENSOR)
        return None if found is None else array_of(found.t, self.walk.folder)

    def graph(self, name: str) -> GraphProto:
        found = self.attribute(name, AttributeProto.GRAPH)
        if found is None:
            self.broken(f"needs the attribute '{name}'")
        return found.g

    def dtype(self, name: str, default: str | None = None) -> str:
        """IR dtype named by an attribute of an ONNX element type."""
        code = self.integer(name, TensorProto.UNDEFINED)
        return default if code == TensorProto.UNDEFINED and default is not None else dtype_of(code)

    # -- checks -----------------------------------------------------------------------------------------------

    def refuse(self, reason: str) -> NoReturn:
        """The node is legal ONNX but not supported."""
        raise Refusal(reason)

    def broken(self, reason: str) -> NoReturn:
        """The node is not legal ONNX."""
        raise ModelError(f"{self.source} {reason}")

    def axis(self, axis: int, rank: int) -> int:
        """A non-negative axis."""
        if not -rank <= axis < rank:
            self.broken(f"has the axis {axis}, which must lie in [{-rank}, {rank - 1}]")
        return axis % rank if rank else 0

    def axes(self, axes: Sequence[int], rank: int) -> tuple[int, ...]:
        """Non-negative axes in ascending order, each once."""
        found = sorted(self.axis(a, rank) for a in axes)
        if len(set(found)) != len(found):
            self.broken(f"names an axis twice in {list(axes)}")
        return tuple(found)

    def shape(self, value: Value) -> tuple[int, ...]:
        """Static shape of a value."""
        if not value.type.is_static:
            self.refuse(f"needs a static shape for '{value.name}', not {value.type}")
        return value.type.dims

    def is_float(self, value: Value) -> bool:
        return value.type.dtype in FLOATS

    def room(self, elements: int, arrays: int = 1, what: str = "") -> None:
        """ModelError when so many arrays of so many 8-byte elements, which a constant is made from, are too large."""
        limits.check_working(8 * elements * arrays, what or f"the result of {self.source}")

    def positions(self, length: int) -> np.ndarray:
        """0, 1, ... as int64."""
        self.room(length, what=f"the positions of {self.source}")
        return np.arange(length, dtype=np.int64)

    def check_lengths(self, shape: Sequence[int], axes: Iterable[int]) -> None:
        """ModelError for an axis so long that the table of its sources would be huge."""
        for axis in axes:
            if shape[axis] > limits.TABLE_LENGTH:
                self.broken(f"makes an axis of {shape[axis]} elements, each from a place of its own; at most "
                            f"{limits.TABLE_LENGTH} elements are allowed")

    # -- making operators -------------------------------------------------------------------------------------

    def op(self, kind: str, *inputs: Value | None, **attrs: Attr) -> Value:
        """The only result of a new core op."""
        return self.ops(kind, *inputs, **attrs)[0]

    def ops(self, kind: str, *inputs: Value | None, **attrs: Attr) -> list[Value]:
        """All results of a new core op; limits are checked before anything is folded."""
        row = OPS[kind]
        full = row.complete(attrs)
        given = [v.type.plain if v is not None else None for v in inputs]
        types = row.infer(given, full)
        for type in types:
            limits.check_shape(type.dims, f"a result of {self.source}")
        known = bool(inputs) and all(v is None or v.const is not None for v in inputs)
        fold = (
            known
            and cost.affordable(kind, given, types, full)
            and self.walk.affords(sum(t.nbytes for t in types), cost.work(kind, given, types, full))
        )
        if not fold:
            self.walk.count_operator()
        return self.builder.place(kind, inputs, full, types, fold)

    def constant(self, array: np.ndarray | float | int | bool, dtype: str | None = None) -> Value:
        """A constant value; `dtype` is an IR name."""
        made = np.asarray(array, DTYPES[dtype] if dtype else None)
        self.walk.spend(made.nbytes)
        return self.walk.graph.constant(made)

    def like(self, number: float | int | bool, value: Value) -> Value:
        """A scalar constant of a value's dtype."""
        with np.errstate(all="ignore"):
            return self.constant(np.asarray(number).astype(value.type.numpy))

    def full(self, shape: Sequence[int], number: float | int | bool, dtype: str) -> Value:
        """A tensor of one number: a constant, or broadcast at run time when it is large."""
        return self.broadcast(self.constant(np.asarray(number), dtype), shape)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        dims = tuple(int(d) for d in shape)
        return value if dims == self.shape(value) else self.op("reshape", value, shape=dims)

    def transpose(self, value: Value, perm: Sequence[int]) -> Value:
        order = tuple(int(p) for p in perm)
        return value if order == tuple(range(len(order))) else self.op("transpose", value, perm=order)

    def broadcast(self, value: Value, shape: Sequence[int]) -> Value:
        dims = limits.check_shape(shape, f"a result of {self.source}")
        return value if dims == self.shape(value) else self.op("broadcast_to", value, shape=dims)

    def cast(self, value: Value, dtype: str) -> Value:
        return value if value.type.dtype == dtype else self.op("cast", value, to=dtype)

    def slice(self, value: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
        """`value[start:stop:step]` along one axis, bounds already normalised."""
        shape = self.shape(value)
        if (start, stop, step) == (0, shape[axis], 1):
            return value
        starts, stops, steps = [0] * len(shape), list(shape), [1] * len(shape)
        starts[axis], stops[axis], steps[axis] = start, stop, step
        return self.op("slice", value, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))

    def pad(self, value: Value, before: Sequence[int], after: Sequence[int], number: float = 0.0) -> Value:
        """Constant padding; nothing when there is none."""
        if not any(before) and not any(after):
            return value
        return self.op("pad", value, before=tuple(before), after=tuple(after), mode="constant", value=number)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        return values[0] if len(values) == 1 else self.op("concat", *values, axis=axis)

    def reduce(self, kind: str, value: Value, axes: Sequence[int], keepdims: bool = False) -> Value:
        return self.op(f"reduce_{kind}", value, axes=tuple(axes), keepdims=keepdims)

    def clip(self, value: Value, lo: float, hi: float) -> Value:
        """Into [lo, hi], for any number type; bounds beyond an integer type's range are no bounds."""
        if self.is_float(value):
            return self.op("clip", value, lo=float(lo), hi=float(hi))
        info = np.iinfo(value.type.numpy)
        if lo > info.min:
            value = self.op("max", value, self.like(int(min(lo, info.max)), value))
        if hi < info.max:
            value = self.op("min", value, self.like(int(max(hi, info.min)), value))
        return value


Importer = Callable[[Node], Sequence[Item]]
Table = dict[str, Importer]


def describe(proto: NodeProto) -> str:
    """`Conv 'conv1'`: how messages and ops name a node."""
    name = proto.name or next((o for o in proto.output if o), "")
    return f"{proto.op_type} '{name}'"


def same_type(a: Type, b: Type) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape
