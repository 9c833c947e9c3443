"""Operators that move elements or ask for shapes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import import limits
from edgec.onnx_import.node import Node, Refused
from edgec.onnx_import.reader import element_type

Entry = Callable[[Node], list[Value]]


def _reshape(n: Node) -> list[Value]:
    x = n.value(0)
    wanted = n.ints(1, "shape") if n.has(1) else [int(d) for d in n.attr("shape", [])]
    zero = bool(n.attr("allowzero", 0))
    shape = [x.type.dims[i] if d == 0 and not zero and i < x.type.rank else d for i, d in enumerate(wanted)]
    if shape.count(-1) > 1 or min(shape, default=0) < -1:
        raise Refused(f"the shape {wanted} is not legal")
    if -1 in shape:
        rest = math.prod(d for d in shape if d != -1)
        if rest == 0 or x.type.size % rest:
            raise Refused(f"{x.type} cannot become {wanted}")
        shape[shape.index(-1)] = x.type.size // rest
    return [n.reshape(x, shape)]


def _flatten(n: Node) -> list[Value]:
    x = n.value(0)
    axis = int(n.attr("axis", 1))
    axis = axis + x.type.rank if axis < 0 else axis
    rows = math.prod(x.type.dims[:axis])
    return [n.reshape(x, (rows, math.prod(x.type.dims[axis:])))]


def _squeeze(n: Node) -> list[Value]:
    x = n.value(0)
    axes = n.ints_or("axes", 1, "axes")
    gone = [i for i, d in enumerate(x.type.dims) if d == 1] if axes is None else [n.axis(a, x.type.rank) for a in axes]
    if any(x.type.dims[i] != 1 for i in gone):
        raise Refused(f"axes {gone} of {x.type} are not all 1")
    return [n.reshape(x, [d for i, d in enumerate(x.type.dims) if i not in gone])]


def _unsqueeze(n: Node) -> list[Value]:
    x = n.value(0)
    axes = n.ints_or("axes", 1, "axes") or []
    rank = x.type.rank + len(axes)
    new = {n.axis(a, rank) for a in axes}
    rest = iter(x.type.dims)
    return [n.reshape(x, [1 if i in new else next(rest) for i in range(rank)])]


def _transpose(n: Node) -> list[Value]:
    x = n.value(0)
    perm = tuple(n.attr("perm") or range(x.type.rank)[::-1])
    return [n.op("transpose", x, perm=perm)]


def _shape(n: Node) -> list[Value]:
    dims = n.value(0).type.dims
    return [n.const(np.array(dims[int(n.attr("start", 0)) : n.attr("end")], np.int64), "i64")]


def _expand(n: Node) -> list[Value]:
    x = n.value(0)
    try:
        shape = np.broadcast_shapes(x.type.dims, tuple(n.ints(1, "shape")))
    except ValueError:
        raise Refused(f"{x.type} does not broadcast to {n.ints(1, 'shape')}") from None
    return [x if shape == x.type.dims else n.op("broadcast_to", x, shape=shape)]


def _slice(n: Node) -> list[Value]:
    x = n.value(0)
    if n.opset < 10:
        starts, ends, axes = n.attr("starts", []), n.attr("ends", []), n.attr("axes")
        steps = None
    else:
        starts, ends = n.ints(1, "starts"), n.ints(2, "ends")
        axes = n.ints(3, "axes") if n.has(3) else None
        steps = n.ints(4, "steps") if n.has(4) else None
    axes = list(range(len(starts))) if axes is None else [n.axis(a, x.type.rank) for a in axes]
    steps = steps or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise Refused("its starts, ends, axes and steps differ in length")
    full = [[0, d, 1] for d in x.type.dims]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step == 0:
            raise Refused("a step is 0")
        full[axis] = list(slice(start, end, step).indices(x.type.dims[axis]))
    return [slice_op(n, x, full)]


def slice_op(n: Node, x: Value, full: list[list[int]]) -> Value:
    """x[start:stop:step] for each axis, with normalised entries."""
    if all(f == [0, d, 1] for f, d in zip(full, x.type.dims, strict=True)):
        return x
    starts, stops, steps = (tuple(f[i] for f in full) for i in range(3))
    return n.op("slice", x, starts=starts, stops=stops, steps=steps)


def _cut(n: Node, x: Value, axis: int, start: int, stop: int) -> Value:
    full = [[0, d, 1] for d in x.type.dims]
    full[axis] = [start, stop, 1]
    return slice_op(n, x, full)


def _split(n: Node) -> list[Value]:
    x = n.value(0)
    axis = n.axis(int(n.attr("axis", 0)), x.type.rank)
    size = x.type.dims[axis]
    sizes = n.ints_or("split", 1, "split")
    if sizes is None:
        parts = int(n.attr("num_outputs", n.outputs))
        each = -(-size // parts)
        sizes = [min(each, size - i * each) for i in range(parts)]
    if sum(sizes) != size or min(sizes) < 0:
        raise Refused(f"the sizes {sizes} do not add up to {size}")
    stops = np.cumsum(sizes)
    return [_cut(n, x, axis, int(stop - part), int(stop)) for part, stop in zip(sizes, stops, strict=True)]


def _concat(n: Node) -> list[Value]:
    values = [n.value(i) for i in range(len(n.inputs))]
    if len(values) == 1:
        return values
    return [n.op("concat", *values, axis=n.axis(int(n.attr("axis", 0)), values[0].type.rank))]


def _pad(n: Node) -> list[Value]:
    x = n.value(0)
    pads = [int(p) for p in n.attr("pads", [])] if n.opset < 11 else n.ints(1, "pads")
    if n.opset < 11:
        value = float(n.attr("value", 0.0))
    else:
        value = float(n.array(2, "constant value").ravel()[0]) if n.has(2) else 0.0
    axes = [n.axis(a, x.type.rank) for a in n.ints(3, "axes")] if n.has(3) else list(range(x.type.rank))
    if len(pads) != 2 * len(axes):
        raise Refused(f"{len(pads)} pads do not fit {len(axes)} axes")
    before, after = [0] * x.type.rank, [0] * x.type.rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[len(axes) + i]
    x = slice_op(n, x, [[max(0, -b), d - max(0, -e), 1] for b, d, e in zip(before, x.type.dims, after, strict=True)])
    before, after = [max(0, b) for b in before], [max(0, e) for e in after]
    if not any(before) and not any(after):
        return [x]
    mode = n.attr("mode", "constant")
    return [n.op("pad", x, before=tuple(before), after=tuple(after), mode=mode, value=value)]


def _gather(n: Node) -> list[Value]:
    x, index = n.value(0), n.value(1)
    axis = n.axis(int(n.attr("axis", 0)), x.type.rank)
    if index.const is not None and index.type.size == 1:
        at = n.ints(1, "indices")[0]
        size = x.type.dims[axis]
        if not -size <= at < size:
            raise Refused(f"index {at} is outside axis {axis} of {x.type}")
        one = _cut(n, x, axis, at % size, at % size + 1)
        return [n.reshape(one, (*x.type.dims[:axis], *index.type.dims, *x.type.dims[axis + 1 :]))]
    return [n.op("gather", x, index, axis=axis)]


def _gather_elements(n: Node) -> list[Value]:
    x = n.value(0)
    return [n.op("gather_elements", x, n.value(1), axis=n.axis(int(n.attr("axis", 0)), x.type.rank))]


def _scatter_elements(n: Node) -> list[Value]:
    x = n.value(0)
    axis = n.axis(int(n.attr("axis", 0)), x.type.rank)
    return [n.op("scatter_elements", x, n.value(1), n.value(2), axis=axis, reduction=n.attr("reduction", "none"))]


def _topk(n: Node) -> list[Value]:
    x = n.value(0)
    k = n.ints(1, "k")[0] if n.opset >= 10 else int(n.attr("k", 1))
    axis = n.axis(int(n.attr("axis", -1)), x.type.rank)
    largest, order = bool(n.attr("largest", 1)), bool(n.attr("sorted", 1))
    return n.builder.ops("topk", x, k=k, axis=axis, largest=largest, sorted=order)


def _constant(n: Node) -> list[Value]:
    for name, dtype in (("value_float", "f32"), ("value_floats", "f32"), ("value_int", "i64"), ("value_ints", "i64")):
        found = n.attr(name)
        if found is not None:
            return [n.const(found, dtype)]
    value = n.attr("value")
    if value is None:
        raise Refused("it holds no dense numeric tensor")
    return [n.builder.graph.constant(value)]


def _constant_of_shape(n: Node) -> list[Value]:
    shape = n.ints(0, "shape")
    if min(shape, default=0) < 0 or math.prod(shape) > limits.MAX_ELEMENTS:
        raise Refused(f"the shape {shape} is beyond the limits")
    value = n.attr("value")
    fill = np.zeros(1, np.float32) if value is None else value
    return [n.builder.graph.constant(np.full(shape, fill.ravel()[0], fill.dtype))]


def _range(n: Node) -> list[Value]:
    start, stop, step = (n.array(i, "bounds").ravel()[0] for i in range(3))
    if step == 0 or abs((float(stop) - float(start)) / float(step)) > limits.MAX_ELEMENTS:
        raise Refused("its length is beyond the limits")
    count = max(0, math.ceil((float(stop) - float(start)) / float(step)))
    return [n.builder.graph.constant((start + np.arange(count) * step).astype(start.dtype))]


def _tile(n: Node) -> list[Value]:
    x, repeats = n.value(0), n.ints(1, "repeats")
    if len(repeats) != x.type.rank or min(repeats, default=1) < 0:
        raise Refused(f"the repeats {repeats} do not fit {x.type}")
    wide = [v for r, d in zip(repeats, x.type.dims, strict=True) for v in (r, d)]
    narrow = [v for d in x.type.dims for v in (1, d)]
    if all(r == 1 for r in repeats):
        return [x]
    y = n.op("broadcast_to", n.reshape(x, narrow), shape=tuple(wide))
    return [n.reshape(y, [r * d for r, d in zip(repeats, x.type.dims, strict=True)])]


def _depth_to_space(n: Node) -> list[Value]:
    x, block = n.value(0), int(n.attr("blocksize", 1))
    b, c, h, w = x.type.dims
    if n.attr("mode", "DCR") == "DCR":
        y = n.op("transpose", n.reshape(x, (b, block, block, c // block**2, h, w)), perm=(0, 3, 4, 1, 5, 2))
    else:
        y = n.op("transpose", n.reshape(x, (b, c // block**2, block, block, h, w)), perm=(0, 1, 4, 2, 5, 3))
    return [n.reshape(y, (b, c // block**2, h * block, w * block))]


def _space_to_depth(n: Node) -> list[Value]:
    x, block = n.value(0), int(n.attr("blocksize", 1))
    b, c, h, w = x.type.dims
    y = n.op("transpose", n.reshape(x, (b, c, h // block, block, w // block, block)), perm=(0, 3, 5, 1, 2, 4))
    return [n.reshape(y, (b, c * block**2, h // block, w // block))]


def _eye_like(n: Node) -> list[Value]:
    x = n.value(0)
    code = n.attr("dtype")
    dtype = element_type(code, "its result") if code else x.type.dtype
    return [n.const(np.eye(x.type.dims[0], x.type.dims[1], k=int(n.attr("k", 0))), dtype)]


def _size(n: Node) -> list[Value]:
    return [n.const(n.value(0).type.size, "i64")]


def _trilu(n: Node) -> list[Value]:
    x = n.value(0)
    k = n.ints(1, "diagonal")[0] if n.has(1) else 0
    ones = np.ones(x.type.dims[-2:], np.bool_)
    keep = np.triu(ones, k) if n.attr("upper", 1) else np.tril(ones, k)
    return [n.op("where", n.const(keep, "bool"), x, n.const(0, x.type.dtype))]


def _one_hot(n: Node) -> list[Value]:
    index, depth, values = n.value(0), n.ints(1, "depth")[0], n.value(2)
    axis = n.axis(int(n.attr("axis", -1)), index.type.rank + 1)
    whole = n.cast(index, "i64")
    wrapped = n.op("where", n.op("lt", whole, n.const(0, "i64")), n.op("add", whole, n.const(depth, "i64")), whole)
    expanded = n.reshape(wrapped, (*index.type.dims[:axis], 1, *index.type.dims[axis:]))
    steps = np.arange(depth, dtype=np.int64).reshape((depth,) + (1,) * (index.type.rank - axis))
    hot = n.op("eq", expanded, n.const(steps, "i64"))
    off, on = (n.reshape(_cut(n, values, 0, i, i + 1), ()) for i in range(2))
    return [n.op("where", hot, on, off)]


TABLE: dict[str, Entry] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Shape": _shape,
    "Size": _size,
    "Expand": _expand,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Pad": _pad,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": lambda n: [n.op("gather_nd", n.value(0), n.value(1), batch_dims=int(n.attr("batch_dims", 0)))],
    "ScatterElements": _scatter_elements,
    "Scatter": _scatter_elements,
    "ScatterND": lambda n: [
        n.op("scatter_nd", n.value(0), n.value(1), n.value(2), reduction=n.attr("reduction", "none"))
    ],
    "TopK": _topk,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "EyeLike": _eye_like,
    "Trilu": _trilu,
    "OneHot": _one_hot,
}
