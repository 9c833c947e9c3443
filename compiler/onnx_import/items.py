"""What an ONNX name can stand for while a model is imported: a tensor, a sequence, an optional, or nothing usable.

Sequences and optionals exist at import only: they must resolve statically and leave no trace in the IR.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgec.ir.graph import Value


@dataclass(frozen=True)
class TensorList:
    """An ONNX sequence of tensors whose length is known."""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class Maybe:
    """An ONNX optional that is known to be present (`item`) or absent (None)."""

    item: Value | TensorList | None


@dataclass(frozen=True)
class Missing:
    """Result of a node that could not be imported. `reason` is empty when only an operand was missing.

    Reasons are told at the end, and only those that an output of the model needs.
    """

    order: int
    reason: str
    needs: tuple[Missing, ...] = field(default=(), repr=False)


Item = Value | TensorList | Maybe | Missing | None


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
