"""Reads an ONNX file within limits: size, nesting, external data inside the model's folder only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from edgec.ir.errors import ModelError
from edgec.ir.types import DTYPES
from edgec.onnx_import import limits

Array = np.ndarray[Any, Any]

T = onnx.TensorProto
ELEMENT_TYPES: dict[int, str] = {
    T.DOUBLE: "f64",
    T.FLOAT: "f32",
    T.FLOAT16: "f16",
    T.BFLOAT16: "bf16",
    T.INT64: "i64",
    T.INT32: "i32",
    T.INT16: "i16",
    T.INT8: "i8",
    T.UINT64: "u64",
    T.UINT32: "u32",
    T.UINT16: "u16",
    T.UINT8: "u8",
    T.BOOL: "bool",
}


def element_type(code: int, what: str) -> str:
    """IR dtype of an ONNX element type; ModelError naming what has it."""
    if code not in ELEMENT_TYPES:
        try:
            name = T.DataType.Name(code)
        except ValueError:
            name = f"number {code}"
        raise ModelError(f"{what} has element type {name}; edgec takes {', '.join(DTYPES)}")
    return ELEMENT_TYPES[code]


def read_model(path: Path) -> onnx.ModelProto:
    """The parsed model; ModelError when the file is missing, too large or no ONNX."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ModelError(f"{path} is not a file")
        if size > limits.MAX_FILE_BYTES:
            raise ModelError(f"{path} has {size} bytes; at most {limits.MAX_FILE_BYTES} are read")
        raw = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(raw)
    except (DecodeError, RecursionError, ValueError) as error:
        raise ModelError(f"{path} is not an ONNX model: it does not parse ({error})") from None
    if not model.HasField("graph") or not model.opset_import:
        raise ModelError(f"{path} is not an ONNX model: it has no graph or no opset")
    return model


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default domain."""
    versions = {o.domain: o.version for o in model.opset_import}
    version = versions.get("", versions.get("ai.onnx", 0))
    newest = onnx.defs.onnx_opset_version()
    if not 7 <= version <= newest:
        raise ModelError(f"the model uses opset {version}; edgec reads opset 7 to {newest}")
    return int(version)


def tensor_array(tensor: onnx.TensorProto, folder: Path) -> Array:
    """Contents of an initializer or attribute, read-only; external data is memory-mapped."""
    what = f"the tensor '{tensor.name}'"
    dtype = DTYPES[element_type(tensor.data_type, what)]
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0 or len(shape) > limits.MAX_RANK or math.prod(shape) > limits.MAX_ELEMENTS:
        raise ModelError(f"{what} has shape {list(shape)}, which is negative or beyond the limits")
    if tensor.data_location == T.EXTERNAL:
        return _external(tensor, folder, what, dtype, shape)
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{what} is broken: its data do not fit {list(shape)} ({error})") from None
    return np.asarray(array).view(dtype) if array.dtype.itemsize == dtype.itemsize else array.astype(dtype)


def _external(tensor: onnx.TensorProto, folder: Path, what: str, dtype: Any, shape: tuple[int, ...]) -> Array:
    facts = {e.key: e.value for e in tensor.external_data}
    root = folder.resolve()
    path = (root / facts.get("location", "")).resolve()
    if not path.is_relative_to(root) or path == root:
        raise ModelError(f"{what} lies outside the model's folder: {facts.get('location')!r}")
    try:
        offset, count = int(facts.get("offset", 0)), math.prod(shape)
        if offset < 0 or offset + count * dtype.itemsize > path.stat().st_size:
            raise ModelError(f"{what} reaches beyond its file {path.name}")
        if count == 0:
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", offset, shape)
    except (OSError, ValueError) as error:
        raise ModelError(f"{what} cannot be read from {path.name}: {error}") from None
