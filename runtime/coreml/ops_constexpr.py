"""Compressed constants, quantize and dequantize.

In CoreML6 and 7 indices and masks are flat bytes with the shape beside them; from CoreML8 on they are tensors of few
bits. A scale multiplies in float32 and the product is rounded to the scale's type.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, axis_of, room
from edgec.runtime.coreml.datatypes import BY_NAME, unpack
from edgec.runtime.coreml.wire import Array


def _flat(call: Call, name: str, bits: int) -> Array:
    """Elements of a flat array of bytes in the shape that the operand `shape` gives."""
    shape = room(call.integers("shape"))
    data = call.array(name)
    count = math.prod(shape)
    if data.size != (count * bits + 7) // 8:
        raise ValueError(f"'{name}' has {data.size:,} bytes, and {list(shape)} takes {(count * bits + 7) // 8:,}")
    return unpack(data.tobytes(), BY_NAME[f"uint{bits}"], count).reshape(shape)


def _spread(values: Array, shape: tuple[int, ...], what: str) -> Array:
    """Values by block repeated over the elements of their blocks."""
    if values.ndim != len(shape) or any(s % v for s, v in zip(shape, values.shape, strict=True) if v):
        raise ValueError(f"{what} {list(values.shape)} do not divide {list(shape)} into blocks")
    for axis, (count, size) in enumerate(zip(values.shape, shape, strict=True)):
        if count not in (1, size):
            values = np.repeat(values, size // count, axis)
    return values


def _looked_up(indices: Array, lut: Array, vector_axis: int | None) -> Array:
    """lut is [*blocks, entries, vector]: elements of `indices` become entries, a vector along its axis."""
    entries, vector = lut.shape[-2:]
    room([*indices.shape, vector])
    if lut.ndim != indices.ndim + 2 or (indices.size and int(indices.max()) >= entries):
        raise ValueError(f"indices {list(indices.shape)} do not fit the tables {list(lut.shape)}")
    blocks = np.arange(math.prod(lut.shape[:-2])).reshape(lut.shape[:-2])
    number = np.broadcast_to(_spread(blocks, indices.shape, "tables"), indices.shape)
    found = lut.reshape(-1, entries, vector)[number, indices]
    if vector == 1:
        return np.asarray(found[..., 0])
    if vector_axis is None:
        raise ValueError("tables of vectors need a vector_axis")
    axis = axis_of(vector_axis, indices.ndim)
    shape = [size * vector if a == axis else size for a, size in enumerate(indices.shape)]
    return np.asarray(np.moveaxis(found, -1, axis + 1).reshape(shape))


def _vector_axis(call: Call) -> int | None:
    return call.integer("vector_axis") if call.has("vector_axis") else None


def _table(call: Call, indices: str) -> Array:
    """The operand `lut`, with as many entries as the indices' type has values."""
    lut = call.array("lut")
    bits = call.dtype(indices).bits
    if lut.ndim < 2 or lut.shape[-2] != 1 << bits:
        kind = call.dtype(indices)
        raise ValueError(f"tables {list(lut.shape)} do not fit indices of {kind}, which need {1 << bits} entries each")
    return lut


def _lut_to_dense(call: Call) -> Array:
    if call.has("shape"):
        lut = call.array("lut")
        bits = int(math.log2(lut.size)) if lut.size else 0
        if 1 << bits != lut.size or bits not in (1, 2, 4, 6, 8):
            raise ValueError(f"the table has {lut.size} entries and must have 2, 4, 16, 64 or 256")
        return lut.reshape(-1)[_flat(call, "indices", bits)]
    return _looked_up(call.array("indices"), _table(call, "indices"), _vector_axis(call))


def _scattered(mask: Array, values: Array) -> Array:
    """Values at the ones of a mask, zeros elsewhere."""
    chosen = mask != 0
    if values.shape != (int(chosen.sum()),):
        raise ValueError(f"{values.size:,} values do not fit a mask with {int(chosen.sum()):,} ones")
    dense = np.zeros(mask.shape, values.dtype)
    dense[chosen] = values
    return dense


def _sparse_to_dense(call: Call) -> Array:
    mask = _flat(call, "mask", 1) if call.has("shape") else call.array("mask")
    return _scattered(mask, call.array("nonzero_data"))


def _lut_to_sparse(call: Call) -> tuple[Array, Array]:
    mask, lut = call.array("indices_mask"), _table(call, "indices_nonzero_data")
    axis = _vector_axis(call)
    dense = _looked_up(_scattered(mask, call.array("indices_nonzero_data")), lut, axis)
    if lut.shape[-1] > 1 and axis is not None:
        mask = np.repeat(mask, lut.shape[-1], axis_of(axis, mask.ndim))
    return mask, dense[mask != 0]


def _shifted_and_scaled(data: Array, call: Call) -> Array:
    scale = call.array("scale")
    shifted = data.astype(np.float32)
    if call.has("offset"):
        offset = call.array("offset")
        if offset.shape != scale.shape:
            raise ValueError(f"offset {list(offset.shape)} and scale {list(scale.shape)} must have one shape")
        shifted = shifted - _spread(offset.astype(np.float32), data.shape, "offsets")
    return (shifted * _spread(scale.astype(np.float32), data.shape, "scales")).astype(scale.dtype)


def _sparse_blockwise_shift_scale(call: Call) -> tuple[Array, Array]:
    mask = call.array("data_mask")
    dense = _shifted_and_scaled(_scattered(mask, call.array("nonzero_data")), call)
    return mask, dense[mask != 0]


def _along(call: Call, name: str, like: Array) -> Array:
    """A scalar, or a vector along `axis`, shaped to meet an array."""
    values = call.array(name).astype(np.float32)
    if values.size == 1:
        return values.reshape(())
    if not call.has("axis"):
        raise ValueError(f"'{name}' is a vector and needs an axis")
    axis = axis_of(call.integer("axis"), like.ndim)
    if values.shape != (like.shape[axis],):
        raise ValueError(f"'{name}' has shape {list(values.shape)}, and axis {axis} has {like.shape[axis]} elements")
    return values.reshape([-1 if a == axis else 1 for a in range(like.ndim)])


def _affine(call: Call, name: str) -> Array:
    data = call.array(name)
    shifted = data.astype(np.float32)
    if call.has("zero_point"):
        shifted = shifted - _along(call, "zero_point", data)
    return (shifted * _along(call, "scale", data)).astype(call.array("scale").dtype)


def _quantize(call: Call) -> Array:
    """Rounds halves to even, then adds the zero point and saturates."""
    x, dtype = call.real("input"), call.named_type("output_dtype")
    if dtype.name not in ("int8", "uint8"):
        raise ValueError(f"output_dtype is {dtype} and must be int8 or uint8")
    found = np.rint(x / _along(call, "scale", x))
    if call.has("zero_point"):
        if call.dtype("zero_point") is not dtype:
            raise ValueError(f"zero_point is {call.dtype('zero_point')} but output_dtype {dtype}")
        found = found + _along(call, "zero_point", x)
    info = np.iinfo(dtype.numpy)
    return np.asarray(np.clip(np.nan_to_num(found, nan=0.0), info.min, info.max).astype(dtype.numpy))


MEANINGS: dict[str, Callable[[Call], Array | tuple[Array, ...]]] = {
    "constexpr_affine_dequantize": lambda call: _affine(call, "quantized_data"),
    "constexpr_cast": lambda call: call.array("source_val").astype(call.named_type("output_dtype").numpy),
    "constexpr_lut_to_dense": _lut_to_dense,
    "constexpr_sparse_to_dense": _sparse_to_dense,
    "constexpr_lut_to_sparse": _lut_to_sparse,
    "constexpr_blockwise_shift_scale": lambda call: _shifted_and_scaled(call.array("data"), call),
    "constexpr_sparse_blockwise_shift_scale": _sparse_blockwise_shift_scale,
    "quantize": _quantize,
    "dequantize": lambda call: _affine(call, "input"),
}
