"""Moving elements about: reshape, transpose, broadcast, slice, concat, pad. Values keep the dtype they were made in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, Route, dtype_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import MOST_RANK, Dims, around, broadcasted, held, reshaped, transposed
from edgec.targets.coreml.routes.attributes import ints


def _reshape(e: Emission, op: Op) -> Var:
    return reshaped(e, e.made(op.arg(0)), held(op.result.type.dims))


def _transpose(e: Emission, op: Op) -> Var:
    return transposed(e, e.made(op.arg(0)), op.arg(0).type.dims, ints(op.attrs["perm"]))


def _broadcast_to(e: Emission, op: Op) -> Var:
    return broadcasted(e, e.made(op.arg(0)), op.arg(0).type.dims, op.result.type.dims)


def sliced(e: Emission, x: Var, starts: Sequence[int], counts: Sequence[int], steps: Sequence[int]) -> Var:
    """`counts` elements of each axis from `starts` on, `steps` apart. What goes backwards is cut out forwards and then
    reversed: no negative end is needed. Axes that stay whole are masked: what is said of them holds for any length."""
    shape = [int(d) for d in x.shape]
    back = [i for i, (step, n) in enumerate(zip(steps, counts, strict=True)) if step < 0 and n > 1]
    first = [s + (n - 1) * d if d < 0 else s for s, n, d in zip(starts, counts, steps, strict=True)]
    stride = [abs(d) if n > 1 else 1 for n, d in zip(counts, steps, strict=True)]
    end = [f + (n - 1) * d + 1 for f, n, d in zip(first, counts, stride, strict=True)]
    if first != [0] * len(shape) or list(counts) != shape:
        whole = [(f, n, d) == (0, length, 1) for f, n, d, length in zip(first, counts, stride, shape, strict=True)]
        end = [0 if w else n for n, w in zip(end, whole, strict=True)]
        mask = whole if any(whole) else None
        x = e.mil("slice_by_index", x=x, begin=first, end=end, stride=stride, end_mask=mask)
    return e.mil("reverse", x=x, axes=back) if back else x


def _slice(e: Emission, op: Op) -> Var:
    x, dims, counts = e.made(op.arg(0)), op.arg(0).type.dims, op.result.type.dims
    starts, steps = ints(op.attrs["starts"]), ints(op.attrs["steps"])
    if len(dims) <= MOST_RANK:
        return sliced(e, x, starts, counts, steps) if dims else x
    for axis, (start, count, step) in enumerate(zip(starts, counts, steps, strict=True)):
        if (start, count, step) != (0, dims[axis], 1):
            parts = around(dims, axis)
            x = sliced(e, reshaped(e, x, parts), [0, start, 0], [parts[0], count, parts[2]], [1, step, 1])
            dims = (*dims[:axis], count, *dims[axis + 1 :])
    return x


def _concat(e: Emission, op: Op) -> Var:
    """Empty parts are left out. Parts made in different dtypes meet in the operator's."""
    parts = [op.arg(i) for i in range(len(op.inputs)) if op.arg(i).type.size]
    values = [e.made(part) for part in parts]
    if len({dtype_of(v) for v in values}) > 1:
        values = [e.held(part) for part in parts]
    axis = int(op.attrs["axis"])  # type: ignore[arg-type]
    if len(op.result.type.dims) > MOST_RANK:
        values = [reshaped(e, v, around(p.type.dims, axis)) for v, p in zip(values, parts, strict=True)]
        axis = 1
    return joined(e, values, axis)


def joined(e: Emission, values: Sequence[Var], axis: int) -> Var:
    return values[0] if len(values) == 1 else e.mil("concat", values=list(values), axis=axis)


def filled(e: Emission, dims: Dims, value: Any, dtype: str) -> Var:
    return e.const(np.full(dims, value), dtype)


def _pad(e: Emission, op: Op) -> Var:
    """MIL's pad where it says the same: of floats, the last two axes in other modes than constant, by less than their
    length. The rest are constants beside it, or elements picked by index."""
    a, dims = op.attrs, op.arg(0).type.dims
    before, after = ints(a["before"]), ints(a["after"])
    mode = str(a["mode"])
    dtype = dtype_of(e.made(op.arg(0))) if op.arg(0).type.size else e.dtype_of(op.result)
    value = _pad_value(a["value"], op.arg(0).type.numpy)
    if not op.arg(0).type.size:
        return filled(e, held(op.result.type.dims), value, dtype)
    x = e.made(op.arg(0))
    if mode == "constant" and dtype in ("f32", "f16") and len(dims) <= MOST_RANK and any((*before, *after)):
        widths = [n for pair in zip(before, after, strict=True) for n in pair]
        return e.mil("pad", x=x, pad=widths, mode=mode, constant_val=e.as_dtype(np.asarray(value), dtype))
    for axis, (b, n) in enumerate(zip(before, after, strict=True)):
        if b or n:
            x = reshaped(e, x, around(dims, axis))
            x = _constant_beside(e, x, b, n, value, dtype) if mode == "constant" else _picked(e, x, b, n, mode, dtype)
            dims = (*dims[:axis], b + dims[axis] + n, *dims[axis + 1 :])
    return reshaped(e, x, held(dims))


def _pad_value(value: Any, dtype: np.dtype) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(dtype)[()]


def _constant_beside(e: Emission, x: Var, before: int, after: int, value: Any, dtype: str) -> Var:
    outer, _, inner = (int(d) for d in x.shape)
    sides = [filled(e, (outer, n, inner), value, dtype) if n else None for n in (before, after)]
    return joined(e, [v for v in (sides[0], x, sides[1]) if v is not None], axis=1)


def _picked(e: Emission, x: Var, before: int, after: int, mode: str, dtype: str) -> Var:
    """Padding along the middle axis by elements of that axis."""
    _, length, inner = (int(d) for d in x.shape)
    native = {"reflect": ("reflect", length - 1), "edge": ("replicate", length)}.get(mode)
    if native is not None and dtype in ("f32", "f16") and max(before, after) <= native[1]:
        widths = [before, after] if inner == 1 else [before, after, 0, 0]
        x = reshaped(e, x, tuple(int(d) for d in x.shape[: len(widths) // 2 + 1]))
        # a default would be a float32
        return e.mil("pad", x=x, pad=widths, mode=native[0], constant_val=e.as_dtype(np.asarray(0.0), dtype))
    at = np.pad(np.arange(length), (before, after), mode=mode)  # type: ignore[call-overload]
    if dtype == "bool":
        return e.cast(e.mil("gather", x=e.cast(x, "i32"), indices=e.const(at), axis=1), "bool")
    return e.mil("gather", x=x, indices=e.const(at), axis=1)


ROUTES: dict[str, Route] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast_to,
    "slice": _slice,
    "concat": _concat,
    "pad": _pad,
}
