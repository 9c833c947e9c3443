"""Convolution, transposed convolution and pooling over any number of spatial dimensions, in both layouts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.ops import row_rules
from edgec.ir.ops.activation import activate, check_activation
from edgec.ir.ops.operands import operand
from edgec.ir.ops.products import PRODUCTS, check_products, left_operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.types import DTYPES, FLOATS, INTEGERS, Type

Array = np.ndarray[Any, Any]


def _spatial(kind: str, x: Type, layout: str) -> tuple[int, int, tuple[int, ...]]:
    """Images, channels, spatial lengths."""
    if x.rank < 3:
        raise IRError(f"{kind} needs at least one spatial dimension, and the operand is {x}")
    if layout == "nchw":
        return x.dims[0], x.dims[1], x.dims[2:]
    if layout == "nhwc":
        return x.dims[0], x.dims[-1], x.dims[1:-1]
    raise IRError(f"{kind} has no layout {layout!r}; legal: nchw, nhwc")


def _shaped(layout: str, n: int, c: int, spatial: Sequence[int]) -> tuple[int, ...]:
    return (n, c, *spatial) if layout == "nchw" else (n, *spatial, c)


def _check_window(kind: str, a: Any, rank: int, kernel: Sequence[int]) -> None:
    for name, length in (("strides", rank), ("dilations", rank), ("pads", 2 * rank)):
        if len(a[name]) != length:
            raise IRError(f"{kind}: {name} has {len(a[name])} entries, and {length} are needed")
    if min((*a["strides"], *a["dilations"], *kernel), default=1) < 1:
        raise IRError(f"{kind}: kernel, strides and dilations must be at least 1")


def window_out(size: int, k: int, stride: int, before: int, after: int, dilation: int) -> int:
    return (size + before + after - (k - 1) * dilation - 1) // stride + 1


def _out_spatial(kind: str, a: Any, spatial: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
    r = len(spatial)
    out = tuple(
        window_out(spatial[i], kernel[i], a["strides"][i], a["pads"][i], a["pads"][r + i], a["dilations"][i])
        for i in range(r)
    )
    if min(out, default=1) < 0 or any(o < 1 for o in out):
        raise IRError(f"{kind}: the kernel {tuple(kernel)} is larger than the padded image {tuple(spatial)}")
    return out


def _check_dtypes(kind: str, types: Sequence[Type | None]) -> None:
    dtypes = {t.dtype for t in types if t is not None}
    if len(dtypes) != 1 or not dtypes <= FLOATS | INTEGERS:
        raise IRError(f"{kind} needs operands of one numeric dtype, and got {', '.join(sorted(dtypes))}")


def conv_dims(kind: str, x: Type, w: Type, a: Any) -> tuple[int, ...]:
    """The result's shape; IRError where weights, groups and window do not fit."""
    n, c, spatial = _spatial(kind, x, a["layout"])
    if w.rank != x.rank:
        raise IRError(f"{kind}: the weights {w} must have the rank of the operand {x}")
    o, cg, *kernel = w.dims
    g = a["groups"]
    _check_window(kind, a, len(spatial), kernel)
    if g < 1 or cg * g != c or o % g:
        raise IRError(f"{kind}: weights {w} in {g} groups do not fit {c} channels")
    return _shaped(a["layout"], n, o, _out_spatial(kind, a, spatial, kernel))


def _infer_conv(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, w = operand(types, 0, "conv"), operand(types, 1, "conv")
    dtype = check_products("conv", types, a) or x.dtype
    if not a["to"]:
        _check_dtypes("conv", types)
    check_activation("conv", a)
    result = Type(dtype, conv_dims("conv", x, w, a))
    bias = types[2] if len(types) > 2 else None
    if bias is not None and bias.dims != w.dims[:1]:
        raise IRError(f"conv: the bias {bias} must have shape [{w.dims[0]}]")
    residual = types[3] if len(types) > 3 else None
    sums = Type("f32", result.shape) if a["to"] else result
    if residual is not None and residual != sums:
        raise IRError(f"conv: the residual {residual} must have the type {sums} of the sums")
    return [result]


def to_channels_last(x: Array, layout: str) -> Array:
    return np.moveaxis(x, 1, -1) if layout == "nchw" else x


def from_channels_last(y: Array, layout: str) -> Array:
    return np.ascontiguousarray(np.moveaxis(y, -1, 1) if layout == "nchw" else y)


def _windows(x: Array, kernel: Sequence[int], a: Any, out: Sequence[int]) -> Array:
    """x[n, *S, c], padded -> view [n, *O, c, *K]."""
    r = len(kernel)
    step = x.strides
    shape = (x.shape[0], *out, x.shape[-1], *kernel)
    strides = (
        step[0],
        *(step[1 + i] * a["strides"][i] for i in range(r)),
        step[-1],
        *(step[1 + i] * a["dilations"][i] for i in range(r)),
    )
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


def _padded(x: Array, a: Any, kernel: Sequence[int], out: Sequence[int], value: float) -> Array:
    """Pads so that every window lies inside; negative pads crop."""
    sizes, taken, places = [x.shape[0]], [slice(None)], [slice(None)]
    for i, size in enumerate(x.shape[1:-1]):
        before = a["pads"][i]
        end = max(0, before + size)
        need = (out[i] - 1) * a["strides"][i] + (kernel[i] - 1) * a["dilations"][i] + 1
        sizes.append(max(need, end))
        taken.append(slice(max(0, -before), None))
        places.append(slice(max(0, before), end))
    if sizes == list(x.shape[:-1]) and not any(a["pads"][: len(kernel)]):
        return np.ascontiguousarray(x)
    # not np.pad, which takes many times as long for small images
    made = np.full((*sizes, x.shape[-1]), value, x.dtype)
    made[tuple(places)] = x[tuple(taken)]
    return made


def sliding(x: Array, kernel: Sequence[int], a: Any, value: float) -> Array:
    """Windows over x[n, *S, c] with `value` where padding is: view [n, *O, c, *K]."""
    out = _out_spatial("window", a, x.shape[1:-1], kernel)
    return _windows(_padded(x, a, kernel, out, value), kernel, a, out)


def conv_sum(x: Array, w: Array, a: Any) -> Array:
    """The products alone, of x[n, *S, c] and w[o, c/g, *K]: [n, *O, o]."""
    o, cg, *kernel = w.shape
    g, r = a["groups"], len(kernel)
    view = sliding(x, kernel, a, 0)
    n, out = x.shape[0], view.shape[1 : 1 + r]
    if g == x.shape[-1] and o == g:  # depthwise: a product of whole images for each tap
        total = np.zeros((n, *out, o), np.result_type(x, w))
        for tap in np.ndindex(*kernel):
            total += view[(..., *tap)] * w[(slice(None), 0, *tap)]
        return total
    parts = []
    for i in range(g):
        at: Any = (..., slice(i * cg, (i + 1) * cg), *[slice(None)] * r)
        part = view[at].reshape(n * math.prod(out), -1)
        parts.append(part @ w[i * (o // g) : (i + 1) * (o // g)].reshape(o // g, part.shape[-1]).T)
    return np.concatenate(parts, axis=-1).reshape(n, *out, o)


def _evaluate_conv(v: Sequence[Any], a: Any) -> list[Array]:
    x, w = left_operand(v[0], a), v[1]
    narrow = DTYPES[a["to"]] if a["to"] else x.dtype
    if x.dtype.itemsize == 2 and x.dtype.kind not in "iu":
        x, w = x.astype(np.float32), w.astype(np.float32)
    y = conv_sum(to_channels_last(x, a["layout"]), w, a)
    if len(v) > 2 and v[2] is not None:
        y = y + v[2].astype(y.dtype)
    if a["layout"] == "nchw":
        y = np.moveaxis(y, -1, 1)
    if len(v) > 3 and v[3] is not None:
        y = y + v[3].astype(y.dtype)
    with np.errstate(all="ignore"):
        return [np.ascontiguousarray(activate(y, a["act"])).astype(narrow, copy=False)]


def _infer_transpose(types: Sequence[Type | None], a: Any) -> list[Type]:
    kind = "conv_transpose"
    x, w = operand(types, 0, kind), operand(types, 1, kind)
    _check_dtypes(kind, types)
    check_activation(kind, a)
    n, c, spatial = _spatial(kind, x, a["layout"])
    if w.rank != x.rank:
        raise IRError(f"{kind}: the weights {w} must have the rank of the operand {x}")
    ci, og, *kernel = w.dims
    r = len(spatial)
    _check_window(kind, a, r, kernel)
    if ci != c or a["groups"] < 1 or c % a["groups"] or len(a["output_padding"]) != r:
        raise IRError(f"{kind}: weights {w} in {a['groups']} groups do not fit {c} channels")
    out = []
    for i in range(r):
        size = (spatial[i] - 1) * a["strides"][i] + (kernel[i] - 1) * a["dilations"][i] + 1
        out.append(size + a["output_padding"][i] - a["pads"][i] - a["pads"][r + i])
    if min(out) < 1:
        raise IRError(f"{kind}: pads {a['pads']} leave nothing of the result")
    bias = types[2] if len(types) > 2 else None
    if bias is not None and bias.dims != (og * a["groups"],):
        raise IRError(f"{kind}: the bias {bias} must have shape [{og * a['groups']}]")
    return [Type(x.dtype, _shaped(a["layout"], n, og * a["groups"], out))]


def _evaluate_transpose(v: Sequence[Any], a: Any) -> list[Array]:
    narrow = v[0].dtype
    x, w = (t.astype(np.float32) if narrow.itemsize == 2 else t for t in v[:2])
    x = to_channels_last(x, a["layout"])
    c, og, *kernel = w.shape
    g, r = a["groups"], len(kernel)
    spatial = x.shape[1:-1]
    full = [(spatial[i] - 1) * a["strides"][i] + (kernel[i] - 1) * a["dilations"][i] + 1 for i in range(r)]
    out = [full[i] + a["output_padding"][i] - a["pads"][i] - a["pads"][r + i] for i in range(r)]
    # what is cropped in front may leave a tail that no input reaches
    canvas = np.zeros(
        (x.shape[0], *(max(f, o + a["pads"][i]) for i, (f, o) in enumerate(zip(full, out, strict=True))), g * og),
        x.dtype,
    )
    xs = x.reshape(*x.shape[:-1], g, c // g)
    ws = w.reshape(g, c // g, og, *kernel)
    for tap in np.ndindex(*kernel):
        part = np.einsum("...gc,gco->...go", xs, ws[(slice(None), slice(None), slice(None), *tap)])
        at = tuple(
            slice(
                tap[i] * a["dilations"][i],
                tap[i] * a["dilations"][i] + (spatial[i] - 1) * a["strides"][i] + 1,
                a["strides"][i],
            )
            for i in range(r)
        )
        canvas[(slice(None), *at)] += part.reshape(*x.shape[:-1], g * og)
    crop = tuple(slice(a["pads"][i], a["pads"][i] + out[i]) for i in range(r))
    y = canvas[(slice(None), *crop)]
    if len(v) > 2 and v[2] is not None:
        y = y + v[2].astype(y.dtype)
    y = activate(y, a["act"])
    return [from_channels_last(y, a["layout"]).astype(narrow, copy=False)]


def pool_dims(kind: str, x: Type, a: Any) -> tuple[int, ...]:
    """The result's shape; IRError where the window does not fit."""
    n, c, spatial = _spatial(kind, x, a["layout"])
    if len(a["kernel"]) != len(spatial):
        raise IRError(f"{kind}: kernel {a['kernel']} does not fit {x}")
    _check_window(kind, a, len(spatial), a["kernel"])
    return _shaped(a["layout"], n, c, _out_spatial(kind, a, spatial, a["kernel"]))


def _infer_pool(kind: str) -> Any:
    def infer(types: Sequence[Type | None], a: Any) -> list[Type]:
        x = operand(types, 0, kind)
        _check_dtypes(kind, types)
        if kind == "avg_pool" and x.dtype not in FLOATS:
            raise IRError(f"avg_pool does not take {x.dtype}; legal: {', '.join(sorted(FLOATS))}")
        return [Type(x.dtype, pool_dims(kind, x, a))]

    return infer


def _evaluate_max_pool(v: Sequence[Any], a: Any) -> list[Array]:
    x = to_channels_last(v[0], a["layout"])
    kernel = a["kernel"]
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf
    y = sliding(x, kernel, a, lowest).max(axis=tuple(range(-len(kernel), 0)))
    return [from_channels_last(y, a["layout"])]


def _evaluate_avg_pool(v: Sequence[Any], a: Any) -> list[Array]:
    narrow = v[0].dtype
    x = to_channels_last(v[0].astype(np.float32) if narrow.itemsize == 2 else v[0], a["layout"])
    kernel, r = a["kernel"], len(a["kernel"])
    taps, out = tuple(range(-r, 0)), _out_spatial("avg_pool", a, x.shape[1:-1], kernel)
    total = sliding(x, kernel, a, 0).sum(axis=taps)
    counted = np.ones((1, *x.shape[1:-1], 1), x.dtype)
    real = dict(a)
    if a["count_include_pad"]:
        ceil = a["ceil_pads"] or (0,) * r
        widths = [(a["pads"][i], a["pads"][r + i] - ceil[i]) for i in range(r)]
        counted = np.pad(counted, [(0, 0), *widths, (0, 0)], constant_values=1)
        real["pads"] = (0,) * r + tuple(a["pads"][r:])
    count = _windows(_padded(counted, real, kernel, out, 0), kernel, a, out).sum(axis=taps)
    return [from_channels_last((total / np.maximum(count, 1)).astype(narrow), a["layout"])]


_WINDOW: dict[str, Any] = {"strides": REQUIRED, "pads": REQUIRED, "dilations": REQUIRED}
_POOL: dict[str, Any] = {"kernel": REQUIRED, **_WINDOW, "layout": "nchw"}

ROWS: list[OpRow] = [
    OpRow(
        "conv",
        "conv",
        (2, 4),
        _infer_conv,
        _evaluate_conv,
        {**_WINDOW, "groups": 1, "layout": "nchw", "act": "", **PRODUCTS},
        row_rules.window,
    ),
    OpRow(
        "conv_transpose",
        "conv",
        (2, 3),
        _infer_transpose,
        _evaluate_transpose,
        {**_WINDOW, "groups": 1, "output_padding": REQUIRED, "layout": "nchw", "act": ""},
        row_rules.transposed_window,
    ),
    OpRow("max_pool", "conv", (1, 1), _infer_pool("max_pool"), _evaluate_max_pool, _POOL, row_rules.window),
    OpRow(
        "avg_pool",
        "conv",
        (1, 1),
        _infer_pool("avg_pool"),
        _evaluate_avg_pool,
        {**_POOL, "count_include_pad": False, "ceil_pads": ()},
        row_rules.window,
    ),
]
