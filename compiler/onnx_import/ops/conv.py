"""Convolution, pooling, matmul, reductions and norms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from edgec.ir.graph import Value
from edgec.ir.types import FLOATS
from edgec.onnx_import.node import Node, Refused

Entry = Callable[[Node], list[Value]]


def _window(n: Node, x: Value, kernel: list[int]) -> dict[str, tuple[int, ...]]:
    """strides, dilations and pads with auto_pad resolved."""
    r = len(kernel)
    if x.type.rank != r + 2:
        raise Refused(f"a kernel of {r} dimensions does not fit {x.type}")
    strides = n.attr("strides") or [1] * r
    dilations = n.attr("dilations") or [1] * r
    pads = n.attr("pads") or [0] * (2 * r)
    if len(strides) != r or len(dilations) != r or len(pads) != 2 * r or min(strides + dilations) < 1:
        raise Refused("its strides, dilations or pads do not fit its kernel")
    auto = n.attr("auto_pad", "NOTSET")
    if auto == "VALID":
        pads = [0] * (2 * r)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(r):
            size = x.type.dims[2 + i]
            need = max(0, (-(-size // strides[i]) - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size)
            small, large = need // 2, need - need // 2
            pads[i], pads[r + i] = (small, large) if auto == "SAME_UPPER" else (large, small)
    elif auto != "NOTSET":
        raise Refused(f"auto_pad {auto} is unknown")
    return {"strides": tuple(strides), "dilations": tuple(dilations), "pads": tuple(pads)}


def _conv(n: Node) -> list[Value]:
    x, w = n.value(0), n.value(1)
    window = _window(n, x, list(w.type.dims[2:]))
    return [n.op("conv", x, w, *([n.value(2)] if n.has(2) else []), **window, groups=int(n.attr("group", 1)))]


def _conv_transpose(n: Node) -> list[Value]:
    x, w = n.value(0), n.value(1)
    kernel = list(w.type.dims[2:])
    r = len(kernel)
    strides, dilations = n.attr("strides") or [1] * r, n.attr("dilations") or [1] * r
    extra = n.attr("output_padding") or [0] * r
    pads = n.attr("pads") or [0] * (2 * r)
    auto, wanted = n.attr("auto_pad", "NOTSET"), n.attr("output_shape")
    full = [(x.type.dims[2 + i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 + extra[i] for i in range(r)]
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [x.type.dims[2 + i] * strides[i] for i in range(r)]
    if wanted is not None:
        for i, size in enumerate(wanted[-r:]):
            total = full[i] - size
            if total < 0:
                extra[i] -= total
                total = 0
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            pads[i], pads[r + i] = before, total - before
    return [
        n.op(
            "conv_transpose", x, w, *([n.value(2)] if n.has(2) else []), strides=tuple(strides), pads=tuple(pads),
            dilations=tuple(dilations), groups=int(n.attr("group", 1)), output_padding=tuple(extra),
        )
    ]  # fmt: skip


def _ceil(n: Node, x: Value, kernel: list[int], window: dict[str, Any]) -> tuple[int, ...]:
    """After-pads that ceil_mode adds."""
    r = len(kernel)
    extra = [0] * r
    if n.attr("ceil_mode", 0):
        for i in range(r):
            s, d = window["strides"][i], window["dilations"][i]
            before, after = window["pads"][i], window["pads"][r + i]
            span = x.type.dims[2 + i] + before + after - (kernel[i] - 1) * d - 1
            out = -(-span // s) + 1
            if (out - 1) * s >= x.type.dims[2 + i] + before:  # a window that starts in the padding is dropped
                out -= 1
            extra[i] = max(0, (out - 1) * s - span)
    pads = list(window["pads"])
    for i in range(r):
        pads[r + i] += extra[i]
    window["pads"] = tuple(pads)
    return tuple(extra)


def _max_pool(n: Node) -> list[Value]:
    if n.outputs > 1:
        raise Refused("its Indices output is not supported")
    x, kernel = n.value(0), n.attr("kernel_shape") or []
    window = _window(n, x, kernel)
    _ceil(n, x, kernel, window)
    return [n.op("max_pool", x, kernel=tuple(kernel), **window)]


def _avg_pool(n: Node) -> list[Value]:
    x, kernel = n.value(0), n.attr("kernel_shape") or []
    window = _window(n, x, kernel)
    ceil = _ceil(n, x, kernel, window)
    include = bool(n.attr("count_include_pad", 0))
    return [n.op("avg_pool", x, kernel=tuple(kernel), **window, count_include_pad=include, ceil_pads=ceil)]


def _global(kind: str) -> Entry:
    return lambda n: [n.op(kind, n.value(0), axes=tuple(range(2, n.value(0).type.rank)), keepdims=True)]


def _batch_norm(n: Node) -> list[Value]:
    if n.attr("training_mode", 0):
        raise Refused("it is in training mode")
    x, scale, bias, mean, var = (n.value(i) for i in range(5))
    shape = (x.type.dims[1],) + (1,) * (x.type.rank - 2) if x.type.rank > 1 else (1,)
    dtype = x.type.dtype
    scale, bias, mean, var = (n.cast(v, dtype) for v in (scale, bias, mean, var))
    deviation = n.op("sqrt", n.op("add", var, n.like(n.attr("epsilon", 1e-5), var)))
    factor = n.op("div", scale, deviation)
    shift = n.op("sub", bias, n.op("mul", mean, factor))
    return [n.op("add", n.op("mul", x, n.reshape(factor, shape)), n.reshape(shift, shape))]


def _matmul(n: Node) -> list[Value]:
    a, b = n.value(0), n.value(1)
    left, right = a.type.rank == 1, b.type.rank == 1
    a = n.reshape(a, (1, *a.type.dims)) if left else a
    b = n.reshape(b, (*b.type.dims, 1)) if right else b
    y = n.op("matmul", a, b)
    shape = list(y.type.dims)
    if left:
        del shape[-2]
    if right:
        del shape[-1]
    return [n.reshape(y, shape)]


def _gemm(n: Node) -> list[Value]:
    a, b = n.value(0), n.value(1)
    if a.type.rank != 2 or b.type.rank != 2:
        raise Refused("its operands are no matrices")
    if n.attr("transA", 0):
        a = n.op("transpose", a, perm=(1, 0))
    if n.attr("transB", 0):
        b = n.op("transpose", b, perm=(1, 0))
    alpha, beta = float(n.attr("alpha", 1.0)), float(n.attr("beta", 1.0))
    if alpha != 1.0:
        b = n.op("mul", b, n.like(alpha, b)) if b.const is not None else b
        y = n.op("matmul", a, b)
        y = y if b.const is not None else n.op("mul", y, n.like(alpha, y))
    else:
        y = n.op("matmul", a, b)
    if n.has(2) and beta != 0.0:
        c = n.value(2)
        y = n.op("add", y, c if beta == 1.0 else n.op("mul", c, n.like(beta, c)))
    return [y]


def _axes(n: Node, x: Value, since: int) -> tuple[int, ...] | None:
    """Normalised axes of a reduction; None when there is nothing to reduce."""
    given = n.ints_or("axes", 1, "axes") if n.opset >= since else n.attr("axes")
    if not given:
        if n.attr("noop_with_empty_axes", 0):
            return None
        return tuple(range(x.type.rank))
    return tuple(sorted(n.axis(a, x.type.rank) for a in given))


def _reduce(kind: str, since: int = 18, before: str = "", after: str = "") -> Entry:
    def build(n: Node) -> list[Value]:
        x = n.value(0)
        if before == "square":
            x = n.op("mul", x, x)
        elif before:
            x = n.op(before, x)
        axes = _axes(n, x, since)
        y = x if axes is None else n.op(kind, x, axes=axes, keepdims=bool(n.attr("keepdims", 1)))
        return [n.op(after, y) if after and y.type.dtype in FLOATS else y]

    return build


def _log_sum_exp(n: Node) -> list[Value]:
    x = n.value(0)
    axes, keep = _axes(n, x, 18), bool(n.attr("keepdims", 1))
    if axes is None:
        return [x]
    top = n.op("reduce_max", x, axes=axes, keepdims=True)
    finite = n.op("where", n.op("is_inf", top), n.like(0.0, top), top)
    total = n.op("log", n.op("reduce_sum", n.op("exp", n.op("sub", x, finite)), axes=axes, keepdims=keep))
    return [n.op("add", total, n.reshape(finite, total.type.dims))]


def _arg(kind: str) -> Entry:
    def build(n: Node) -> list[Value]:
        x = n.value(0)
        axis = n.axis(int(n.attr("axis", 0)), x.type.rank)
        last = bool(n.attr("select_last_index", 0))
        return [n.op(kind, x, axis=axis, keepdims=bool(n.attr("keepdims", 1)), last=last)]

    return build


def _softmax(kind: str) -> Entry:
    def build(n: Node) -> list[Value]:
        x = n.value(0)
        if n.opset >= 13:
            return [n.op(kind, x, axis=n.axis(int(n.attr("axis", -1)), x.type.rank))]
        axis = n.axis(int(n.attr("axis", 1)), x.type.rank)
        if axis == x.type.rank - 1:
            return [n.op(kind, x, axis=axis)]
        rows = math.prod(x.type.dims[:axis])
        flat = n.reshape(x, (rows, x.type.size // max(rows, 1)))
        return [n.reshape(n.op(kind, flat, axis=1), x.type.dims)]

    return build


def _layer_norm(n: Node) -> list[Value]:
    if n.outputs > 1:
        raise Refused("its Mean and InvStdDev outputs are not supported")
    x = n.value(0)
    axis = n.axis(int(n.attr("axis", -1)), x.type.rank)
    operands = [n.op("broadcast_to", v, shape=x.type.dims[axis:]) if v is not None else None for v in n.inputs[1:3]]
    return [n.op("layer_norm", x, *operands, axis=axis, eps=float(n.attr("epsilon", 1e-5)))]


def _rms_norm(n: Node) -> list[Value]:
    x = n.value(0)
    axis = n.axis(int(n.attr("axis", -1)), x.type.rank)
    scale = n.op("broadcast_to", n.value(1), shape=x.type.dims[axis:])
    return [n.op("rms_norm", x, scale, axis=axis, eps=float(n.attr("epsilon", 1e-5)))]


def _instance_norm(n: Node) -> list[Value]:
    x = n.value(0)
    c, spatial = x.type.dims[1], (1,) * (x.type.rank - 2)
    y = n.op("layer_norm", x, axis=2, eps=float(n.attr("epsilon", 1e-5)))
    y = n.op("mul", y, n.reshape(n.value(1), (c, *spatial)))
    return [n.op("add", y, n.reshape(n.value(2), (c, *spatial)))]


def _group_norm(n: Node) -> list[Value]:
    x, groups = n.value(0), int(n.attr("num_groups", 1))
    b, c, *rest = x.type.dims
    if groups < 1 or c % groups:
        raise Refused(f"{groups} groups do not divide {c} channels")
    y = n.op("layer_norm", n.reshape(x, (b, groups, x.type.size // max(b * groups, 1))), axis=2,
             eps=float(n.attr("epsilon", 1e-5)))  # fmt: skip
    scale, bias = n.value(1), n.value(2)
    if n.opset < 21:
        scale, bias = (
            n.reshape(n.op("broadcast_to", n.reshape(v, (groups, 1)), shape=(groups, c // groups)), (c,))
            for v in (scale, bias)
        )
    y = n.reshape(y, x.type.dims)
    ones = (1,) * len(rest)
    return [n.op("add", n.op("mul", y, n.reshape(scale, (c, *ones))), n.reshape(bias, (c, *ones)))]


def _lrn(n: Node) -> list[Value]:
    x, size = n.value(0), int(n.attr("size", 1))
    alpha, beta, bias = (float(n.attr(k, d)) for k, d in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    b, c, *rest = x.type.dims
    square = n.reshape(n.op("mul", x, x), (b, 1, c, math.prod(rest)))
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    total = n.op(
        "avg_pool", square, kernel=(size, 1), strides=(1, 1), pads=(before, 0, after, 0), dilations=(1, 1),
        count_include_pad=True,
    )  # fmt: skip
    base = n.op("add", n.op("mul", total, n.like(alpha, x)), n.like(bias, x))
    return [n.op("div", x, n.reshape(n.op("pow", base, n.like(beta, x)), x.type.dims))]


def _lp_norm(n: Node) -> list[Value]:
    x, p = n.value(0), int(n.attr("p", 2))
    axis = n.axis(int(n.attr("axis", -1)), x.type.rank)
    inner = n.op("mul", x, x) if p == 2 else n.op("abs", x)
    total = n.op("reduce_sum", inner, axes=(axis,), keepdims=True)
    return [n.op("div", x, n.op("sqrt", total) if p == 2 else total)]


def _cumsum(n: Node) -> list[Value]:
    x = n.value(0)
    axis = n.axis(n.ints(1, "axis")[0], x.type.rank)
    return [n.op("cumsum", x, axis=axis, exclusive=bool(n.attr("exclusive", 0)), reverse=bool(n.attr("reverse", 0)))]


def _mean_variance(n: Node) -> list[Value]:
    x = n.value(0)
    axes = tuple(sorted(n.axis(a, x.type.rank) for a in n.attr("axes", [0, 2, 3])))
    centred = n.op("sub", x, n.op("reduce_mean", x, axes=axes, keepdims=True))
    variance = n.op("reduce_mean", n.op("mul", centred, centred), axes=axes, keepdims=True)
    return [n.op("div", centred, n.op("add", n.op("sqrt", variance), n.like(1e-9, x)))]


TABLE: dict[str, Entry] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _avg_pool,
    "GlobalAveragePool": _global("reduce_mean"),
    "GlobalMaxPool": _global("reduce_max"),
    "BatchNormalization": _batch_norm,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "ReduceSum": _reduce("reduce_sum", 13),
    "ReduceMean": _reduce("reduce_mean"),
    "ReduceMax": _reduce("reduce_max"),
    "ReduceMin": _reduce("reduce_min"),
    "ReduceProd": _reduce("reduce_prod"),
    "ReduceL1": _reduce("reduce_sum", before="abs"),
    "ReduceL2": _reduce("reduce_sum", before="square", after="sqrt"),
    "ReduceSumSquare": _reduce("reduce_sum", before="square"),
    "ReduceLogSum": _reduce("reduce_sum", after="log"),
    "ReduceLogSumExp": _log_sum_exp,
    "ArgMax": _arg("argmax"),
    "ArgMin": _arg("argmin"),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LRN": _lrn,
    "LpNormalization": _lp_norm,
    "CumSum": _cumsum,
    "MeanVarianceNormalization": _mean_variance,
}
