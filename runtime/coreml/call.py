"""One operator about to be computed: its operands as arrays, and how meanings ask for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgec.runtime.coreml.datatypes import BY_NAME, DataType
from edgec.runtime.coreml.program import Operation, TensorType, ValueType
from edgec.runtime.coreml.wire import Array, PackageError

MAX_ELEMENTS = 1 << 29  # of a result that is larger than its operands


class Unsupported(ValueError):
    """A form of an operator that has no meaning here."""


@dataclass
class StateCell:
    """What a state holds; read_state and write_state share it."""

    array: Array


@dataclass(frozen=True)
class ListValue:
    """A MIL list: arrays, None where nothing was written. `element` is their type when known."""

    items: tuple[Array | None, ...]
    dynamic: bool = False


Item = Array | ListValue | StateCell | dict[Any, float]


@dataclass(frozen=True)
class Operand:
    item: Item
    type: ValueType
    constant: bool = False


Result = Item | tuple[Item, ...]


@dataclass(frozen=True)
class Call:
    """`opset` is the number in CoreML5 … CoreML9. Accessors raise ValueError in words when an operand is missing or of
    another kind."""

    operation: Operation
    opset: int
    operands: Mapping[str, tuple[Operand, ...]]
    dtypes: tuple[DataType | None, ...] = field(default=())  # of the results, as the operator's table gives them

    def has(self, name: str) -> bool:
        return bool(self.operands.get(name))

    def operand(self, name: str) -> Operand:
        found = self.operands.get(name, ())
        if len(found) != 1:
            raise ValueError(f"the operand '{name}' is missing" if not found else f"'{name}' takes one value")
        return found[0]

    def array(self, name: str) -> Array:
        item = self.operand(name).item
        if not isinstance(item, np.ndarray):
            raise ValueError(f"the operand '{name}' is no tensor")
        return item

    def dtype(self, name: str) -> DataType:
        kind = self.operand(name).type
        if not isinstance(kind, TensorType):
            raise ValueError(f"the operand '{name}' is no tensor")
        return kind.dtype

    def several(self, name: str) -> list[Array]:
        found = [operand.item for operand in self.operands.get(name, ())]
        arrays = [item for item in found if isinstance(item, np.ndarray)]
        if not arrays or len(arrays) != len(found):
            raise ValueError(f"'{name}' takes tensors")
        return arrays

    def real(self, name: str) -> Array:
        """The operand to compute with: halves as float32, everything else as it is."""
        return wide(self.array(name))

    def number(self, name: str, default: float | None = None) -> float:
        if default is not None and not self.has(name):
            return default
        array = self.array(name)
        if array.size != 1:
            raise ValueError(f"'{name}' should be a scalar and has shape {list(array.shape)}")
        return float(array.reshape(-1)[0])

    def integer(self, name: str, default: int | None = None) -> int:
        value = self.number(name, None if default is None else float(default))
        if not value.is_integer():
            raise ValueError(f"'{name}' should be an integer and is {value}")
        return int(value)

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.number(name, float(default)))

    def integers(self, name: str, default: list[int] | None = None) -> list[int]:
        if default is not None and not self.has(name):
            return default
        return [int(v) for v in self.array(name).reshape(-1)]

    def flags(self, name: str, count: int) -> list[bool]:
        if not self.has(name):
            return [False] * count
        found = [bool(v) for v in self.array(name).reshape(-1)]
        if len(found) != count:
            raise ValueError(f"'{name}' should have {count} elements and has {len(found)}")
        return found

    def text(self, name: str, default: str | None = None, among: tuple[str, ...] = ()) -> str:
        if not self.has(name) and default is not None:
            return default
        array = self.array(name)
        if array.dtype != object or array.size != 1:
            raise ValueError(f"'{name}' should be a string")
        found = str(array.reshape(-1)[0])
        if among and found not in among:
            raise ValueError(f"{name} is '{found}', and must be one of {', '.join(among)}")
        return found

    def named_type(self, name: str, default: str | None = None) -> DataType:
        """The element type that a parameter names, such as cast's dtype."""
        text = self.text(name, default)
        if text not in BY_NAME:
            raise ValueError(f"{name} is '{text}', which is no element type")
        return BY_NAME[text]


def wide(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def room(shape: tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """The shape of a result, refused before it becomes gigabytes."""
    if any(size < 0 for size in shape):
        raise ValueError(f"the result would have the shape {list(shape)}")
    if math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"the result would have {math.prod(shape):,} elements, more than {MAX_ELEMENTS:,}")
    return tuple(shape)


def shaped(shape: Sequence[int], what: str) -> tuple[int, ...]:
    """The shape of something that a package declares; PackageError where there is no room for it."""
    try:
        return room(list(shape))
    except ValueError as error:
        raise PackageError(f"{what}: {error}") from None


def together(*arrays: Array) -> tuple[int, ...]:
    """The shape that arrays have when they are broadcast, with the room for it."""
    return room(np.broadcast_shapes(*(a.shape for a in arrays)))


def axis_of(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is outside of rank {rank}")
    return axis % rank
