"""Where windows of convolutions and pools lie: padding by type, output sizes, and a view of all windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.runtime.coreml.call import Call
from edgec.runtime.coreml.wire import Array

PAD_TYPES = ("valid", "custom", "same", "same_lower")


def padding(call: Call, sizes: Sequence[int], extents: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Elements before and after each spatial axis; `extents` are kernel sizes with dilation.

    `same` makes ceil(size / stride) outputs and puts the odd element behind, `same_lower` before."""
    kind = call.text("pad_type", "valid", PAD_TYPES)
    if kind == "same_lower" and call.opset < 6:
        raise ValueError("pad_type 'same_lower' needs the opset CoreML6")
    if kind == "valid":
        return [(0, 0)] * len(sizes)
    if kind == "custom":
        pad = call.integers("pad", [0] * (2 * len(sizes)))
        if len(pad) != 2 * len(sizes) or min(pad, default=0) < 0:
            raise ValueError(f"pad is {pad}, and {2 * len(sizes)} numbers from 0 on are needed")
        return [(pad[2 * i], pad[2 * i + 1]) for i in range(len(sizes))]
    found = []
    for size, extent, stride in zip(sizes, extents, strides, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + extent - size)
        less, more = total // 2, total - total // 2
        found.append((less, more) if kind == "same" else (more, less))
    return found


def per_axis(call: Call, name: str, count: int) -> list[int]:
    """Strides or dilations: one positive number an axis, 1 by default."""
    found = call.integers(name, [1] * count)
    if len(found) != count or min(found, default=1) < 1:
        raise ValueError(f"{name} is {found}, and {count} positive numbers are needed")
    return found


def windows(x: Array, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Array:
    """A view [n, C, *out, *kernel] of x [n, C, *spatial]; ValueError when no window fits."""
    view = x
    for i, (size, dilation) in enumerate(zip(kernel, dilations, strict=True)):
        extent = (size - 1) * dilation + 1
        if extent > x.shape[2 + i]:
            raise ValueError(f"a window of {extent} does not fit the {x.shape[2 + i]} elements of axis {2 + i}")
        view = np.lib.stride_tricks.sliding_window_view(view, extent, axis=2 + i)
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    return view[steps + tuple(slice(None, None, d) for d in dilations)]
