"""What an ONNX name can stand for while a model is imported: a tensor, a sequence, an optional, or nothing usable.

Sequences and optionals exist at import only: they must resolve statically and leave no trace in the IR.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgec.ir.graph import Value


@dataclass(frozen=True)
class TensorList:
    """An ONNX sequence of tensors whose length is known."""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class Maybe:
    """An ONNX optional that is known to be present (`item`) or absent (None)."""

    item: Value | TensorList | None


@dataclass(frozen=True, eq=False)
class Narrow:
    """A constant of an element type that the IR does not have, such as int4 or float8e4m3fn, in one that holds its
    numbers: i8, u8 or f32."""

    element: str
    array: np.ndarray


@dataclass(frozen=True, eq=False)
class Float8Bytes:
    """A tensor of 8-bit floats that is known at run time: `bytes_` are its codes, u8, in `format`, e4m3 or e5m2."""

    element: str
    format: str
    bytes_: Value


@dataclass(frozen=True)
class Missing:
    """Result of a node that could not be imported. `reason` is empty when only an operand was missing.

    Reasons are told at the end, and only those that an output of the model needs.
    """

    order: int
    reason: str
    needs: tuple[Missing, ...] = field(default=(), repr=False)


Item = Value | TensorList | Maybe | Narrow | Float8Bytes | Missing | None


def reasons_of(roots: list[Missing]) -> list[str]:
    """Reasons behind these results, in the order of the nodes."""
    seen: dict[int, Missing] = {}
    stack = list(roots)
    while stack:
        item = stack.pop()
        if id(item) not in seen:
            seen[id(item)] = item
            stack.extend(item.needs)
    found = {(item.order, item.reason) for item in seen.values() if item.reason}
    return [reason for _, reason in sorted(found)]
