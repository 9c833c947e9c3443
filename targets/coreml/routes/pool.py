"""Pools over one to three axes. MIL's have no dilations, count padding as ONNX's do or not at all, and take floats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.types import INTEGERS
from edgec.targets.coreml.emission import Emission, NoRoute, Route, dtype_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.attributes import ints, mil_pads
from edgec.targets.coreml.routes.windows import cropped, cut, padded


def _max_pool(e: Emission, op: Op) -> Var:
    a: Any = op.attrs
    assert a["layout"] == "nchw", op
    x, lowest, whole = e.operand(op, 0), -math.inf, op.result.type.dtype in INTEGERS
    if whole:
        if op.result.type.numpy.itemsize > 2:
            raise NoRoute(f"is of {op.result.type.dtype}, and Core ML pools floats, which hold integers of 16 bits")
        x, lowest = e.cast(x, "f32"), float(np.iinfo(op.result.type.numpy).min)
    kernel, strides, dilations = ints(a["kernel"]), ints(a["strides"]), ints(a["dilations"])
    x, pads = cropped(e, x, ints(a["pads"]))
    if max(dilations) > 1:
        x = padded(e, x, pads, lowest)
        for axis, size in enumerate(op.result.type.dims[2:]):
            x = _largest_along(e, x, axis, kernel[axis], strides[axis], dilations[axis], size)
    else:
        if whole:  # a window may lie in padding alone
            x, pads = padded(e, x, pads, lowest), [0] * len(pads)
        x = e.mil("max_pool", x=x, kernel_sizes=kernel, strides=strides, pad_type="custom", pad=mil_pads(pads))
    return e.cast(x, "i32") if whole else x


def _largest_along(e: Emission, x: Var, axis: int, taps: int, stride: int, dilation: int, size: int) -> Var:
    """The largest of `taps` elements, `dilation` apart, along one spatial axis: a maximum of slices."""
    sizes = [int(d) for d in x.shape[2:]]
    parts = []
    for tap in range(taps):
        begin, counts, steps = [0] * len(sizes), list(sizes), [1] * len(sizes)
        begin[axis], counts[axis], steps[axis] = tap * dilation, size, stride
        parts.append(cut(e, x, begin, counts, steps))
    found = parts[0]
    for part in parts[1:]:
        found = e.mil("maximum", x=found, y=part)
    return found


def _avg_pool(e: Emission, op: Op) -> Var:
    a: Any = op.attrs
    assert a["layout"] == "nchw", op
    kernel, strides, dilations = ints(a["kernel"]), ints(a["strides"]), ints(a["dilations"])
    x, pads = cropped(e, e.operand(op, 0), ints(a["pads"]))
    counts = _counts(op)
    taps = math.prod(kernel)
    window: dict[str, Any] = {"strides": strides, "pad_type": "custom", "pad": mil_pads(pads)}
    if max(dilations) > 1:
        channels = op.arg(0).type.dims[1]
        weight = e.const(np.full((channels, 1, *kernel), 1 / taps), dtype_of(x))
        mean = e.mil("conv", x=x, weight=weight, dilations=dilations, groups=channels, **window)
    elif not a["count_include_pad"] and counts.min() > 0:
        return e.mil("avg_pool", x=x, kernel_sizes=kernel, exclude_padding_from_average=True, **window)
    else:  # a mean that counts padding is reported wrong (apple/coremltools#1901): zeros count as any number does
        x = padded(e, x, pads, 0.0)
        mean = e.mil("avg_pool", x=x, kernel_sizes=kernel, strides=strides, pad_type="valid")
    if bool((counts == taps).all()):
        return mean
    # a mean over all taps first: their sum may be beyond halves
    return e.mil("mul", x=mean, y=e.const(taps / np.maximum(counts, 1), dtype_of(x)))


def _counts(op: Op) -> np.ndarray[Any, Any]:
    """How many elements of each window count: [1, 1, *out]."""
    a: Any = op.attrs
    r = len(a["kernel"])
    spatial, out = op.arg(0).type.dims[2:], op.result.type.dims[2:]
    ceil = a["ceil_pads"] or (0,) * r
    total = np.ones((1, 1), np.int64)
    for i in range(r):
        at = np.arange(out[i])[:, None] * a["strides"][i] + np.arange(a["kernel"][i]) * a["dilations"][i] - a["pads"][i]
        low = -a["pads"][i] if a["count_include_pad"] else 0
        high = spatial[i] + (a["pads"][r + i] - ceil[i] if a["count_include_pad"] else min(0, a["pads"][r + i]))
        along = ((at >= max(low, -a["pads"][i])) & (at < high)).sum(1)
        total = total[..., None] * along
    return total


ROUTES: dict[str, Route] = {"max_pool": _max_pool, "avg_pool": _avg_pool}
