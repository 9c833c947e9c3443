"""The meaning of encodings: real numbers of stored ones, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.types import Encoding, Float8, Quant, Type, dtype_name

Array = np.ndarray[Any, Any]
Constants = Mapping[str, Array]  # of a module, by key
FORMATS = ("i4", "i8", "u8", "i16", "u16", "i32")
FLOAT8 = {"e4m3": np.dtype(ml_dtypes.float8_e4m3fn), "e5m2": np.dtype(ml_dtypes.float8_e5m2)}


def check_encoding(constants: Constants, encoding: Encoding, of: Type) -> None:
    """IRError where an encoding is not one of a tensor of this type."""
    if of.dtype != "f32":
        raise IRError(f"{of} is encoded; only f32 may be")
    axis = encoding.axis
    if axis is not None and not 0 <= axis < of.rank:
        raise IRError(f"an encoding of {of} has scales along axis {axis}")
    group = encoding.group if isinstance(encoding, Quant) else 0
    if group < 0 or (group and axis is None):
        raise IRError(f"an encoding of {of} has groups of {group} along axis {axis}")
    shape = () if axis is None else grouped_dims(of.dims, axis, group) if group else (of.dims[axis],)
    dtypes = {"scale": "f32"}
    if isinstance(encoding, Quant):
        if encoding.format not in FORMATS:
            raise IRError(f"{of} is encoded in {encoding.format}; legal: {', '.join(FORMATS)}")
        dtypes["zero"] = encoding.stored
    elif encoding.format not in FLOAT8:
        raise IRError(f"there is no 8-bit float {encoding.format}; legal: {', '.join(FLOAT8)}")
    for (what, dtype), key in zip(dtypes.items(), encoding.constants, strict=True):
        array = constants.get(key)
        if array is None or dtype_name(array.dtype) != dtype or array.shape != shape:
            raise IRError(f"the {what} of an encoding of {of} must be a constant {dtype}{list(shape)}")
    scale = constants[encoding.scale]
    legal = scale != 0 if group else scale > 0  # what others made of weights has groups of negative scales
    if not np.all(np.isfinite(scale)) or not np.all(legal):
        raise IRError(f"a scale of an encoding of {of} is not a positive number")


def decode(constants: Constants, stored: Array, type: Type) -> Array:
    """The real tensor that stored numbers are, as float32."""
    encoding = _only(type)
    scale = _along(constants[encoding.scale], encoding, type)
    if isinstance(encoding, Float8):
        return np.asarray(stored.view(FLOAT8[encoding.format]).astype(np.float32) * scale)
    zero = _along(constants[encoding.zero], encoding, type)
    return np.asarray((stored.astype(np.int64) - zero.astype(np.int64)).astype(np.float32) * scale)


def encode(constants: Constants, real: Array, type: Type) -> Array:
    """The nearest numbers that can be stored: integers by `nearest_steps` (ONNX, QuantizeLinear); 8-bit floats
    saturated."""
    encoding = _only(type)
    scale = _along(constants[encoding.scale], encoding, type)
    if isinstance(encoding, Float8):
        return nearest_float8(real, scale, encoding.format)
    zero = _along(constants[encoding.zero], encoding, type)
    steps = nearest_steps(real, scale, zero)
    return np.clip(steps, -8, 7) if encoding.format == "i4" else steps


def nearest_float8(real: Array, scale: Array, format: str) -> Array:
    """The bytes of real / scale, to the nearest number of the format, half to even, saturated; a NaN becomes 0, as it
    does in integers, so that no kernel meets the bytes that stand for NaN or infinity."""
    dtype = FLOAT8[format]
    largest = float(ml_dtypes.finfo(dtype).max)
    with np.errstate(all="ignore"):
        bounded = np.clip(np.nan_to_num(real / scale, nan=0.0, posinf=largest, neginf=-largest), -largest, largest)
        return np.asarray(bounded.astype(np.float32).astype(dtype).view(np.uint8))


def nearest_steps(real: Array, scale: Array, zero: Array) -> Array:
    """saturate(round(real / scale) + zero), half to even, in the zero points' dtype; a NaN becomes the zero point."""
    info = np.iinfo(zero.dtype)
    with np.errstate(all="ignore"):
        steps = np.nan_to_num(np.clip(np.rint(real / scale), -(2.0**33), 2.0**33), nan=0.0).astype(np.int64)
    return np.asarray(np.clip(steps + zero.astype(np.int64), info.min, info.max).astype(zero.dtype))


def _only(type: Type) -> Encoding:
    if len(type.encodings) != 1:
        raise IRError(f"{type} has {len(type.encodings)} encodings; one has a meaning so far")
    return type.encodings[0]


def grouped_dims(dims: tuple[int, ...], axis: int, group: int) -> tuple[int, ...]:
    """The shape of scales in groups along an axis."""
    return (*dims[:axis], -(-dims[axis] // group), *dims[axis + 1 :])


def spread(v: Array, axis: int, group: int, length: int) -> Array:
    """What is one number a group along the axis, as one an element."""
    return np.repeat(v, group, axis).take(range(length), axis)


def _along(v: Array, encoding: Encoding, type: Type) -> Array:
    if isinstance(encoding, Quant) and encoding.group and encoding.axis is not None:
        return spread(v, encoding.axis, encoding.group, type.dims[encoding.axis])
    return v if encoding.axis is None else v.reshape([-1 if i == encoding.axis else 1 for i in range(type.rank)])
