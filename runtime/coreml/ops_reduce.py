"""Reductions, sorting, cumulative sums and what looks for elements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, axis_of, room
from edgec.runtime.coreml.wire import Array


def _over_axes(function: Callable[[Array, tuple[int, ...], bool], Array]) -> Callable[[Call], Array]:
    """Integers are reduced exactly and converted towards zero at the end."""

    def meaning(call: Call) -> Array:
        x = call.real("x")
        axes = tuple(axis_of(a, x.ndim) for a in call.integers("axes", list(range(x.ndim))))
        found = np.asarray(function(x, axes, call.flag("keep_dims")))
        return np.asarray(np.trunc(found), x.dtype) if x.dtype.kind in "iu" else found

    return meaning


def _log_sum_exp(x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    top = x.max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    found = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
    return np.asarray(found if keep else np.squeeze(found, axes))


def _arg(function: Callable[..., Array]) -> Callable[[Call], Array]:
    """The first of equal ones: MIL leaves open which."""

    def meaning(call: Call) -> Array:
        x = call.real("x")
        axis = axis_of(call.integer("axis", -1), x.ndim)
        return np.asarray(function(x, axis=axis, keepdims=call.flag("keep_dims"))).astype(_index_type(call))

    return meaning


def _index_type(call: Call) -> np.dtype[np.generic]:
    return call.named_type("output_dtype", "int32").numpy


def _order(x: Array, axis: int, ascending: bool) -> Array:
    """Indices that sort; equal elements in order of their index."""
    if ascending:
        return np.argsort(x, axis=axis, kind="stable")
    flipped = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.asarray(x.shape[axis] - 1 - np.flip(flipped, axis))


def _argsort(call: Call) -> Array:
    x = call.real("x")
    axis = axis_of(call.integer("axis", -1), x.ndim)
    return _order(x, axis, call.flag("ascending")).astype(np.int32)


def _topk(call: Call) -> Array | tuple[Array, ...]:
    x = call.array("x")
    axis, k = axis_of(call.integer("axis", -1), x.ndim), call.integer("k", 1)
    if k == -1 and call.opset >= 7:
        k = x.shape[axis]
    if not 0 < k <= x.shape[axis]:
        raise ValueError(f"k is {k}, and the axis has {x.shape[axis]} elements")
    indices = np.take(_order(x, axis, call.flag("ascending")), np.arange(k), axis)
    values = np.take_along_axis(x, indices, axis)
    if not call.flag("return_indices", True):
        return values
    return values, indices.astype(call.named_type("output_indices_dtype", "int32").numpy)


def _cumsum(call: Call) -> Array:
    x = call.real("x")
    axis = axis_of(call.integer("axis", 0), x.ndim)
    reverse = call.flag("reverse")
    x = np.flip(x, axis) if reverse else x
    sums = np.cumsum(x, axis=axis, dtype=x.dtype)
    if call.flag("exclusive"):
        first = np.zeros_like(np.take(sums, [0], axis))
        sums = np.concatenate([first, np.take(sums, np.arange(x.shape[axis] - 1), axis)], axis)
    return np.flip(sums, axis) if reverse else sums


def _band_part(call: Call) -> Array:
    x, lower, upper = call.array("x"), call.integer("lower", -1), call.integer("upper", -1)
    m, n = np.ogrid[: x.shape[-2], : x.shape[-1]]
    band = ((lower < 0) | (m - n <= lower)) & ((upper < 0) | (n - m <= upper))
    return np.where(band, x, np.zeros((), x.dtype))


def _one_hot(call: Call) -> Array:
    indices, size = call.array("indices"), call.integer("one_hot_vector_size")
    axis = axis_of(call.integer("axis", -1), indices.ndim + 1)
    on = call.array("on_value").reshape(()) if call.has("on_value") else np.int32(1)
    off = call.array("off_value").reshape(()) if call.has("off_value") else np.zeros((), on.dtype)
    room([*indices.shape, size])
    return np.moveaxis(np.where(indices[..., None] == np.arange(size), on, off), -1, axis)


def _fill(call: Call) -> Array:
    value = call.array("value").reshape(()) if call.has("value") else np.float32(0)
    return np.full(room(call.integers("shape")), value)


def _fill_like(call: Call) -> Array:
    value = call.array("value").reshape(()) if call.has("value") else np.float32(0)
    return np.full(call.array("ref_tensor").shape, value)


def _range_1d(call: Call) -> Array:
    start, end, step = (call.real(name).reshape(()) for name in ("start", "end", "step"))
    if step == 0:
        raise ValueError("step is 0")
    count = max(0, int(np.ceil((float(end) - float(start)) / float(step))))
    room([count])
    return np.asarray(start + np.arange(count, dtype=start.dtype) * step)


MEANINGS: dict[str, Callable[[Call], Array | tuple[Array, ...]]] = {
    "reduce_max": _over_axes(lambda x, a, k: x.max(axis=a, keepdims=k)),
    "reduce_min": _over_axes(lambda x, a, k: x.min(axis=a, keepdims=k)),
    "reduce_sum": _over_axes(lambda x, a, k: x.sum(axis=a, keepdims=k)),
    "reduce_prod": _over_axes(lambda x, a, k: x.prod(axis=a, keepdims=k)),
    "reduce_mean": _over_axes(lambda x, a, k: x.mean(axis=a, keepdims=k)),
    "reduce_l1_norm": _over_axes(lambda x, a, k: np.abs(x).sum(axis=a, keepdims=k)),
    "reduce_l2_norm": _over_axes(lambda x, a, k: np.sqrt(np.square(x).sum(axis=a, keepdims=k))),
    "reduce_log_sum": _over_axes(lambda x, a, k: np.log(x.sum(axis=a, keepdims=k))),
    "reduce_log_sum_exp": _over_axes(_log_sum_exp),
    "reduce_sum_square": _over_axes(lambda x, a, k: np.square(x).sum(axis=a, keepdims=k)),
    "reduce_argmax": _arg(np.argmax),
    "reduce_argmin": _arg(np.argmin),
    "argsort": _argsort,
    "topk": _topk,
    "cumsum": _cumsum,
    "band_part": _band_part,
    "one_hot": _one_hot,
    "fill": _fill,
    "fill_like": _fill_like,
    "range_1d": _range_1d,
    "non_zero": lambda call: np.argwhere(call.array("x")).astype(np.int32),
}
