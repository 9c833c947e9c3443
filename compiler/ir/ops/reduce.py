"""Matmul, reductions, softmax, norms and attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.ops import row_rules
from edgec.ir.ops.activation import activate, check_activation
from edgec.ir.ops.operands import computed, operand
from edgec.ir.ops.products import PRODUCTS, check_products, left_operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.types import DTYPES, FLOATS, INTEGERS, Type

Array = np.ndarray[Any, Any]


def _wide(x: Any) -> Any:
    half = x is not None and x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
    return x.astype(np.float32) if half else x


def _floats(kind: str, *types: Type | None) -> None:
    for t in types:
        if t is not None and t.dtype not in FLOATS:
            raise IRError(f"{kind} does not take {t.dtype}; legal: {', '.join(sorted(FLOATS))}")


def _axis(kind: str, x: Type, axis: int) -> int:
    if not 0 <= axis < x.rank:
        raise IRError(f"{kind}: axis {axis} is not one of the {x.rank} axes of {x}")
    return axis


def _infer_matmul(types: Sequence[Type | None], a: Any) -> list[Type]:
    x, y = operand(types, 0, "matmul"), operand(types, 1, "matmul")
    check_activation("matmul", a)
    dtype = check_products("matmul", types, a) or x.dtype
    dtypes = {t.dtype for t in types if t is not None}
    if not a["to"] and (len(dtypes) != 1 or not dtypes <= FLOATS | INTEGERS):
        raise IRError(f"matmul needs operands of one numeric dtype, and got {', '.join(sorted(dtypes))}")
    if x.rank < 2 or y.rank < 2:
        raise IRError(f"matmul needs operands of rank 2 or more, and got {x} and {y}")
    n, k = y.dims[-2:] if a["trans_b"] else y.dims[:-3:-1]
    if x.dims[-1] != k:
        raise IRError(f"matmul: the inner lengths of {x} and {y} differ")
    try:
        batch = np.broadcast_shapes(x.dims[:-2], y.dims[:-2])
        result = (*batch, x.dims[-2], n)
        bias = types[2] if len(types) > 2 else None
        if bias is not None and np.broadcast_shapes(bias.dims, result) != result:
            raise ValueError
    except ValueError:
        raise IRError(f"matmul: the shapes {', '.join(map(str, types))} do not broadcast") from None
    return [Type(dtype, result)]


def _evaluate_matmul(v: Sequence[Any], a: Any) -> list[Array]:
    x, y = _wide(left_operand(v[0], a)), _wide(v[1])
    with np.errstate(all="ignore"):
        out = np.matmul(x, np.swapaxes(y, -1, -2) if a["trans_b"] else y)
        if len(v) > 2 and v[2] is not None:
            out = out + _wide(v[2])
        narrow = DTYPES[a["to"]] if a["to"] else v[0].dtype
        return [np.asarray(activate(out, a["act"])).astype(narrow, copy=False)]


def _infer_reduce(kind: str) -> Callable[[Sequence[Type | None], Any], list[Type]]:
    def infer(types: Sequence[Type | None], a: Any) -> list[Type]:
        x = computed(types, 0, kind)
        if x.dtype == "bool" and kind not in ("reduce_max", "reduce_min"):
            raise IRError(f"{kind} does not take bool")
        if kind == "reduce_mean":
            _floats(kind, x)
        axes = [_axis(kind, x, i) for i in a["axes"]]
        if len(set(axes)) != len(axes):
            raise IRError(f"{kind}: axes {a['axes']} repeat")
        kept = [1 if i in axes else d for i, d in enumerate(x.dims) if a["keepdims"] or i not in axes]
        return [Type(x.dtype, tuple(kept))]

    return infer


def _reduce(function: Any) -> Callable[[Sequence[Any], Any], list[Array]]:
    def evaluate(v: Sequence[Any], a: Any) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(_wide(v[0]), a["axes"], a["keepdims"])).astype(v[0].dtype, copy=False)]

    return evaluate


def _extreme(lowest: bool) -> Callable[[Any, tuple[int, ...], bool], Any]:
    """Max (lowest: the identity is the lowest value) or min; defined over nothing, too."""

    def reduce(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        if x.dtype.kind == "b":
            start: Any = not lowest
        elif x.dtype.kind in "iu":
            start = np.iinfo(x.dtype).min if lowest else np.iinfo(x.dtype).max
        else:
            start = -np.inf if lowest else np.inf
        return (np.max if lowest else np.min)(x, axis=axes, keepdims=keepdims, initial=start)

    return reduce


REDUCTIONS: dict[str, Any] = {
    "reduce_sum": lambda x, axes, keep: np.sum(x, axis=axes, keepdims=keep, dtype=x.dtype),
    "reduce_mean": lambda x, axes, keep: np.mean(x, axis=axes, keepdims=keep),
    "reduce_max": _extreme(True),
    "reduce_min": _extreme(False),
    "reduce_prod": lambda x, axes, keep: np.prod(x, axis=axes, keepdims=keep, dtype=x.dtype),
}


def _infer_arg(kind: str) -> Callable[[Sequence[Type | None], Any], list[Type]]:
    def infer(types: Sequence[Type | None], a: Any) -> list[Type]:
        x = computed(types, 0, kind)
        axis = _axis(kind, x, a["axis"])
        if x.dims[axis] < 1:
            raise IRError(f"{kind}: axis {axis} of {x} is empty")
        kept = [1 if i == axis else d for i, d in enumerate(x.dims) if a["keepdims"] or i != axis]
        return [Type("i64", tuple(kept))]

    return infer


def _arg(largest: bool) -> Callable[[Sequence[Any], Any], list[Array]]:
    def evaluate(v: Sequence[Any], a: Any) -> list[Array]:
        x, axis = _wide(v[0]), a["axis"]
        find = np.argmax if largest else np.argmin
        found = find(np.flip(x, axis), axis=axis, keepdims=a["keepdims"]) if a["last"] else None
        if found is not None:
            return [(x.shape[axis] - 1 - found).astype(np.int64)]
        return [np.asarray(find(x, axis=axis, keepdims=a["keepdims"])).astype(np.int64)]

    return evaluate


def _same_with_axis(kind: str, floats: bool) -> Callable[[Sequence[Type | None], Any], list[Type]]:
    def infer(types: Sequence[Type | None], a: Any) -> list[Type]:
        x = computed(types, 0, kind)
        if floats:
            _floats(kind, *types)
        axis = _axis(kind, x, a["axis"])
        if kind == "layer_norm" or kind == "rms_norm":
            for t in types[1:]:
                if t is not None and t.dims != x.dims[axis:]:
                    raise IRError(f"{kind}: {t} must have shape {list(x.dims[axis:])}")
        return [Type(x.dtype, x.shape)]

    return infer


def _cumsum(v: Sequence[Any], a: Any) -> list[Array]:
    x, axis = v[0], a["axis"]
    if a["reverse"]:
        x = np.flip(x, axis)
    y = np.cumsum(_wide(x), axis=axis).astype(x.dtype)
    if a["exclusive"]:
        y = np.roll(y, 1, axis)
        y[(slice(None),) * axis + (slice(0, 1),)] = 0
    return [np.ascontiguousarray(np.flip(y, axis) if a["reverse"] else y)]


def softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    return np.asarray(e / np.sum(e, axis=axis, keepdims=True))


def _evaluate_softmax(v: Sequence[Any], a: Any) -> list[Array]:
    with np.errstate(all="ignore"):
        return [softmax(_wide(v[0]), a["axis"]).astype(v[0].dtype, copy=False)]


def _evaluate_log_softmax(v: Sequence[Any], a: Any) -> list[Array]:
    x = _wide(v[0])
    with np.errstate(all="ignore"):
        shifted = x - np.max(x, axis=a["axis"], keepdims=True, initial=-np.inf)
        total = np.log(np.sum(np.exp(shifted), axis=a["axis"], keepdims=True))
        return [np.asarray(shifted - total).astype(v[0].dtype, copy=False)]


def _norm(centre: bool) -> Callable[[Sequence[Any], Any], list[Array]]:
    def evaluate(v: Sequence[Any], a: Any) -> list[Array]:
        x = _wide(v[0])
        axes = tuple(range(a["axis"], x.ndim))
        with np.errstate(all="ignore"):
            if centre:
                x = x - np.mean(x, axis=axes, keepdims=True)
            y = x / np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + x.dtype.type(a["eps"]))
            if len(v) > 1 and v[1] is not None:
                y = y * _wide(v[1])
            if len(v) > 2 and v[2] is not None:
                y = y + _wide(v[2])
        return [np.asarray(y).astype(v[0].dtype, copy=False)]

    return evaluate


def _infer_attention(types: Sequence[Type | None], a: Any) -> list[Type]:
    q, k, v = (operand(types, i, "attention") for i in range(3))
    _floats("attention", q, k, v)
    if not q.rank == k.rank == v.rank == 4 or k.dims[:3] != v.dims[:3] or q.dims[3] != k.dims[3]:
        raise IRError(f"attention: {q}, {k} and {v} must be [B,H,N,D], [B,H,M,D] and [B,H,M,E]")
    if q.dims[0] != k.dims[0] or not k.dims[1] or q.dims[1] % k.dims[1]:
        raise IRError(f"attention: {q.dims[1]} query heads are not a multiple of {k.dims[1]} key heads")
    full = (*q.dims[:3], k.dims[2])
    mask = types[3] if len(types) > 3 else None
    if mask is not None and (mask.rank > 4 or np.broadcast_shapes(mask.dims, full) != full):
        raise IRError(f"attention: the mask {mask} does not broadcast to {list(full)}")
    return [Type(q.dtype, (*q.dims[:3], v.dims[3]))]


def _evaluate_attention(v: Sequence[Any], a: Any) -> list[Array]:
    q, k, x = _wide(v[0]), _wide(v[1]), _wide(v[2])
    repeat = q.shape[1] // k.shape[1]
    k, x = np.repeat(k, repeat, axis=1), np.repeat(x, repeat, axis=1)
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * q.dtype.type(a["scale"])
    if len(v) > 3 and v[3] is not None:
        scores = np.where(v[3], scores, -np.inf) if v[3].dtype == bool else scores + _wide(v[3])
    if a["causal"]:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    with np.errstate(all="ignore"):
        p = np.nan_to_num(softmax(scores, -1), nan=0.0)
    return [np.matmul(p, x).astype(v[0].dtype, copy=False)]


_ARG: dict[str, Any] = {"axis": REQUIRED, "keepdims": False, "last": False}
_NORM: dict[str, Any] = {"axis": REQUIRED, "eps": 1e-5}

ROWS: list[OpRow] = [
    OpRow(
        "matmul", "matmul", (2, 3), _infer_matmul, _evaluate_matmul, {"trans_b": False, "act": "", **PRODUCTS},
        row_rules.matmul,
    ),
    *(
        OpRow(
            k, "reduce", (1, 1), _infer_reduce(k), _reduce(f), {"axes": REQUIRED, "keepdims": False},
            row_rules.reduction,
        )
        for k, f in REDUCTIONS.items()
    ),
    OpRow("argmax", "reduce", (1, 1), _infer_arg("argmax"), _arg(True), _ARG),
    OpRow("argmin", "reduce", (1, 1), _infer_arg("argmin"), _arg(False), _ARG),
    OpRow(
        "cumsum",
        "reduce",
        (1, 1),
        _same_with_axis("cumsum", False),
        _cumsum,
        {"axis": REQUIRED, "exclusive": False, "reverse": False},
    ),
    OpRow(
        "softmax", "norm", (1, 1), _same_with_axis("softmax", True), _evaluate_softmax, {"axis": REQUIRED},
        row_rules.along_axis,
    ),
    OpRow(
        "log_softmax", "norm", (1, 1), _same_with_axis("log_softmax", True), _evaluate_log_softmax, {"axis": REQUIRED},
        row_rules.along_axis,
    ),
    OpRow("layer_norm", "norm", (1, 3), _same_with_axis("layer_norm", True), _norm(True), _NORM, row_rules.along_axis),
    OpRow("rms_norm", "norm", (1, 2), _same_with_axis("rms_norm", True), _norm(False), _NORM, row_rules.along_axis),
    OpRow(
        "attention",
        "norm",
        (3, 4),
        _infer_attention,
        _evaluate_attention,
        {"scale": REQUIRED, "causal": False},
    ),
]
