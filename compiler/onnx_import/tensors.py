"""ONNX element types and TensorProto -> numpy, with the checks that onnx.numpy_helper leaves out."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgec.ir.errors import ModelError
from edgec.ir.types import DTYPES, bits_of
from edgec.onnx_import import limits

# ONNX element type -> IR dtype name
ELEMENTS: dict[int, str] = {
    TensorProto.FLOAT: "f32",
    TensorProto.DOUBLE: "f64",
    TensorProto.FLOAT16: "f16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT64: "i64",
    TensorProto.INT32: "i32",
    TensorProto.INT16: "i16",
    TensorProto.INT8: "i8",
    TensorProto.UINT64: "u64",
    TensorProto.UINT32: "u32",
    TensorProto.UINT16: "u16",
    TensorProto.UINT8: "u8",
    TensorProto.BOOL: "bool",
    TensorProto.FLOAT8E4M3FN: "f8e4m3fn",
    TensorProto.FLOAT8E4M3FNUZ: "f8e4m3fnuz",
    TensorProto.FLOAT8E5M2: "f8e5m2",
    TensorProto.FLOAT8E5M2FNUZ: "f8e5m2fnuz",
    TensorProto.FLOAT8E8M0: "f8e8m0",
    TensorProto.FLOAT4E2M1: "f4e2m1",
    TensorProto.INT4: "i4",
    TensorProto.UINT4: "u4",
    TensorProto.INT2: "i2",
    TensorProto.UINT2: "u2",
}
CODES: dict[str, int] = {name: code for code, name in ELEMENTS.items()}


def element_name(code: int) -> str:
    """ONNX's own name of an element type, for messages."""
    known = set(TensorProto.DataType.values())
    return str(TensorProto.DataType.Name(code)).lower() if code in known else f"number {code}"


class DtypeUnsupported(Exception):
    """An element type that the IR does not have; str() is the end of a sentence."""

    def __init__(self, code: int) -> None:
        legal = ", ".join(map(element_name, ELEMENTS))
        super().__init__(f"has the element type {element_name(code)}; {legal} are supported")


def dtype_of(code: int) -> str:
    """IR name of an ONNX element type."""
    if code not in ELEMENTS:
        raise DtypeUnsupported(code)
    return ELEMENTS[code]


def array_of(tensor: TensorProto, folder: Path | None = None) -> np.ndarray:
    """Contents of a tensor; external data is mapped from `folder`. ModelError when they do not fit its shape."""
    what = f"tensor '{tensor.name}'"
    shape = limits.check_stored(tensor.dims, what)
    name = dtype_of(tensor.data_type)
    dtype = DTYPES[name]
    nbytes = -(-math.prod(shape) * bits_of(name) // 8)  # elements of fewer bits lie side by side
    if tensor.data_location == TensorProto.EXTERNAL:
        if folder is None:
            raise ModelError(f"{what} has external data, which is not allowed here")
        if bits_of(name) >= 8:
            return map_external(tensor, shape, dtype, folder)
        data = map_external(tensor, (nbytes,), np.dtype(np.uint8), folder).tobytes()
        tensor = TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=data, name=tensor.name)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != nbytes:
        raise ModelError(f"{what} has {len(tensor.raw_data)} bytes of data; its shape {list(shape)} needs {nbytes}")
    if dtype.kind in "iu" and bits_of(name) in (8, 16):
        _check_range(tensor, dtype, what)
    try:
        return np.asarray(numpy_helper.to_array(tensor)).astype(dtype, copy=False).reshape(shape)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{what} cannot be read: {error}") from error


def _check_range(tensor: TensorProto, dtype: np.dtype[Any], what: str) -> None:
    """Small integers may be given as int32, and would wrap."""
    numbers, info = np.array(tensor.int32_data, np.int64), np.iinfo(dtype)
    beyond = numbers[(numbers < info.min) | (numbers > info.max)]
    if beyond.size:
        name = element_name(tensor.data_type)
        raise ModelError(f"{what} has the number {beyond[0]}; legal for {name} are {info.min} to {info.max}")


def external_file(tensor: TensorProto, folder: Path) -> tuple[Path, int, int | None]:
    """File, offset and length of external data; the file must lie inside the model's folder."""
    what = f"tensor '{tensor.name}'"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    root = folder.resolve()
    try:
        path = (root / location).resolve()
        offset = int(entries.get("offset", "0"))
        length = int(entries["length"]) if "length" in entries else None
        found = path.is_file()
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(f"{what} has broken external data: {reason}") from error
    if not location or Path(location).is_absolute() or not path.is_relative_to(root) or path == root:
        raise ModelError(f"{what} has external data in '{location}', which lies outside the model's folder")
    if not found:
        raise ModelError(f"{what} has external data in '{location}', which is not a file")
    return path, offset, length


def map_external(tensor: TensorProto, shape: tuple[int, ...], dtype: np.dtype, folder: Path) -> np.ndarray:
    path, offset, length = external_file(tensor, folder)
    needed = math.prod(shape) * dtype.itemsize
    size = path.stat().st_size
    if (length is not None and length != needed) or offset < 0 or offset + needed > size:
        raise ModelError(
            f"tensor '{tensor.name}' needs {needed} bytes at offset {offset} of '{path.name}', which has {size}"
            + (f" and gives {length}" if length is not None else "")
        )
    if needed == 0:
        return np.zeros(shape, dtype)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype, math.prod(shape), offset).reshape(shape)


def dense_of(sparse: onnx.SparseTensorProto, spend: Callable[[int], None]) -> np.ndarray:
    """A sparse initializer as a dense array, whose bytes are spent first."""
    what = f"sparse tensor '{sparse.values.name}'"
    shape = limits.check_shape(sparse.dims, what)
    values, indices = array_of(sparse.values), array_of(sparse.indices)
    spend(math.prod(shape) * values.dtype.itemsize)
    dense = np.zeros(math.prod(shape), values.dtype)
    flat = np.ravel_multi_index(tuple(indices.T), shape, mode="raise") if indices.ndim == 2 else indices
    if values.ndim != 1 or flat.shape != values.shape or (flat.size and not 0 <= flat.min() <= flat.max() < dense.size):
        raise ModelError(f"{what} has indices outside its shape {list(shape)}")
    dense[flat] = values
    return dense.reshape(shape)
