"""The ML program of a model: MIL.proto as frozen dataclasses, by the field numbers of the published file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgec.runtime.coreml.datatypes import BY_NUMBER, DataType
from edgec.runtime.coreml.wire import Message, PackageError


@dataclass(frozen=True)
class TensorType:
    """`dims` holds None for a size known at run time only. With `any_rank` it is one None, and any shape will do."""

    dtype: DataType
    dims: tuple[int | None, ...]
    any_rank: bool = False

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape is of the type."""
        fits = len(shape) == len(self.dims) and all(d in (None, s) for s, d in zip(shape, self.dims, strict=True))
        return self.any_rank or fits

    def __str__(self) -> str:
        sizes = "…" if self.any_rank else ",".join("?" if d is None else str(d) for d in self.dims)
        return f"{self.dtype}[{sizes}]"


@dataclass(frozen=True)
class ListType:
    element: ValueType
    length: int | None

    def __str__(self) -> str:
        return f"list of {self.element}"


@dataclass(frozen=True)
class TupleType:
    items: tuple[ValueType, ...]

    def __str__(self) -> str:
        return f"tuple of {', '.join(map(str, self.items))}"


@dataclass(frozen=True)
class DictionaryType:
    key: ValueType
    value: ValueType

    def __str__(self) -> str:
        return f"dictionary from {self.key} to {self.value}"


@dataclass(frozen=True)
class StateType:
    wrapped: ValueType

    def __str__(self) -> str:
        return f"state of {self.wrapped}"


ValueType = TensorType | ListType | TupleType | DictionaryType | StateType


@dataclass(frozen=True)
class BlobFile:
    """A record of a weight file: `name` starts with @model_path."""

    name: str
    offset: int


@dataclass(frozen=True)
class Immediate:
    """A value within the program: a TensorValue, or the values of a list, tuple or dictionary."""

    tensor: Message | None
    items: tuple[Value, ...] = ()
    pairs: tuple[tuple[Value, Value], ...] = ()


@dataclass(frozen=True)
class Value:
    type: ValueType
    content: BlobFile | Immediate


@dataclass(frozen=True)
class Named:
    name: str
    type: ValueType


@dataclass(frozen=True)
class Operation:
    """`inputs` by parameter: what each of its arguments is, the name of a value or a value itself."""

    type: str
    inputs: Mapping[str, tuple[str | Value, ...]]
    outputs: tuple[Named, ...]
    blocks: tuple[Block, ...]
    attributes: Mapping[str, Value]

    @property
    def name(self) -> str:
        """How messages call it: by its type and first result."""
        return f"{self.type} '{self.outputs[0].name}'" if self.outputs else self.type


@dataclass(frozen=True)
class Block:
    inputs: tuple[Named, ...]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]
    attributes: Mapping[str, Value]


@dataclass(frozen=True)
class Function:
    """`blocks` are its specialisations by opset; `opset` says which is meant."""

    name: str
    inputs: tuple[Named, ...]
    opset: str
    blocks: Mapping[str, Block]
    attributes: Mapping[str, Value]

    @property
    def block(self) -> Block:
        if self.opset not in self.blocks:
            has = ", ".join(sorted(self.blocks)) or "none"
            raise PackageError(
                f"function '{self.name}' declares the opset '{self.opset}' but has no block of it (it has {has})"
            )
        return self.blocks[self.opset]


@dataclass(frozen=True)
class Program:
    version: int
    functions: Mapping[str, Function]
    attributes: Mapping[str, Value]


def program(message: Message) -> Program:
    """MILSpec.Program."""
    functions = {name: _function(name, body) for name, body in message.entries(2)}
    return Program(message.integer(1), functions, _attributes(message, 4))


def _function(name: str, message: Message) -> Function:
    blocks = {opset: _block(body) for opset, body in message.entries(3)}
    return Function(name, _named(message, 1), message.text(2), blocks, _attributes(message, 4))


def _block(message: Message) -> Block:
    operations = tuple(_operation(m) for m in message.messages(3))
    return Block(_named(message, 1), tuple(message.texts(2)), operations, _attributes(message, 4))


def _operation(message: Message) -> Operation:
    inputs = {key: tuple(_binding(b) for b in argument.messages(1)) for key, argument in message.entries(2)}
    blocks = tuple(_block(m) for m in message.messages(4))
    return Operation(message.text(1), inputs, _named(message, 3), blocks, _attributes(message, 5))


def _attributes(message: Message, number: int) -> dict[str, Value]:
    return {key: value(body) for key, body in message.entries(number)}


def _binding(message: Message) -> str | Value:
    inner = message.message(2)
    return message.text(1) if inner is None else value(inner)


def _named(message: Message, number: int) -> tuple[Named, ...]:
    return tuple(Named(m.text(1), _value_type(m.message(2))) for m in message.messages(number))


def _value_type(message: Message | None) -> ValueType:
    if message is None:
        raise PackageError("the program is damaged: a value has no type")
    if (tensor := message.message(1)) is not None:
        return _tensor_type(tensor)
    if (listed := message.message(2)) is not None:
        length = listed.message(2)
        return ListType(_value_type(listed.message(1)), None if length is None else _size(length))
    if (items := message.message(3)) is not None:
        return TupleType(tuple(_value_type(m) for m in items.messages(1)))
    if (pair := message.message(4)) is not None:
        return DictionaryType(_value_type(pair.message(1)), _value_type(pair.message(2)))
    if (state := message.message(5)) is not None:
        return StateType(_value_type(state.message(1)))
    raise message.budget.error("a type is empty")


def _tensor_type(message: Message) -> TensorType:
    number = message.integer(1)
    if number not in BY_NUMBER:
        raise message.budget.error(f"there is no element type {number}")
    sizes = message.messages(3)
    if any(_variadic(m) for m in sizes):
        return TensorType(BY_NUMBER[number], (None,), True)
    dims = tuple(_size(m) for m in sizes)
    if message.integer(2) != len(dims):
        raise message.budget.error(f"a type of rank {message.integer(2)} has {len(dims)} dimensions")
    return TensorType(BY_NUMBER[number], dims)


def _variadic(message: Message) -> bool:
    unknown = message.message(2)
    return unknown is not None and bool(unknown.integer(1))


def _size(message: Message) -> int | None:
    constant = message.message(1)
    if constant is None:
        return None
    size = constant.integer(1)
    if size < 0:
        raise message.budget.error(f"a dimension has the size {size}")
    return size


def value(message: Message) -> Value:
    """MILSpec.Value; arrays are made of it by `literals.py`."""
    kind = _value_type(message.message(2))
    if (blob := message.message(5)) is not None:
        return Value(kind, BlobFile(blob.text(1), blob.integer(2)))
    immediate = message.message(3)
    if immediate is None:
        raise message.budget.error("a value is empty")
    if (tensor := immediate.message(1)) is not None:
        return Value(kind, Immediate(tensor))
    for number in (2, 3):
        if (items := immediate.message(number)) is not None:
            return Value(kind, Immediate(None, tuple(value(m) for m in items.messages(1))))
    if (pairs := immediate.message(4)) is not None:
        return Value(kind, Immediate(None, (), tuple(_pair(m) for m in pairs.messages(1))))
    return Value(kind, Immediate(None))


def _pair(message: Message) -> tuple[Value, Value]:
    key, content = message.message(1), message.message(2)
    if key is None or content is None:
        raise message.budget.error("an entry of a dictionary lacks its key or its value")
    return value(key), value(content)
