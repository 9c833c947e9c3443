"""Elements by index: gather and scatter.

Indices of MIL's operators are >= 0 (from iOS 17 on); those of the IR may count from the end. What MIL has not in all
its forms, several indices or another shape, is one index into fewer axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, Route, dtype_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import MOST_RANK, around, held, reshaped
from edgec.targets.coreml.routes.integer import wrapped

Array = np.ndarray[Any, Any]
COUNTED = ("argmax", "argmin", "topk")  # make indices that are >= 0
MODES = {"none": "update"}


def _from_start(e: Emission, op: Op, i: int, sizes: Array | int) -> Var | Array:
    """Operand i, indices into axes of `sizes`, counted from the start: an array where it is constant."""
    known = e.array(op, i)
    if known is not None:
        return np.where(known < 0, known + sizes, known)
    value = op.arg(i)
    index = e.held(value)
    if value.op is not None and value.op.kind in COUNTED:
        return index
    below = e.cast(e.mil("less", x=index, y=e.const(0)), "i32")
    return e.mil("add", x=index, y=e.mil("mul", x=below, y=e.const(sizes)))


def _held_index(e: Emission, index: Var | Array) -> Var:
    return e.const(np.reshape(index, held(index.shape))) if isinstance(index, np.ndarray) else index


def _through_integers(e: Emission, x: Var, pick: Callable[[Var], Var]) -> Var:
    """MIL's operators with indices do not take bools."""
    return e.cast(pick(e.cast(x, "i32")), "bool") if dtype_of(x) == "bool" else pick(x)


def _gather(e: Emission, op: Op) -> Var:
    x, axis = op.arg(0), int(op.attrs["axis"])  # type: ignore[arg-type]
    index = _held_index(e, _from_start(e, op, 1, x.type.dims[axis]))
    result = held(op.result.type.dims)
    if max(x.type.rank, op.arg(1).type.rank, op.result.type.rank) <= MOST_RANK:
        return _through_integers(e, e.made(x), lambda v: e.mil("gather", x=v, indices=index, axis=axis))
    flat = reshaped(e, index, (op.arg(1).type.size,))
    parts = reshaped(e, e.made(x), around(x.type.dims, axis))
    return reshaped(e, _through_integers(e, parts, lambda v: e.mil("gather", x=v, indices=flat, axis=1)), result)


def _rows(e: Emission, x: Var, flat: Var, shape: tuple[int, ...]) -> Var:
    """Rows of a matrix, or elements of a vector, by one index each, as a tensor of `shape`."""
    return reshaped(e, _through_integers(e, x, lambda v: e.mil("gather", x=v, indices=flat, axis=0)), held(shape))


def _flat_elements(e: Emission, op: Op, axis: int) -> Var:
    """Indices along an axis of operand 0 as indices into all of its elements."""
    dims, index_dims = op.arg(0).type.dims, op.arg(1).type.dims
    strides = [math.prod(dims[i + 1 :]) for i in range(len(dims))]
    places = np.indices(index_dims, sparse=True)
    others = sum((places[i] * strides[i] for i in range(len(dims)) if i != axis), np.zeros(index_dims, np.int64))
    index = _from_start(e, op, 1, dims[axis])
    count = op.arg(1).type.size
    if isinstance(index, np.ndarray):
        return e.const((index * strides[axis] + others).reshape(count))
    along = e.mil("mul", x=reshaped(e, index, (count,)), y=e.const(strides[axis]))
    return e.mil("add", x=along, y=e.const(others.reshape(count)))


def _along(op: Op, axis: int) -> bool:
    """Whether MIL's operators along an axis take it: the lengths of all other axes agree."""
    dims, index = op.arg(0).type.dims, op.arg(1).type.dims
    return len(dims) <= MOST_RANK and all(a == b for i, (a, b) in enumerate(zip(dims, index, strict=True)) if i != axis)


def _gather_elements(e: Emission, op: Op) -> Var:
    x, axis = e.made(op.arg(0)), int(op.attrs["axis"])  # type: ignore[arg-type]
    if _along(op, axis):
        index = _held_index(e, _from_start(e, op, 1, op.arg(0).type.dims[axis]))
        return _through_integers(e, x, lambda v: e.mil("gather_along_axis", x=v, indices=index, axis=axis))
    flat = _flat_elements(e, op, axis)
    return _rows(e, reshaped(e, x, (op.arg(0).type.size,)), flat, op.result.type.dims)


def _flat_tuples(e: Emission, op: Op, batch: int) -> Var:
    """Tuples of indices behind `batch` axes as one index into the axes that they and the batch count."""
    dims, index_dims = op.arg(0).type.dims, op.arg(1).type.dims
    depth = index_dims[-1]
    inner = dims[batch : batch + depth]
    strides = np.array([math.prod(inner[i + 1 :]) for i in range(depth)])
    outer, count = math.prod(dims[:batch]), math.prod(index_dims[:-1])
    starts = np.repeat(np.arange(outer) * math.prod(inner), count // outer)
    index = _from_start(e, op, 1, np.array(inner))
    if isinstance(index, np.ndarray):
        return e.const((index.reshape(count, depth) * strides).sum(axis=1) + starts)
    flat = e.mil("mul", x=reshaped(e, index, (count, depth)), y=e.const(strides[None]))
    flat = e.mil("reduce_sum", x=flat, axes=[1], keep_dims=False)
    return e.mil("add", x=flat, y=e.const(starts)) if outer > 1 else flat


def _gather_nd(e: Emission, op: Op) -> Var:
    dims, batch = op.arg(0).type.dims, int(op.attrs["batch_dims"])  # type: ignore[arg-type]
    indexed = batch + op.arg(1).type.dims[-1]
    matrix = (math.prod(dims[:indexed]), *((math.prod(dims[indexed:]),) if indexed < len(dims) else ()))
    return _rows(e, reshaped(e, e.made(op.arg(0)), matrix), _flat_tuples(e, op, batch), op.result.type.dims)


def _scattered(e: Emission, op: Op, kind: str, shape: tuple[int, ...], index: Var, updates: tuple[int, ...]) -> Var:
    """Operand 2 written into operand 0, seen in these shapes, along axis 0 or the operator's axis."""
    axis = int(op.attrs["axis"]) if kind == "scatter_along_axis" else 0  # type: ignore[arg-type]
    mode = str(op.attrs["reduction"])
    dtype = dtype_of(e.made(op.arg(0)))
    stored = "i32" if dtype == "bool" else dtype
    data = reshaped(e, e.cast(e.made(op.arg(0)), stored), shape)
    given = reshaped(e, e.cast(e.made(op.arg(2)), stored), updates)
    y = e.mil(kind, data=data, indices=index, updates=given, axis=axis, mode=MODES.get(mode, mode))
    if mode in ("add", "mul"):
        y = wrapped(e, y, op.arg(0).type.dtype)
    return reshaped(e, e.cast(y, dtype), held(op.result.type.dims))


def _scatter_elements(e: Emission, op: Op) -> Var:
    axis, dims = int(op.attrs["axis"]), op.arg(0).type.dims  # type: ignore[arg-type]
    if not op.arg(1).type.size:
        return e.made(op.arg(0))
    if _along(op, axis):
        index = _held_index(e, _from_start(e, op, 1, dims[axis]))
        return _scattered(e, op, "scatter_along_axis", dims, index, op.arg(2).type.dims)
    return _scattered(
        e, op, "scatter", (op.arg(0).type.size,), _flat_elements(e, op, axis), (op.arg(1).type.size,)
    )  # fmt: skip


def _scatter_nd(e: Emission, op: Op) -> Var:
    dims, depth = op.arg(0).type.dims, op.arg(1).type.dims[-1]
    if not op.arg(2).type.size:
        return e.made(op.arg(0))
    rest = (math.prod(dims[depth:]),) if depth < len(dims) else ()
    count = math.prod(op.arg(1).type.dims[:-1])
    index = _flat_tuples(e, op, 0)
    return _scattered(e, op, "scatter", (math.prod(dims[:depth]), *rest), index, (count, *rest))


ROUTES: dict[str, Route] = {
    "gather": _gather,
    "gather_elements": _gather_elements,
    "gather_nd": _gather_nd,
    "scatter_elements": _scatter_elements,
    "scatter_nd": _scatter_nd,
}
