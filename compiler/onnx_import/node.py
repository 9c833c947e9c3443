"""A node as its table entry sees it: operands as IR values, attributes as Python values, a builder, the opset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgec.ir.build import Builder
from edgec.ir.graph import Value
from edgec.onnx_import.reader import tensor_array

Array = np.ndarray[Any, Any]


class Refused(Exception):
    """This form of the operator is not supported; the message says why."""


def _sources(value: Value) -> set[str]:
    """Names of the graph inputs that a value is computed from."""
    found: set[str] = set()
    seen: set[Value] = set()
    stack = [value]
    while stack:
        at = stack.pop()
        if at in seen or at.const is not None:
            continue
        seen.add(at)
        if at.op is None:
            found.add(at.name)
        else:
            stack += [v for v in at.op.inputs if v is not None]
    return found


@dataclass
class Node:
    proto: onnx.NodeProto
    inputs: list[Value | None]
    builder: Builder
    opset: int
    folder: Path
    outputs: int

    @property
    def label(self) -> str:
        return f"{self.proto.op_type} '{self.proto.name or self.proto.output[0]}'"

    def has(self, i: int) -> bool:
        return i < len(self.inputs) and self.inputs[i] is not None

    def value(self, i: int) -> Value:
        found = self.inputs[i] if i < len(self.inputs) else None
        if found is None:
            raise Refused(f"operand {i} is missing")
        return found

    def optional(self, i: int) -> Value | None:
        return self.inputs[i] if i < len(self.inputs) else None

    def array(self, i: int, what: str) -> Array:
        """A constant operand."""
        value = self.value(i)
        if value.const is None:
            names = sorted(_sources(value))
            bind = f" (bind it with --const {names[0]}=...)" if names else ""
            raise Refused(f"its {what} is known at run time only{bind}")
        return self.builder.graph.array(value)

    def ints(self, i: int, what: str) -> list[int]:
        return [int(x) for x in self.array(i, what).ravel()]

    def attr(self, name: str, default: Any = None) -> Any:
        for a in self.proto.attribute:
            if a.name == name:
                if a.type == onnx.AttributeProto.TENSOR:
                    return tensor_array(a.t, self.folder)
                value = onnx.helper.get_attribute_value(a)
                if isinstance(value, bytes):
                    return value.decode("utf-8", "replace")
                return list(value) if a.type in (6, 7, 8) else value
        return default

    def ints_or(self, name: str, i: int, what: str) -> list[int] | None:
        """An attribute of old opsets that became operand i."""
        found = self.attr(name)
        if found is not None:
            return [int(x) for x in (found if isinstance(found, list) else [found])]
        return self.ints(i, what) if self.has(i) else None

    # -- building ---------------------------------------------------------------------------------------------

    def op(self, kind: str, *inputs: Value | None, **attrs: Any) -> Value:
        return self.builder.op(kind, *inputs, **attrs)

    def const(self, value: Any, dtype: str) -> Value:
        return self.builder.const(value, dtype)

    def like(self, value: float, x: Value) -> Value:
        """A scalar constant of x's dtype."""
        return self.builder.const(value, x.type.dtype)

    def reshape(self, x: Value, shape: Any) -> Value:
        wanted = tuple(int(d) for d in shape)
        return x if x.type.dims == wanted else self.op("reshape", x, shape=wanted)

    def cast(self, x: Value, to: str) -> Value:
        return x if x.type.dtype == to else self.op("cast", x, to=to)

    def axis(self, axis: int, rank: int) -> int:
        if not -rank <= axis < max(rank, 1):
            raise Refused(f"axis {axis} is outside rank {rank}")
        return axis % rank if rank else 0
