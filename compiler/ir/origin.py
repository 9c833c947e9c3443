"""Which tensor of the ONNX model a value is: what lets a layer of the compiled graph be compared with onnxruntime.

The importer says it of each result of a node; `Graph.replace` hands it on, since what replaces a value is that value. A
value behind a transpose or reshape that passes put there is the same tensor seen otherwise: `views` says how. Where it
is a multiple of the tensor, or bytes that stand for it, `Value.scaled` says by which numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
VIEWS = {"transpose": "perm", "reshape": "shape"}  # op kind -> its attribute
View = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Origin:
    """The tensor named `tensor` after these transposes and reshapes, in order."""

    tensor: str
    views: tuple[View, ...] = ()

    def seen(self, kind: str, argument: tuple[int, ...]) -> Origin:
        """The origin of a transpose or reshape of this; two that follow each other are one."""
        before = self.views
        if before and before[-1][0] == kind:
            if kind == "transpose":
                argument = tuple(before[-1][1][p] for p in argument)
            before = before[:-1]
        if kind == "transpose" and argument == tuple(range(len(argument))):
            return Origin(self.tensor, before)
        return Origin(self.tensor, (*before, (kind, argument)))

    def operand(self, kind: str, argument: tuple[int, ...], dims: tuple[int, ...]) -> Origin:
        """The origin of what was transposed or reshaped to this, an operand of shape `dims`."""
        if kind == "transpose":
            return self.seen(kind, tuple(argument.index(i) for i in range(len(argument))))
        return self.seen(kind, dims)

    def of(self, array: Array) -> Array:
        """The value, from the contents of the tensor."""
        for kind, argument in self.views:
            array = array.transpose(argument) if kind == "transpose" else array.reshape(argument)
        return array

    def __str__(self) -> str:
        return " ".join((self.tensor, *(f"{kind}({','.join(map(str, a))})" for kind, a in self.views)))


@dataclass(frozen=True)
class Scaled:
    """The tensor is scale * (value - zero), with one scale or one for each place along the value's last axis."""

    scale: tuple[float, ...]
    zero: int = 0

    def times(self, factors: tuple[float, ...]) -> Scaled:
        """Where the tensor is so many times what this says."""
        return Scaled(tuple((np.array(self.scale) * np.array(factors)).tolist()), self.zero)

    def of(self, value: Array) -> Array:
        """The tensor, in double precision."""
        return np.asarray((value.astype(np.float64) - self.zero) * np.array(self.scale))
