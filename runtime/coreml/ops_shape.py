"""Operators that move elements without computing: reshapes, transposes, slices, padding, stacking."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, Unsupported, axis_of, room
from edgec.runtime.coreml.wire import Array


def _reshape(call: Call) -> Array:
    """0 takes a size over: at the same place, from CoreML7 on counted from the last axis, 1 where x has none."""
    x, shape = call.array("x"), call.integers("shape")
    if 0 in shape and x.size:
        if call.opset < 7:
            if len(shape) != x.ndim:
                raise ValueError(f"the shape {shape} has zeros but not the rank of x {list(x.shape)}")
            shape = [old if new == 0 else new for new, old in zip(shape, x.shape, strict=True)]
        else:
            behind = ((1,) * (len(shape) - x.ndim) + x.shape)[-len(shape) :]
            shape = [old if new == 0 else new for new, old in zip(shape, behind, strict=True)]
    if shape.count(-1) > 1 or any(size < -1 for size in shape):
        raise ValueError(f"the shape {shape} is not possible")
    return x.reshape(shape)


def _reshape_like(call: Call) -> Array:
    begins, ends = ([int(a.reshape(-1)[0]) for a in call.several(name)] for name in ("begins", "ends"))
    masks = [bool(a.reshape(-1)[0]) for a in call.several("end_masks")]
    shape: list[int] = []
    for reference, begin, end, mask in zip(call.several("ref_tensors"), begins, ends, masks, strict=True):
        shape += reference.shape[begin:] if mask else reference.shape[begin:end]
    return call.array("x").reshape(shape)


def _flatten2d(call: Call) -> Array:
    x, axis = call.array("x"), call.integer("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _expand_dims(call: Call) -> Array:
    return np.expand_dims(call.array("x"), tuple(call.integers("axes")))


def _squeeze(call: Call) -> Array:
    """Axes that do not have the size 1 stay."""
    x = call.array("x")
    axes = call.integers("axes", list(range(x.ndim)))
    return np.squeeze(x, tuple({axis_of(a, x.ndim) for a in axes if x.shape[axis_of(a, x.ndim)] == 1}))


def _transpose(call: Call) -> Array:
    return call.array("x").transpose(call.integers("perm"))


def _reverse(call: Call) -> Array:
    x = call.array("x")
    return np.flip(x, tuple(call.integers("axes", list(range(x.ndim)))))


def _reverse_sequence(call: Call) -> Array:
    x, lengths = call.array("x"), call.integers("lengths")
    along, batch = axis_of(call.integer("seq_axis", 0), x.ndim), axis_of(call.integer("batch_axis", 0), x.ndim)
    if len(lengths) != x.shape[batch] or not all(0 <= n <= x.shape[along] for n in lengths):
        raise ValueError(f"lengths {lengths} do not fit x {list(x.shape)}")
    y = np.moveaxis(x.copy(), (batch, along), (0, 1))
    for part, length in zip(y, lengths, strict=True):
        part[:length] = part[:length][::-1].copy()
    return np.moveaxis(y, (0, 1), (batch, along))


def slices(call: Call, x: Array) -> tuple[slice | int, ...]:
    """The index that begin, end, stride and the masks mean."""
    begin, end = call.integers("begin"), call.integers("end")
    stride = call.integers("stride", [1] * x.ndim)
    if not len(begin) == len(end) == len(stride) == x.ndim or 0 in stride:
        raise ValueError(f"begin {begin}, end {end} and stride {stride} do not fit x {list(x.shape)}")
    masks = [call.flags(name, x.ndim) for name in ("begin_mask", "end_mask", "squeeze_mask")]
    index: list[slice | int] = []
    for axis, (first, last, step) in enumerate(zip(begin, end, stride, strict=True)):
        if masks[2][axis]:
            index.append(0 if masks[0][axis] else first)
        else:
            index.append(slice(None if masks[0][axis] else first, None if masks[1][axis] else last, step))
    return tuple(index)


def _slice_by_index(call: Call) -> Array:
    x = call.array("x")
    return np.asarray(x[slices(call, x)])


def _slice_update(call: Call) -> Array:
    x, update = call.array("x"), call.array("update")
    index = slices(call, x)
    part = x[index]
    if part.shape != update.shape:
        raise ValueError(f"update has shape {list(update.shape)}, the slice has {list(part.shape)}")
    y = x.copy()
    y[index] = update
    return y


def _slice_by_size(call: Call) -> Array:
    x, begin, size = call.array("x"), call.integers("begin"), call.integers("size")
    if not len(begin) == len(size) == x.ndim:
        raise ValueError(f"begin {begin} and size {size} do not fit x {list(x.shape)}")
    index = []
    for first, count, whole in zip(begin, size, x.shape, strict=True):
        first += whole if first < 0 else 0
        last = whole if count == -1 else first + count
        if not 0 <= first <= last <= whole:
            raise ValueError(f"begin {begin} and size {size} leave x {list(x.shape)}")
        index.append(slice(first, last))
    return x[tuple(index)]


def _pad(call: Call) -> Array:
    x, pad = call.array("x"), call.integers("pad")
    mode = call.text("mode", "constant", ("constant", "reflect", "replicate"))
    if len(pad) % 2 or len(pad) > 2 * x.ndim or min(pad, default=0) < 0:
        raise ValueError(f"pad {pad} does not fit x {list(x.shape)}")
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    room([size + p + q for size, (p, q) in zip(x.shape, widths, strict=True)])
    if mode == "constant":
        return np.pad(x, widths, constant_values=call.number("constant_val", 0.0))
    if mode == "replicate" and any(max(w) > size for w, size in zip(widths, x.shape, strict=True)):
        raise ValueError(f"pad {pad} replicates more elements than x {list(x.shape)} has")
    if mode == "reflect" and any(max(w) >= size for w, size in zip(widths, x.shape, strict=True) if max(w)):
        raise ValueError(f"pad {pad} reflects more than x {list(x.shape)} has")
    return np.pad(x, widths, mode="reflect" if mode == "reflect" else "edge")


def _concat(call: Call) -> Array:
    values = call.several("values")
    room([sum(v.size for v in values)])
    if values[0].ndim == 0:
        return np.stack(values)
    axis = axis_of(call.integer("axis"), values[0].ndim)
    if not call.flag("interleave"):
        return np.concatenate(values, axis)
    if len({v.shape for v in values}) > 1:
        raise ValueError("interleaved values must have one shape")
    stacked = np.stack(values, axis + 1)
    return stacked.reshape(*values[0].shape[:axis], -1, *values[0].shape[axis + 1 :])


def _stack(call: Call) -> Array:
    values = call.several("values")
    room([sum(v.size for v in values)])
    return np.stack(values, call.integer("axis"))


def _split(call: Call) -> tuple[Array, ...]:
    x = call.array("x")
    axis = axis_of(call.integer("axis"), x.ndim)
    if call.has("split_sizes"):
        sizes = call.integers("split_sizes")
        if sum(sizes) != x.shape[axis] or min(sizes, default=0) < 0:
            raise ValueError(f"split_sizes {sizes} do not add up to the {x.shape[axis]} elements of the axis")
        return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))
    return tuple(np.split(x, call.integer("num_splits"), axis))


def _tile(call: Call) -> Array:
    x, reps = call.array("x"), call.integers("reps")
    if len(reps) != x.ndim or min(reps, default=1) < 1:
        raise ValueError(f"reps {reps} do not fit x {list(x.shape)}")
    room([size * r for size, r in zip(x.shape, reps, strict=True)])
    return np.tile(x, reps)


def _sliding_windows(call: Call) -> Array:
    x = call.array("x")
    axis = axis_of(call.integer("axis"), x.ndim)
    size, stride = call.integer("size"), call.integer("stride", 1)
    if stride < 1:
        raise ValueError(f"stride is {stride}")
    view = np.lib.stride_tricks.sliding_window_view(x, size, axis)
    room(view.shape)
    return np.moveaxis(view[(slice(None),) * axis + (slice(None, None, stride),)], -1, axis + 1)


def _blocks_to_space(x: Array, b: int, depth_first: bool) -> Array:
    """[n, C, h, w] to [n, C/b², h*b, w*b]: channel = (c, i, j) depth first, else (i, j, c)."""
    n, _, h, w = x.shape
    if depth_first:
        return x.reshape(n, -1, b, b, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, h * b, w * b)
    return x.reshape(n, b, b, -1, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, -1, h * b, w * b)


def _space_to_blocks(x: Array, b: int, depth_first: bool) -> Array:
    n, c, h, w = x.shape
    split = x.reshape(n, c, h // b, b, w // b, b)
    order = (0, 1, 3, 5, 2, 4) if depth_first else (0, 3, 5, 1, 2, 4)
    return split.transpose(order).reshape(n, c * b * b, h // b, w // b)


def _space_to_batch(call: Call) -> Array:
    x, (bh, bw) = call.array("x"), call.integers("block_shape")
    pads = call.array("paddings").astype(int).tolist()
    x = np.pad(x, [(0, 0), (0, 0), *map(tuple, pads)])
    n, c, h, w = x.shape
    return x.reshape(n, c, h // bh, bh, w // bw, bw).transpose(3, 5, 0, 1, 2, 4).reshape(-1, c, h // bh, w // bw)


def _batch_to_space(call: Call) -> Array:
    x, (bh, bw) = call.array("x"), call.integers("block_shape")
    (top, bottom), (left, right) = call.array("crops").astype(int).tolist()
    n, _, h, w = x.shape
    y = x.reshape(bh, bw, n // (bh * bw), -1, h, w).transpose(2, 3, 4, 0, 5, 1)
    y = y.reshape(n // (bh * bw), -1, h * bh, w * bw)
    return y[:, :, top : h * bh - bottom, left : w * bw - right]


def _crop(call: Call) -> Array:
    x = call.array("x")
    (top, bottom), (left, right) = call.integers("crop_height"), call.integers("crop_width")
    if min(top, bottom, left, right) < 0:
        raise ValueError("crops are from 0 on")
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def _identity(call: Call) -> Array:
    if not isinstance(call.operand("x").item, np.ndarray):
        raise Unsupported("identity is known here for tensors only")
    return call.array("x")


MEANINGS: dict[str, Callable[[Call], Array | tuple[Array, ...]]] = {
    "reshape": _reshape,
    "reshape_like": _reshape_like,
    "flatten2d": _flatten2d,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "reverse": _reverse,
    "reverse_sequence": _reverse_sequence,
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "slice_update": _slice_update,
    "pad": _pad,
    "concat": _concat,
    "stack": _stack,
    "split": _split,
    "tile": _tile,
    "sliding_windows": _sliding_windows,
    "depth_to_space": lambda call: _blocks_to_space(call.array("x"), call.integer("block_size"), False),
    "space_to_depth": lambda call: _space_to_blocks(call.array("x"), call.integer("block_size"), False),
    "pixel_shuffle": lambda call: _blocks_to_space(call.array("x"), call.integer("upscale_factor"), True),
    "pixel_unshuffle": lambda call: _space_to_blocks(call.array("x"), call.integer("downscale_factor"), True),
    "space_to_batch": _space_to_batch,
    "batch_to_space": _batch_to_space,
    "crop": _crop,
    "identity": _identity,
    "shape": lambda call: np.array(call.array("x").shape, np.int32),
}
