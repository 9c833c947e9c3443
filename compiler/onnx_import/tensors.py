"""ONNX element types and TensorProto -> numpy, with the checks that onnx.numpy_helper leaves out."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgec.ir.errors import ModelError
from edgec.ir.types import DTYPES
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
}
# element types that only constants have -> the dtype that holds their numbers, and their bits
NARROW: dict[int, tuple[str, int]] = {
    TensorProto.INT4: ("i8", 4),
    TensorProto.UINT4: ("u8", 4),
    TensorProto.INT2: ("i8", 2),
    TensorProto.UINT2: ("u8", 2),
    TensorProto.FLOAT8E4M3FN: ("f32", 8),
    TensorProto.FLOAT8E4M3FNUZ: ("f32", 8),
    TensorProto.FLOAT8E5M2: ("f32", 8),
    TensorProto.FLOAT8E5M2FNUZ: ("f32", 8),
    TensorProto.FLOAT8E8M0: ("f32", 8),
    TensorProto.FLOAT4E2M1: ("f32", 4),
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


def narrow_of(tensor: TensorProto, folder: Path) -> np.ndarray:
    """Numbers of a tensor of NARROW elements, in the dtype that holds them."""
    what = f"tensor '{tensor.name}'"
    shape = limits.check_stored(tensor.dims, what)
    dtype, bits = NARROW[tensor.data_type]
    packed = -(-math.prod(shape) * bits // 8)
    if tensor.data_location == TensorProto.EXTERNAL:
        data = map_external(tensor, (packed,), np.dtype(np.uint8), folder).tobytes()
        tensor = TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=data, name=tensor.name)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != packed:
        raise ModelError(f"{what} has {len(tensor.raw_data)} bytes of data; its shape {list(shape)} needs {packed}")
    try:
        return np.asarray(numpy_helper.to_array(tensor)).astype(DTYPES[dtype]).reshape(shape)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{what} cannot be read: {error}") from error


def array_of(tensor: TensorProto, folder: Path | None = None) -> np.ndarray:
    """Contents of a tensor; external data is mapped from `folder`. ModelError when they do not fit its shape."""
    what = f"tensor '{tensor.name}'"
    shape = limits.check_stored(tensor.dims, what)
    dtype = DTYPES[dtype_of(tensor.data_type)]
    if tensor.data_location == TensorProto.EXTERNAL:
        if folder is None:
            raise ModelError(f"{what} has external data, which is not allowed here")
        return map_external(tensor, shape, dtype, folder)
    count = math.prod(shape)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != count * dtype.itemsize:
        raise ModelError(
            f"{what} has {len(tensor.raw_data)} bytes of data; its shape {list(shape)} needs {count * dtype.itemsize}"
        )
    try:
        return np.asarray(numpy_helper.to_array(tensor)).astype(dtype, copy=False).reshape(shape)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{what} cannot be read: {error}") from error


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
