"""Folds a constant scale, shift or order of channels into the weights of the convolution or matmul that reads it.

%1 = mul %x, s[C,1,1]
%2 = add %1, t[C,1,1]
%3 = gather %2, order {axis=1}
%4 = conv %3, #w, #b              ->      %4 = conv %x, u*s, #b + sum(u*t) where u[:, order] = #w

A scale is folded always: zero padding stays zero, and only roundings move. A shift is folded only without padding,
which would have to be -t; the scale before it goes in alone, since x s + t is (x + t/s) s. Nor is a shift of what comes
into the model folded, but of bytes: subtracting before the sum is exact where values are large and near to t.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import either, rewrite

Array = np.ndarray[Any, Any]
_SMALLEST = 1e-6  # a shift is not divided by less
_LINEAR = ("cast", "transpose", "reshape", "slice", "mul", "div", "add", "sub")


def fold_input_affine(graph: Graph) -> bool:
    changed = False
    while rewrite(graph, _folded):
        changed = True
    return changed


def _folded(graph: Graph, op: Op) -> Value | None:
    """The op reading one op further up; None when nothing can be folded."""
    if op.kind not in ("conv", "matmul") or op.arg(0).type.dtype != "f32" or op.arg(1).const is None:
        return None
    if op.kind == "matmul" and op.arg(1).type.rank != 2:
        return None
    source = _read_here_only(graph, op.arg(0))
    if source is None:
        return None
    weights = graph.array(op.arg(1)).astype(np.float64)
    if source.kind == "gather":
        order = _order(graph, source, op)
        return None if order is None else _made(graph, op, source.arg(0), np.take(weights, order, _inputs(op)))
    scale = _constant(graph, source, op, "mul", "div")
    if scale is not None:
        return _made(graph, op, scale[0], weights * _shaped(op, scale[1], weights))
    shift = _constant(graph, source, op, "add", "sub")
    if shift is None:
        return None
    x, vector = shift
    if _may_shift(op, x):
        return _made(graph, op, x, weights, weights * _shaped(op, vector, weights))
    before = _read_here_only(graph, x)
    scale = None if before is None else _constant(graph, before, op, "mul", "div")
    if scale is None or np.any(np.abs(scale[1]) < _SMALLEST):
        return None
    moved = vector / scale[1]
    shape = [-1 if i == _channel(op) else 1 for i in range(x.type.rank)]
    b = Builder(graph, before=op)
    shifted = b.op("add", scale[0], b.const(moved[0] if np.all(moved == moved[0]) else moved.reshape(shape), "f32"))
    return _made(graph, op, shifted, weights * _shaped(op, scale[1], weights))


def _read_here_only(graph: Graph, value: Value) -> Op | None:
    """The op that makes the value, if it has one reader and no activation."""
    op = value.op
    if op is None or op.attrs.get("act") or len(graph.users()[value]) != 1 or value in graph.output_values():
        return None
    return op


def _channel(op: Op) -> int:
    """The axis of the operand that the weights are summed over."""
    return 1 if op.kind == "conv" and op.attrs["layout"] == "nchw" else op.arg(0).type.rank - 1


def _inputs(op: Op) -> int:
    """The same axis in the weights."""
    return 0 if op.kind == "matmul" and not op.attrs["trans_b"] else 1


def _order(graph: Graph, gather: Op, op: Op) -> Array | None:
    """Where each channel of the gather's operand went, when it is another order of the channels, each once."""
    if gather.arg(1).const is None or gather.attrs["axis"] != _channel(op) or op.attrs.get("groups", 1) != 1:
        return None
    order = graph.array(gather.arg(1))
    count = gather.arg(0).type.dims[_channel(op)]
    return np.argsort(order) if order.ndim == 1 and np.array_equal(np.sort(order), np.arange(count)) else None


def _constant(graph: Graph, source: Op, op: Op, kind: str, inverse: str) -> tuple[Value, Array] | None:
    """The variable operand of a `kind` or its inverse, and what it is combined with: a number for each channel."""
    if source.kind not in (kind, inverse):
        return None
    for x, constant in either(source):
        if constant.const is None or x.const is not None or x.type != source.result.type:
            continue
        if source.kind == inverse and constant is not source.arg(1):
            continue
        array = graph.array(constant).astype(np.float64)
        shape = (1,) * (x.type.rank - array.ndim) + array.shape
        if any(d != 1 for i, d in enumerate(shape) if i != _channel(op)):
            continue
        vector = np.broadcast_to(array.reshape(-1), (x.type.dims[_channel(op)],))
        if source.kind == "div" and not np.all(vector):
            continue
        vector = 1.0 / vector if source.kind == "div" else -vector if source.kind == "sub" else vector
        return (x, vector) if np.all(np.isfinite(vector)) else None
    return None


def _may_shift(op: Op, x: Value) -> bool:
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if any(op.attrs.get("pads", ())) or (bias is not None and bias.const is None):  # type: ignore[arg-type]
        return False
    if op.kind == "matmul" and bias is not None and bias.type.dims != op.result.type.dims[-1:]:
        return False
    return not _comes_in(x)


def _comes_in(x: Value) -> bool:
    """Whether the value is an input of the model but bytes, in another form, scale or place."""
    while x.op is not None and x.op.kind in _LINEAR:
        moving = [v for v in x.op.inputs if v is not None and v.const is None]
        if len(moving) != 1:
            return False
        x = moving[0]
    return x.op is None and x.type.dtype not in ("u8", "i8")


def _shaped(op: Op, vector: Array, weights: Array) -> Array:
    """The vector so that it multiplies the weights of its channel."""
    if op.kind == "matmul":
        return vector if op.attrs["trans_b"] else vector[:, None]
    groups = int(op.attrs["groups"])  # type: ignore[arg-type]
    rows = np.repeat(vector.reshape(groups, -1), len(weights) // groups, axis=0)
    return np.asarray(rows.reshape(*rows.shape, *(1,) * (weights.ndim - 2)))


def _made(graph: Graph, op: Op, x: Value, weights: Array, shift: Array | None = None) -> Value | None:
    """The op over `x`; `shift` is what each weight adds to the bias."""
    if not np.all(np.isfinite(weights.astype(np.float32))):
        return None
    b = Builder(graph, before=op)
    inputs = [x, b.const(weights, "f32"), *op.inputs[2:]]
    if shift is not None:
        given = op.inputs[2] if len(op.inputs) > 2 else None
        axes = (_inputs(op),) if op.kind == "matmul" else tuple(range(1, weights.ndim))
        bias = shift.sum(axis=axes) + (0.0 if given is None else graph.array(given))
        inputs[2:3] = [b.const(bias, "f32")]
    return b.op(op.kind, *inputs, **op.attrs)
