"""Strides of broadcast operands, and the fewest dimensions that describe a loop over them."""

from __future__ import annotations

from collections.abc import Sequence


def dense(dims: Sequence[int]) -> list[int]:
    """Row-major strides in elements."""
    strides = [1] * len(dims)
    for i in range(len(dims) - 2, -1, -1):
        strides[i] = strides[i + 1] * dims[i + 1]
    return strides


def broadcast_strides(dims: Sequence[int], result: Sequence[int]) -> list[int]:
    """Strides of an operand of shape `dims` in a loop over `result`: 0 where it is repeated."""
    lead = len(result) - len(dims)
    own = dense(dims)
    return [0] * lead + [0 if d == 1 else s for d, s in zip(dims, own, strict=True)]


def collapse(dims: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """The same loop nest in the fewest dimensions (at least one): lengths 1 go, neighbours that lie evenly merge."""
    keep = [i for i, d in enumerate(dims) if d != 1]
    out = [dims[i] for i in keep]
    rows = [[s[i] for i in keep] for s in strides]
    i = 0
    while i + 1 < len(out):
        if all(r[i] == r[i + 1] * out[i + 1] for r in rows):
            out[i] *= out[i + 1]
            del out[i + 1]
            for r in rows:
                r[i] = r[i + 1]
                del r[i + 1]
        else:
            i += 1
    if not out:
        return [1], [[1] for _ in rows]
    return out, rows
