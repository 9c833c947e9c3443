"""Pooling over the spatial axes of [n, C, *spatial]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, room
from edgec.runtime.coreml.windows import padding, per_axis, windows
from edgec.runtime.coreml.wire import Array


def _view(call: Call, x: Array, fill: float) -> tuple[Array, Array]:
    """All windows of x, and of ones in x, zeros in padding and NaN behind that, where only ceil_mode reaches."""
    spatial = x.ndim - 2
    kernel = call.integers("kernel_sizes")
    if len(kernel) != spatial or min(kernel, default=0) < 1:
        raise ValueError(f"kernel_sizes is {kernel}, and {spatial} positive numbers are needed")
    strides = per_axis(call, "strides", spatial)
    pads = padding(call, x.shape[2:], kernel, strides)
    room([s + p + q for s, (p, q) in zip(x.shape, [(0, 0), (0, 0), *pads], strict=True)])
    inside = np.pad(np.ones((1, 1, *x.shape[2:]), np.float32), [(0, 0), (0, 0), *pads])
    if call.flag("ceil_mode"):
        pads, inside = _overhanging(call, x, kernel, strides, pads, inside)
    padded = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    ones = [1] * spatial
    return windows(padded, kernel, strides, ones), windows(inside, kernel, strides, ones)


def _overhanging(
    call: Call, x: Array, kernel: list[int], strides: list[int], pads: list[tuple[int, int]], inside: Array
) -> tuple[list[tuple[int, int]], Array]:
    """Padding behind for windows that begin inside and end outside, as PyTorch's ceil_mode counts them."""
    if call.text("pad_type", "valid") not in ("valid", "custom") or any(p != q for p, q in pads):
        raise ValueError("ceil_mode needs pad_type 'valid' or 'custom' with as much padding before as behind")
    more = []
    for size, k, stride, (before, behind) in zip(x.shape[2:], kernel, strides, pads, strict=True):
        whole = size + before + behind
        count = -(-(whole - k) // stride) + 1
        if (count - 1) * stride >= size + before and before + behind > 0:
            count -= 1
        more.append(max(0, (count - 1) * stride + k - whole))
    room([*x.shape[:2], *(s + p + q + m for s, (p, q), m in zip(x.shape[2:], pads, more, strict=True))])
    beyond = [(0, 0), (0, 0), *((0, m) for m in more)]
    return [(p, q + m) for (p, q), m in zip(pads, more, strict=True)], np.pad(inside, beyond, constant_values=np.nan)


def _axes(x: Array) -> tuple[int, ...]:
    return tuple(range(x.ndim, 2 * x.ndim - 2))


def _max_pool(call: Call) -> Array:
    x = call.real("x")
    view, _ = _view(call, x, -np.inf)
    return np.asarray(view.max(axis=_axes(x)))


def _avg_pool(call: Call) -> Array:
    x = call.real("x")
    view, inside = _view(call, x, 0)
    axes = _axes(x)
    if call.flag("exclude_padding_from_average"):
        counts = np.nansum(inside, axis=axes)
    else:
        counts = (~np.isnan(inside)).sum(axis=axes)
    return np.asarray((view.sum(axis=axes) / counts).astype(np.float32))


def _l2_pool(call: Call) -> Array:
    x = call.real("x")
    view, _ = _view(call, np.square(x), 0)
    return np.asarray(np.sqrt(view.sum(axis=_axes(x))))


MEANINGS: dict[str, Callable[[Call], Array]] = {"max_pool": _max_pool, "avg_pool": _avg_pool, "l2_pool": _l2_pool}
