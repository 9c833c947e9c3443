"""Gather and scatter.

Until CoreML6 a negative index counts from the end. From CoreML7 on it is out of bounds, and what an index out of bounds
means is undefined when `validate_indices` is false; it is an error here in any case, as no caller can want it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, axis_of, room
from edgec.runtime.coreml.wire import Array


def _checked(call: Call, indices: Array, size: int) -> Array:
    """Indices from 0 on; ValueError when one lies outside."""
    found = indices.astype(np.int64)
    if call.opset < 7:
        found = np.where(found < 0, found + size, found)
    if found.size and (int(found.min()) < 0 or int(found.max()) >= size):
        worst = int(found.min()) if int(found.min()) < 0 else int(found.max())
        raise ValueError(f"the index {worst} is outside of an axis of {size} elements")
    return found


def _gather(call: Call) -> Array:
    x, indices, batch = call.array("x"), call.array("indices"), call.integer("batch_dims", 0)
    axis = axis_of(call.integer("axis", 0), x.ndim)
    indices = _checked(call, indices, x.shape[axis])
    if not 0 <= batch <= min(axis, indices.ndim) or x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"batch_dims {batch} does not fit x {list(x.shape)} and indices {list(indices.shape)}")
    room([*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :]])
    if batch == 0:
        return np.take(x, indices, axis)
    flat = x.reshape(-1, *x.shape[batch:])
    rows = indices.reshape(flat.shape[0], *indices.shape[batch:])
    number = np.arange(len(flat)).reshape(-1, *[1] * (rows.ndim - 1))
    before = axis - batch
    found = np.moveaxis(flat, before + 1, 1)[number, rows]  # [batch, indices, axes before, axes behind]
    found = np.moveaxis(found, range(rows.ndim, rows.ndim + before), range(1, 1 + before))
    return found.reshape(*x.shape[:batch], *found.shape[1:])


def _along(call: Call, data: Array) -> tuple[int, Array]:
    """The axis, and indices from 0 on: of the shape of data but for that axis."""
    indices, axis = call.array("indices"), axis_of(call.integer("axis", 0), data.ndim)
    if (*indices.shape[:axis], *indices.shape[axis + 1 :]) != (*data.shape[:axis], *data.shape[axis + 1 :]):
        raise ValueError(f"indices {list(indices.shape)} may differ from {list(data.shape)} in axis {axis} only")
    return axis, _checked(call, indices, data.shape[axis])


def _gather_along_axis(call: Call) -> Array:
    x = call.array("x")
    axis, indices = _along(call, x)
    return np.take_along_axis(x, indices, axis)


def _coordinates(call: Call, indices: Array, sizes: tuple[int, ...]) -> tuple[Array, ...]:
    """The last axis of indices as one array an axis."""
    depth = indices.shape[-1]
    if depth > len(sizes):
        raise ValueError(f"indices of {depth} numbers do not fit an array of the shape {list(sizes)}")
    return tuple(_checked(call, indices[..., i], sizes[i]) for i in range(depth))


def _gather_nd(call: Call) -> Array:
    x, indices, batch = call.array("x"), call.array("indices"), call.integer("batch_dims", 0)
    if not 0 <= batch < indices.ndim or x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"batch_dims {batch} does not fit x {list(x.shape)} and indices {list(indices.shape)}")
    places = np.ogrid[tuple(slice(size) for size in x.shape[:batch])] if batch else []
    grown = [p.reshape(p.shape + (1,) * (indices.ndim - 1 - batch)) for p in places]
    room([*indices.shape[:-1], *x.shape[batch + indices.shape[-1] :]])
    return np.asarray(x[(*grown, *_coordinates(call, indices, x.shape[batch:]))])


MODES: dict[str, Callable[[Array, tuple[Array, ...], Array], None]] = {
    "add": np.add.at,
    "sub": np.subtract.at,
    "mul": np.multiply.at,
    "div": np.divide.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _scattered(call: Call, places: tuple[Array, ...], updates: Array) -> Array:
    """`updates` put at places of data by the mode; of several at one place, the last one for `update`."""
    mode = call.text("mode", "add", (*MODES, "update"))
    y = np.array(call.real("data"))
    shape = np.broadcast_shapes(*(p.shape for p in places)) + y.shape[len(places) :]
    if updates.shape != shape:
        raise ValueError(f"updates have shape {list(updates.shape)} and should have {list(shape)}")
    if mode == "update":
        y[places] = updates
    elif mode == "div" and y.dtype.kind in "iu":
        raise ValueError("how integers are divided is not documented")
    else:
        MODES[mode](y, places, updates)
    return y


def _scatter(call: Call) -> Array:
    data, indices = call.array("data"), call.array("indices")
    axis = axis_of(call.integer("axis", 0), data.ndim)
    where = _checked(call, indices, data.shape[axis])
    if where.ndim != 1:
        raise ValueError(f"indices have shape {list(where.shape)} and should have one axis")
    shape = [where.size if a == axis else size for a, size in enumerate(data.shape)]
    grids = [np.arange(size).reshape([-1 if a == i else 1 for a in range(data.ndim)]) for i, size in enumerate(shape)]
    grids[axis] = where.reshape(grids[axis].shape)
    return _scattered(call, tuple(grids), call.real("updates"))


def _scatter_along_axis(call: Call) -> Array:
    axis, indices = _along(call, call.array("data"))
    grids = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
    grids[axis] = indices
    return _scattered(call, tuple(grids), call.real("updates"))


def _scatter_nd(call: Call) -> Array:
    indices = call.array("indices")
    return _scattered(call, _coordinates(call, indices, call.array("data").shape), call.real("updates"))


MEANINGS: dict[str, Callable[[Call], Array]] = {
    "gather": _gather,
    "gather_along_axis": _gather_along_axis,
    "gather_nd": _gather_nd,
    "scatter": _scatter,
    "scatter_along_axis": _scatter_along_axis,
    "scatter_nd": _scatter_nd,
}
