"""Operators that move elements: reshape, transpose, broadcast, slice, concat, pad, gather, scatter, top-k."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IndexBeyond, IRError
from edgec.ir.ops import row_rules
from edgec.ir.ops.operands import computed, operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.types import Type

Array = np.ndarray[Any, Any]
INDEX_TYPES = ("i64", "i32")


def _infer_reshape(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = operand(types, 0, "reshape")
    shape = tuple(a["shape"])
    if min(shape, default=0) < 0 or math.prod(shape) != x.size:
        raise IRError(f"reshape: {x} has {x.size} elements and cannot become {list(shape)}")
    return [Type(x.dtype, shape)]


def _infer_transpose(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = operand(types, 0, "transpose")
    if sorted(a["perm"]) != list(range(x.rank)):
        raise IRError(f"transpose: {a['perm']} is not a permutation of the {x.rank} axes of {x}")
    return [x.permuted(tuple(a["perm"]))]


def _infer_broadcast(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, shape = operand(types, 0, "broadcast_to"), tuple(a["shape"])
    try:
        legal = np.broadcast_shapes(x.dims, shape) == shape
    except ValueError:
        legal = False
    if not legal:
        raise IRError(f"broadcast_to: {x} does not broadcast to {list(shape)}")
    return [Type(x.dtype, shape)]


def _infer_slice(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = operand(types, 0, "slice")
    starts, stops, steps = a["starts"], a["stops"], a["steps"]
    if not len(starts) == len(stops) == len(steps) == x.rank:
        raise IRError(f"slice: starts, stops and steps need one entry for each of the {x.rank} axes of {x}")
    out = []
    for start, stop, step, size in zip(starts, stops, steps, x.dims, strict=True):
        if step == 0:
            raise IRError("slice: a step is 0")
        count = max(0, -(-(stop - start) // step))
        if count and not (0 <= start < size and 0 <= start + (count - 1) * step < size):
            raise IRError(f"slice: {start}:{stop}:{step} leaves the axis of length {size}")
        out.append(count)
    return [Type(x.dtype, tuple(out))]


def slices(a: Any) -> tuple[slice, ...]:
    """numpy slices of a slice op; a stop of -1 under a negative step means 'before 0'."""
    return tuple(
        slice(start, None if step < 0 and stop < 0 else stop, step)
        for start, stop, step in zip(a["starts"], a["stops"], a["steps"], strict=True)
    )


def _infer_concat(types: Sequence[Type | None], a: Any) -> list[Type]:
    first = operand(types, 0, "concat")
    axis = a["axis"]
    if not 0 <= axis < first.rank:
        raise IRError(f"concat: axis {axis} is not one of the {first.rank} axes of {first}")
    total = 0
    for i in range(len(types)):
        t = operand(types, i, "concat")
        if t.dtype != first.dtype or t.rank != first.rank:
            raise IRError(f"concat: {first} and {t} differ in dtype or rank")
        if any(x != y for j, (x, y) in enumerate(zip(t.dims, first.dims, strict=True)) if j != axis):
            raise IRError(f"concat: {first} and {t} differ outside axis {axis}")
        total += t.dims[axis]
    return [Type(first.dtype, (*first.dims[:axis], total, *first.dims[axis + 1 :]))]


def _infer_pad(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = operand(types, 0, "pad")
    before, after = a["before"], a["after"]
    if len(before) != x.rank or len(after) != x.rank or min((*before, *after), default=0) < 0:
        raise IRError(f"pad: before and after need one entry >= 0 for each of the {x.rank} axes of {x}")
    if a["mode"] not in ("constant", "reflect", "edge", "wrap"):
        raise IRError(f"pad has no mode {a['mode']!r}; legal: constant, reflect, edge, wrap")
    for size, b, e in zip(x.dims, before, after, strict=True):
        if a["mode"] != "constant" and size == 0 and b + e:
            raise IRError(f"pad: an empty axis of {x} cannot be padded by {a['mode']}")
    return [Type(x.dtype, tuple(b + d + e for b, d, e in zip(before, x.dims, after, strict=True)))]


def _evaluate_pad(v: Sequence[Any], a: Any) -> list[Array]:
    widths = list(zip(a["before"], a["after"], strict=True))
    if a["mode"] == "constant":
        value = np.asarray(a["value"]).astype(v[0].dtype)
        return [np.pad(v[0], widths, constant_values=value) if widths else v[0]]
    return [np.pad(v[0], widths, mode=a["mode"]) if widths else v[0]]


def _index_type(kind: str, t: Type) -> None:
    if t.dtype not in INDEX_TYPES:
        raise IRError(f"{kind}: indices are {t.dtype}; legal: {', '.join(INDEX_TYPES)}")


def _wrapped(kind: str, index: Array, size: int) -> Array:
    if index.size and (index.min() < -size or index.max() >= size):
        raise IndexBeyond(f"{kind}: an index is outside [{-size}, {size})")
    return np.where(index < 0, index + size, index)


def _infer_gather(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, index = operand(types, 0, "gather"), operand(types, 1, "gather")
    _index_type("gather", index)
    axis = a["axis"]
    if not 0 <= axis < x.rank:
        raise IRError(f"gather: axis {axis} is not one of the {x.rank} axes of {x}")
    return [Type(x.dtype, (*x.dims[:axis], *index.dims, *x.dims[axis + 1 :]))]


def _evaluate_gather(v: Sequence[Any], a: Any) -> list[Array]:
    return [np.asarray(np.take(v[0], _wrapped("gather", v[1], v[0].shape[a["axis"]]), axis=a["axis"]))]


def _infer_gather_elements(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, index = operand(types, 0, "gather_elements"), operand(types, 1, "gather_elements")
    _index_type("gather_elements", index)
    if index.rank != x.rank or not 0 <= a["axis"] < x.rank:
        raise IRError(f"gather_elements: {x} and {index} differ in rank, or there is no axis {a['axis']}")
    if any(i > d for j, (i, d) in enumerate(zip(index.dims, x.dims, strict=True)) if j != a["axis"]):
        raise IRError(f"gather_elements: the indices {index} reach outside {x}")
    return [Type(x.dtype, index.shape)]


def _elements(index: Array, axis: int, size: int, kind: str) -> tuple[Any, ...]:
    at: list[Any] = list(np.indices(index.shape, sparse=True))
    at[axis] = _wrapped(kind, index, size)
    return tuple(at)


def _evaluate_gather_elements(v: Sequence[Any], a: Any) -> list[Array]:
    return [v[0][_elements(v[1], a["axis"], v[0].shape[a["axis"]], "gather_elements")]]


def _infer_gather_nd(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, index = operand(types, 0, "gather_nd"), operand(types, 1, "gather_nd")
    _index_type("gather_nd", index)
    b = a["batch_dims"]
    if index.rank < 1 or not 0 <= b < min(x.rank, index.rank) or not 1 <= index.dims[-1] <= x.rank - b:
        raise IRError(f"gather_nd: the indices {index} do not fit {x} with {b} batch dimensions")
    if x.dims[:b] != index.dims[:b]:
        raise IRError(f"gather_nd: {x} and {index} differ in their batch dimensions")
    return [Type(x.dtype, (*index.dims[:-1], *x.dims[b + index.dims[-1] :]))]


def _evaluate_gather_nd(v: Sequence[Any], a: Any) -> list[Array]:
    x, index, b = v[0], v[1], a["batch_dims"]
    depth = index.shape[-1]
    batch = math.prod(x.shape[:b])
    xs, rows = x.reshape(batch, *x.shape[b:]), index.reshape(batch, -1, depth)
    at = tuple(_wrapped("gather_nd", rows[..., i], xs.shape[1 + i]) for i in range(depth))
    picked = xs[(np.arange(batch)[:, None], *at)]
    return [picked.reshape((*index.shape[:-1], *x.shape[b + depth :]))]


def _wide(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x


def _combine(target: Array, at: Any, updates: Array, reduction: str) -> None:
    ufunc = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}.get(reduction)
    if ufunc is None:
        target[at] = updates
    else:
        ufunc.at(target, at, updates)


def _check_reduction(kind: str, types: Sequence[Type | None], a: Any) -> None:
    if a["reduction"] not in ("none", "add", "mul", "max", "min"):
        raise IRError(f"{kind} has no reduction {a['reduction']!r}; legal: none, add, mul, max, min")
    if a["reduction"] != "none":
        computed(types, 0, kind)


def _infer_scatter_elements(types: Sequence[Type | None], a: Any) -> list[Type]:
    kind = "scatter_elements"
    x, index, updates = (operand(types, i, kind) for i in range(3))
    _index_type(kind, index)
    _check_reduction(kind, types, a)
    if index.rank != x.rank or index.dims != updates.dims or updates.dtype != x.dtype or not 0 <= a["axis"] < x.rank:
        raise IRError(f"{kind}: {x}, {index}, {updates} and axis {a['axis']} do not fit")
    if any(i > d for j, (i, d) in enumerate(zip(index.dims, x.dims, strict=True)) if j != a["axis"]):
        raise IRError(f"{kind}: the indices {index} reach outside {x}")
    return [Type(x.dtype, x.shape)]


def _evaluate_scatter_elements(v: Sequence[Any], a: Any) -> list[Array]:
    y = v[0].copy()
    _combine(y, _elements(v[1], a["axis"], y.shape[a["axis"]], "scatter_elements"), v[2], a["reduction"])
    return [y]


def _infer_scatter_nd(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, index, updates = (operand(types, i, "scatter_nd") for i in range(3))
    _index_type("scatter_nd", index)
    _check_reduction("scatter_nd", types, a)
    if index.rank < 1 or not 1 <= index.dims[-1] <= x.rank or updates.dtype != x.dtype:
        raise IRError(f"scatter_nd: the indices {index} do not fit {x}")
    if updates.dims != (*index.dims[:-1], *x.dims[index.dims[-1] :]):
        raise IRError(f"scatter_nd: the updates {updates} do not fit {x} at {index}")
    return [Type(x.dtype, x.shape)]


def _evaluate_scatter_nd(v: Sequence[Any], a: Any) -> list[Array]:
    y = v[0].copy()
    at = tuple(_wrapped("scatter_nd", v[1][..., i], y.shape[i]) for i in range(v[1].shape[-1]))
    _combine(y, at, v[2], a["reduction"])
    return [y]


def _infer_topk(types: Sequence[Type | None], a: Any) -> list[Type]:
    x = computed(types, 0, "topk")
    axis = a["axis"]
    if not 0 <= axis < x.rank or not 0 <= a["k"] <= x.dims[axis]:
        raise IRError(f"topk: k={a['k']} on axis {axis} does not fit {x}")
    shape = (*x.dims[:axis], a["k"], *x.dims[axis + 1 :])
    return [Type(x.dtype, shape), Type("i64", shape)]


def _evaluate_topk(v: Sequence[Any], a: Any) -> list[Array]:
    x, axis = v[0], a["axis"]
    keys = _wide(x)  # bfloat16 has no order for NaN
    if a["largest"]:
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(keys, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(keys, axis=axis, kind="stable")
    picked = np.take(order, np.arange(a["k"]), axis=axis).astype(np.int64)
    return [np.take_along_axis(x, picked, axis), picked]


ROWS: list[OpRow] = [
    OpRow("reshape", "shape", (1, 1), _infer_reshape, lambda v, a: [v[0].reshape(a["shape"])], {"shape": REQUIRED}),
    OpRow(
        "transpose",
        "shape",
        (1, 1),
        _infer_transpose,
        lambda v, a: [np.ascontiguousarray(v[0].transpose(a["perm"])) if v[0].ndim else v[0]],
        {"perm": REQUIRED},
        row_rules.transpose,
    ),
    OpRow(
        "broadcast_to",
        "shape",
        (1, 1),
        _infer_broadcast,
        lambda v, a: [np.broadcast_to(v[0], a["shape"]).copy()],
        {"shape": REQUIRED},
    ),
    OpRow(
        "slice",
        "shape",
        (1, 1),
        _infer_slice,
        lambda v, a: [v[0][slices(a)].copy()],
        {"starts": REQUIRED, "stops": REQUIRED, "steps": REQUIRED},
        row_rules.slices,
    ),
    OpRow(
        "concat", "shape", (1, -1), _infer_concat, lambda v, a: [np.concatenate(v, axis=a["axis"])], {"axis": REQUIRED},
        row_rules.concat,
    ),
    OpRow(
        "pad",
        "shape",
        (1, 1),
        _infer_pad,
        _evaluate_pad,
        {"before": REQUIRED, "after": REQUIRED, "mode": "constant", "value": 0.0},
        row_rules.pad,
    ),
    OpRow("gather", "index", (2, 2), _infer_gather, _evaluate_gather, {"axis": REQUIRED}, row_rules.gather),
    OpRow("gather_elements", "index", (2, 2), _infer_gather_elements, _evaluate_gather_elements, {"axis": REQUIRED}),
    OpRow("gather_nd", "index", (2, 2), _infer_gather_nd, _evaluate_gather_nd, {"batch_dims": 0}),
    OpRow(
        "scatter_elements",
        "index",
        (3, 3),
        _infer_scatter_elements,
        _evaluate_scatter_elements,
        {"axis": REQUIRED, "reduction": "none"},
    ),
    OpRow("scatter_nd", "index", (3, 3), _infer_scatter_nd, _evaluate_scatter_nd, {"reduction": "none"}),
    OpRow(
        "topk",
        "index",
        (1, 1),
        _infer_topk,
        _evaluate_topk,
        {"k": REQUIRED, "axis": REQUIRED, "largest": True, "sorted": True},
    ),
]
