"""The meaning of encodings: real numbers of stored ones, and back.

A constant may have several, from the outermost to the innermost: each says what its numbers are in terms of those of
the next, and those of the last are stored. `sparse<…> quant<i8@0, …>` is 0 outside the mask and scale * (stored - zero)
inside; `scale<@1:32, …> palette<4, …>` is scale * table[stored]. Which chains there are says check_encodings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.types import Encoding, Float8, Palette, Quant, Scale, Sparse, Type

Array = np.ndarray[Any, Any]
Constants = Mapping[str, Array]  # of a module, by key
FLOAT8 = {"e4m3": np.dtype(ml_dtypes.float8_e4m3fn), "e5m2": np.dtype(ml_dtypes.float8_e5m2)}
SMALL = {**FLOAT8, "e2m1": np.dtype(ml_dtypes.float4_e2m1fn)}  # floats of few bits; e2m1 is a palette of E2M1
E2M1 = np.arange(16, dtype=np.uint8).view(SMALL["e2m1"]).astype(np.float32).reshape(1, 16, 1)


def decode(constants: Constants, stored: Array, type: Type) -> Array:
    """The real tensor that stored numbers are, as float32: each encoding's numbers are those of the one inside it."""
    numbers = stored
    for encoding in reversed(type.encodings):
        numbers = _decoded(constants, numbers, encoding, type)
    return numbers


def _decoded(constants: Constants, numbers: Array, encoding: Encoding, type: Type) -> Array:
    if isinstance(encoding, Palette):
        return _looked_up(constants[encoding.table], numbers, encoding, type.dims)
    if isinstance(encoding, Sparse):
        return np.where(constants[encoding.mask], numbers, np.float32(0))
    scale = _along(constants[encoding.scale], encoding, type)
    if isinstance(encoding, Scale):
        return np.asarray(numbers * scale)
    if isinstance(encoding, Float8):
        return np.asarray(numbers.view(FLOAT8[encoding.format]).astype(np.float32) * scale)
    zero = _along(constants[encoding.zero], encoding, type)
    return np.asarray((numbers.astype(np.int64) - zero.astype(np.int64)).astype(np.float32) * scale)


def _looked_up(table: Array, indices: Array, palette: Palette, dims: tuple[int, ...]) -> Array:
    which = np.zeros([1] * len(dims), np.int64)
    if palette.axis is not None:
        step = palette.length if palette.along == palette.axis else 1
        each = np.arange(0, dims[palette.axis], step) // palette.group
        which = each.reshape([-1 if i == palette.axis else 1 for i in range(len(dims))])
    found = table.astype(np.float32)[which, indices]  # [..., length]
    return np.moveaxis(found, -1, palette.along + 1).reshape(dims) if dims else found.reshape(())


def encode(constants: Constants, real: Array, type: Type) -> Array:
    """The nearest numbers that can be stored: integers by `nearest_steps` (ONNX, QuantizeLinear); 8-bit floats
    saturated. For encodings that results of operators may have."""
    encoding = only(type)
    scale = _along(constants[encoding.scale], encoding, type)
    if isinstance(encoding, Float8):
        return nearest_float8(real, scale, encoding.format)
    zero = _along(constants[encoding.zero], encoding, type)
    steps = nearest_steps(real, scale, zero)
    return np.clip(steps, -8, 7) if encoding.format == "i4" else steps


def nearest_float8(real: Array, scale: Array, format: str) -> Array:
    """The bytes of real / scale, to the nearest number of the format, half to even, saturated; a NaN becomes 0, as it
    does in integers, so that no kernel meets the bytes that stand for NaN or infinity."""
    dtype = SMALL[format]
    largest = float(ml_dtypes.finfo(dtype).max)
    with np.errstate(all="ignore"):
        bounded = np.clip(np.nan_to_num(real / scale, nan=0.0, posinf=largest, neginf=-largest), -largest, largest)
        return np.asarray(bounded.astype(np.float32).astype(dtype).view(np.uint8))


def is_e2m1(constants: Constants, palette: Palette) -> bool:
    """Whether indices are codes of that type."""
    return palette.bits == 4 and palette.length == 1 and np.array_equal(constants[palette.table], E2M1)


def nearest_steps(real: Array, scale: Array, zero: Array) -> Array:
    """saturate(round(real / scale) + zero), half to even, in the zero points' dtype; a NaN becomes the zero point."""
    info = np.iinfo(zero.dtype)
    if info.bits <= 16:  # floats hold all that is left after clamping
        least, most = (np.asarray(end - zero.astype(np.int32), np.float32) for end in (info.min, info.max))
        with np.errstate(all="ignore"):
            near = np.asarray(np.clip(np.rint(real / scale), least, most))
        np.copyto(near, 0.0, where=np.isnan(near))
        return np.asarray((near + zero).astype(zero.dtype))
    with np.errstate(all="ignore"):
        steps = np.nan_to_num(np.clip(np.rint(real / scale), -(2.0**33), 2.0**33), nan=0.0).astype(np.int64)
    return np.asarray(np.clip(steps + zero.astype(np.int64), info.min, info.max).astype(zero.dtype))


def only(type: Type) -> Quant | Float8:
    """The encoding of what an operator makes. IRError where it is one of constants."""
    (encoding, *others) = type.encodings or (None,)
    if others or not isinstance(encoding, Quant | Float8):
        raise IRError(f"a result {type} has an encoding of constants; quant or float8 may stand there, one of them")
    return encoding


def grouped_dims(dims: tuple[int, ...], axis: int, group: int) -> tuple[int, ...]:
    """The shape of scales in groups along an axis."""
    return (*dims[:axis], -(-dims[axis] // group), *dims[axis + 1 :])


def spread(v: Array, axis: int, group: int, length: int) -> Array:
    """What is one number a group along the axis, as one an element."""
    return np.repeat(v, group, axis).take(range(length), axis)


def _along(v: Array, encoding: Quant | Float8 | Scale, type: Type) -> Array:
    if encoding.group and encoding.axis is not None:
        return spread(v, encoding.axis, encoding.group, type.dims[encoding.axis])
    return v if encoding.axis is None else v.reshape([-1 if i == encoding.axis else 1 for i in range(type.rank)])
