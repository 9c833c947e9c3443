"""Tensors of more than five axes, which Core ML does not have: their elements are held with the leading axes as one.

Rows of elements do not move when axes are merged, so that a reshape is all that stands between a tensor and how it is
held. What moves elements is said with axes that stay neighbours as one and without axes of length 1; where more than
five are left, one axis after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgec.targets.coreml.mil import Var

if TYPE_CHECKING:
    from edgec.targets.coreml.emission import Emission

MOST_RANK = 5
Dims = tuple[int, ...]


def held(dims: Dims) -> Dims:
    """The shape that a tensor of these dimensions has here: its own up to rank 5."""
    if len(dims) <= MOST_RANK:
        return dims
    return (math.prod(dims[: 1 - MOST_RANK]), *dims[1 - MOST_RANK :])


def reshaped(e: Emission, x: Var, dims: Dims) -> Var:
    """The elements of `x` in a shape of at most five axes. MIL's reshape makes no scalars."""
    shape = tuple(int(d) for d in x.shape)
    if shape == dims:
        return x
    if not dims:
        return e.mil("squeeze", x=x, axes=list(range(len(shape))))
    return e.mil("reshape", x=x, shape=list(dims))


def around(dims: Dims, axis: int) -> Dims:
    """A shape as [axes before, the axis, axes behind]."""
    return math.prod(dims[:axis]), dims[axis], math.prod(dims[axis + 1 :])


def transposed(e: Emission, x: Var, dims: Dims, perm: Sequence[int]) -> Var:
    """`x`, which holds a tensor of `dims`, with axes permuted, held as the result."""
    if len(dims) <= MOST_RANK:
        return x if list(perm) == sorted(perm) else e.mil("transpose", x=x, perm=list(perm))
    result = held(tuple(dims[p] for p in perm))
    dims, order = _merged(dims, perm)
    while len(dims) > MOST_RANK:
        # the first axis out of place goes where it belongs, past what stands between as one
        at = next(i for i, p in enumerate(order) if p != i)
        source = order[at]
        parts = math.prod(dims[:at]), math.prod(dims[at:source]), dims[source], math.prod(dims[source + 1 :])
        x = e.mil("transpose", x=reshaped(e, x, parts), perm=[0, 2, 1, 3])
        now = [*range(at), source, *(i for i in range(at, len(dims)) if i != source)]
        dims, order = _merged(tuple(dims[i] for i in now), [now.index(p) for p in order])
    if list(order) != sorted(order):
        x = e.mil("transpose", x=reshaped(e, x, dims), perm=list(order))
    return reshaped(e, x, result)


def _merged(dims: Dims, perm: Sequence[int]) -> tuple[Dims, list[int]]:
    """The same permutation of fewer axes: without those of length 1, and with those that stay neighbours as one."""
    runs: list[list[int]] = []
    long = [i for i, d in enumerate(dims) if d != 1]
    place = {axis: i for i, axis in enumerate(long)}
    for axis in (p for p in perm if dims[p] != 1):
        if runs and place[axis] == place[runs[-1][-1]] + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    order = sorted(range(len(runs)), key=lambda i: runs[i][0])
    return tuple(math.prod(dims[i] for i in runs[k]) for k in order), [order.index(i) for i in range(len(runs))]


def broadcasted(e: Emission, x: Var, dims: Dims, shape: Dims) -> Var:
    """`x`, which holds a tensor of `dims`, repeated to `shape`, held as the result."""
    dims = (1,) * (len(shape) - len(dims)) + dims
    runs: list[list[int]] = []  # [length, times], neighbours of a kind as one
    for have, want in zip(dims, shape, strict=True):
        if want == 1:
            continue
        repeats = have != want
        if runs and (runs[-1][1] > 1) == repeats:
            runs[-1][1 if repeats else 0] *= want
        else:
            runs.append([1, want] if repeats else [want, 1])
    if len(runs) <= MOST_RANK:
        if any(times > 1 for _, times in runs):
            x = reshaped(e, x, tuple(length for length, _ in runs))
            x = e.mil("tile", x=x, reps=[times for _, times in runs])
        return reshaped(e, x, held(shape))
    sizes = [length for length, _ in runs]
    for i, (_, times) in enumerate(runs):
        if times > 1:
            x = e.mil("tile", x=reshaped(e, x, around(tuple(sizes), i)), reps=[1, times, 1])
            sizes[i] = times
    return reshaped(e, x, held(shape))


def along(e: Emission, x: Var, dims: Dims, axis: int) -> tuple[Var, int]:
    """`x`, which holds a tensor of `dims`, and where `axis` is in it: of more than five axes the middle of three."""
    return (x, axis) if len(dims) <= MOST_RANK else (reshaped(e, x, around(dims, axis)), 1)


def grouped(dims: Dims, axes: Sequence[int]) -> tuple[Dims, list[int]]:
    """A shape and some of its axes, with neighbours that are both among those, or both not, as one."""
    runs: list[tuple[bool, int]] = []
    for axis, length in enumerate(dims):
        among = axis in axes
        if runs and runs[-1][0] == among:
            runs[-1] = (among, runs[-1][1] * length)
        else:
            runs.append((among, length))
    return tuple(n for _, n in runs), [i for i, (among, _) in enumerate(runs) if among]
