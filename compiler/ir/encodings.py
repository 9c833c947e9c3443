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
FLOAT8 = {"e4m3": np.dtype(ml_dtypes.float8_e4m3fn), "e5m2": np.dtype(ml_dtypes.float8_e5m2)}


def check_encoding(constants: Constants, encoding: Encoding, of: Type) -> None:
    """IRError where an encoding is not one of a tensor of this type."""
    if of.dtype != "f32":
        raise IRError(f"{of} is encoded; only f32 may be")
    axis = encoding.axis
    if axis is not None and not 0 <= axis < of.rank:
        raise IRError(f"an encoding of {of} has scales along axis {axis}")
    shape = () if axis is None else (of.dims[axis],)
    dtypes = {"scale": "f32"}
    if isinstance(encoding, Quant):
        dtypes["zero"] = encoding.stored
        if encoding.stored not in ("i8", "u8", "i16", "u16", "i32"):
            raise IRError(f"{of} is encoded in {encoding.stored}; legal: i8, u8, i16, u16, i32")
    elif encoding.format not in FLOAT8:
        raise IRError(f"there is no 8-bit float {encoding.format}; legal: {', '.join(FLOAT8)}")
    for (what, dtype), key in zip(dtypes.items(), encoding.constants, strict=True):
        array = constants.get(key)
        if array is None or dtype_name(array.dtype) != dtype or array.shape != shape:
            raise IRError(f"the {what} of an encoding of {of} must be a constant {dtype}{list(shape)}")
    scale = constants[encoding.scale]
    if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
        raise IRError(f"a scale of an encoding of {of} is not a positive number")


def decode(constants: Constants, stored: Array, type: Type) -> Array:
    """The real tensor that stored numbers are, as float32."""
    encoding = _only(type)
    scale = _along(constants[encoding.scale], encoding.axis, type.rank)
    if isinstance(encoding, Float8):
        return np.asarray(stored.view(FLOAT8[encoding.format]).astype(np.float32) * scale)
    zero = _along(constants[encoding.zero], encoding.axis, type.rank)
    return np.asarray((stored.astype(np.int64) - zero.astype(np.int64)).astype(np.float32) * scale)


def encode(constants: Constants, real: Array, type: Type) -> Array:
    """The nearest numbers that can be stored: integers by `nearest_steps` (ONNX, QuantizeLinear); 8-bit floats
    saturated."""
    encoding = _only(type)
    scale = _along(constants[encoding.scale], encoding.axis, type.rank)
    if isinstance(encoding, Float8):
        largest = float(ml_dtypes.finfo(FLOAT8[encoding.format]).max)
        with np.errstate(all="ignore"):
            bounded = np.clip(real / scale, -largest, largest)
            return np.asarray(bounded.astype(FLOAT8[encoding.format]).view(np.uint8))
    return nearest_steps(real, scale, _along(constants[encoding.zero], encoding.axis, type.rank))


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


def _along(v: Array, axis: int | None, rank: int) -> Array:
    return v if axis is None else v.reshape([-1 if i == axis else 1 for i in range(rank)])
