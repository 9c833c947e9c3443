"""What operators ask of their operands: that they are there, of what dtype, and of shapes that go together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.types import NARROW, WIDE, Type


def operand(types: Sequence[Type | None], i: int, kind: str) -> Type:
    """Type of a required operand."""
    if i >= len(types) or types[i] is None:
        raise IRError(f"{kind} needs operand {i}")
    found = types[i]
    assert found is not None
    return found


def computed(types: Sequence[Type | None], i: int, kind: str) -> Type:
    """The same of one whose numbers are compared or computed with."""
    found = operand(types, i, kind)
    if found.dtype in NARROW:
        raise IRError(f"{kind} does not take {found.dtype}, which must be cast; legal: {', '.join(sorted(WIDE))}")
    return found


def broadcast(kind: str, *types: Type) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(t.dims for t in types))
    except ValueError:
        raise IRError(f"{kind}: the shapes {' and '.join(str(t) for t in types)} do not broadcast") from None


def same_dtype(kind: str, legal: frozenset[str], *types: Type) -> None:
    for t in types:
        if t.dtype not in legal:
            raise IRError(f"{kind} does not take {t.dtype}; legal: {', '.join(sorted(legal))}")
        if t.dtype != types[0].dtype:
            raise IRError(f"{kind}: operands have different dtypes {types[0].dtype} and {t.dtype}")
