"""Resize: MIL's operators where their documented grid is the model's, else elements picked by index and products by
matrices of interpolation, one an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.ops.resize import axis_taps, resized_axes, weights
from edgec.targets.coreml.emission import Emission, Route, dtype_of
from edgec.targets.coreml.mil import Var

Array = np.ndarray[Any, Any]
SAMPLING = ("UNALIGN_CORNERS", "STRICT_ALIGN_CORNERS", "DEFAULT")


def _resize(e: Emission, op: Op) -> Var:
    a: Any = op.attrs
    x, dims = e.operand(op, 0), op.arg(0).type.dims
    axes = resized_axes(a, dims)
    if a["mode"] == "nearest":
        y = _nearest(e, x, a, dims, axes)
    else:
        y = _bilinear(e, x, a, dims, axes) or _interpolated(e, x, a, dims, axes)
    beyond = np.zeros((1,) * len(dims), np.bool_)
    for axis in axes:
        outside = axis_taps(a, axis, dims[axis])[2]
        beyond = beyond | outside.reshape([-1 if i == axis else 1 for i in range(len(dims))])
    if not beyond.any():
        return y
    full = np.ascontiguousarray(np.broadcast_to(beyond, op.result.type.dims))
    return e.mil("select", cond=e.const(full), a=e.const(np.asarray(a["extrapolation"]), dtype_of(y)), b=y)


def _nearest(e: Emission, x: Var, a: Any, dims: tuple[int, ...], axes: list[int]) -> Var:
    picked = {axis: axis_taps(a, axis, dims[axis])[0][:, 0] for axis in axes}
    rank = len(dims)
    times = [len(picked[i]) // dims[i] if i in picked else 1 for i in range(rank)]
    repeats = all(np.array_equal(picked[i], np.repeat(np.arange(dims[i]), times[i])) for i in axes)
    if repeats and rank >= 3 and set(axes) <= {rank - 2, rank - 1} and dtype_of(x) != "i32":
        return e.mil("upsample_nearest_neighbor", x=x, scale_factor_height=times[-2], scale_factor_width=times[-1])
    for axis in axes:
        if not np.array_equal(picked[axis], np.arange(dims[axis])):
            x = e.mil("gather", x=x, indices=e.const(picked[axis]), axis=axis)
    return x


def _bilinear(e: Emission, x: Var, a: Any, dims: tuple[int, ...], axes: list[int]) -> Var | None:
    """MIL's operator, if one of its ways to sample gives the same weights on both axes."""
    rank = len(dims)
    if a["mode"] != "linear" or rank < 3 or not set(axes) <= {rank - 2, rank - 1}:
        return None
    for mode in SAMPLING:
        if all(
            np.allclose(weights(a, i, dims[i]), _grid_weights(mode, dims[i], a["sizes"][i]), atol=1e-6) for i in axes
        ):
            height, width = a["sizes"][-2:]
            return e.mil(
                "resize_bilinear", x=x, target_size_height=height, target_size_width=width, sampling_mode=mode
            )
    return None


def _grid_weights(mode: str, size: int, out: int) -> Array:
    """f64[out, in] of a sampling mode, as MIL's documentation of resize_bilinear has it."""
    i = np.arange(out, dtype=np.float64)
    if mode == "UNALIGN_CORNERS":
        grid = (i + 0.5) * size / out - 0.5
    elif out == 1:
        grid = np.zeros(1)
    elif mode == "STRICT_ALIGN_CORNERS":
        grid = i * (size - 1) / (out - 1)
    else:
        grid = i * (size - size / out) / (out - 1)
    distance = np.abs(np.clip(grid, 0, size - 1)[:, None] - np.arange(size))
    return np.asarray(np.clip(1 - distance, 0, None))


def _interpolated(e: Emission, x: Var, a: Any, dims: tuple[int, ...], axes: list[int]) -> Var:
    """A product by a constant matrix along each axis; the last two axes stay where they are."""
    rank = len(dims)
    for axis in axes:
        matrix = weights(a, axis, dims[axis])
        if axis == rank - 2:
            x = e.mil("matmul", x=e.const(matrix, dtype_of(x)), y=x)
            continue
        perm = [i for i in range(rank) if i != axis] + [axis]
        moved = x if axis == rank - 1 else e.mil("transpose", x=x, perm=perm)
        if rank == 1:
            moved = e.mil("expand_dims", x=moved, axes=[0])
        x = e.mil("matmul", x=moved, y=e.const(matrix, dtype_of(x)), transpose_y=True)
        if rank == 1:
            x = e.mil("squeeze", x=x, axes=[0])
        if axis != rank - 1:
            x = e.mil("transpose", x=x, perm=[perm.index(i) for i in range(rank)])
    return x


ROUTES: dict[str, Route] = {"resize": _resize}
