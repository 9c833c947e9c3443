"""Values written in a program: arrays of what TensorValue holds, or of a weight file's record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgec.runtime.coreml.datatypes import STRING, unpack
from edgec.runtime.coreml.program import BlobFile, Immediate, TensorType, Value
from edgec.runtime.coreml.wire import Array, Message, PackageError

if TYPE_CHECKING:
    from edgec.runtime.coreml.package import Package

# fields of TensorValue
FLOATS, INTS, BOOLS, STRINGS, LONGS, DOUBLES, BYTES = range(1, 8)


def check(value: Value, package: Package, what: str) -> None:
    """What array_of complains about; records of weights are not read for it."""
    if isinstance(value.type, TensorType) and isinstance(value.content, BlobFile) and None not in value.type.dims:
        shape = tuple(int(d) for d in value.type.dims if d is not None)
        package.weight_file(value.content.name).fitting(value.content.offset, value.type.dtype, shape)
    else:
        array_of(value, package, what)


def array_of(value: Value, package: Package, what: str) -> Array:
    """The array of a tensor value; PackageError when bytes and type do not fit. `what` names its user."""
    if not isinstance(value.type, TensorType):
        raise PackageError(f"{what}: a {value.type} is no array")
    if None in value.type.dims:
        raise PackageError(f"{what}: a constant has no fixed shape: {value.type}")
    shape = tuple(int(d) for d in value.type.dims if d is not None)
    if isinstance(value.content, BlobFile):
        return package.read(value.content, value.type.dtype, shape)
    try:
        found = _immediate(value.content, value.type, math.prod(shape))
    except ValueError as error:
        raise PackageError(f"{what}: a constant of {value.type} is damaged: {error}") from None
    return found.reshape(shape)


def _immediate(content: Immediate, kind: TensorType, count: int) -> Array:
    tensor = content.tensor
    if tensor is None:
        raise ValueError("it holds no tensor")
    dtype = kind.dtype
    held = [n for n in range(FLOATS, BYTES + 1) if tensor.has(n)]
    if len(held) != 1:
        raise ValueError("it holds no values" if not held else "it holds values of two kinds")
    inner = tensor.message(held[0])
    assert inner is not None
    if held[0] == BYTES:
        data = inner.data(1)
        if dtype.bits == 0 or len(data) != (count * dtype.bits + 7) // 8:
            raise ValueError(f"it has {len(data):,} bytes")
        return unpack(data, dtype, count)
    values = _values(inner, held[0])
    if values.size != count:
        raise ValueError(f"it has {values.size:,} values")
    if (held[0] == STRINGS) != (dtype is STRING) or (held[0] in (FLOATS, DOUBLES)) != (dtype.real):
        raise ValueError("its values are of another kind")
    if dtype is STRING or dtype.real:
        return values.astype(dtype.numpy)
    if dtype.name != "bool" and values.size:
        info = np.iinfo(dtype.numpy)
        low, high = (-8, 7) if dtype.name == "int4" else (int(info.min), min(int(info.max), (1 << dtype.bits) - 1))
        if dtype.name != "uint64" and (int(values.min()) < low or int(values.max()) > high):
            raise ValueError(f"a value lies outside [{low}, {high}]")
    return values.astype(dtype.numpy)


def _values(inner: Message, kind: int) -> Array:
    if kind == FLOATS:
        return inner.fixed(1, "<f4")
    if kind == DOUBLES:
        return inner.fixed(1, "<f8")
    if kind == STRINGS:
        texts = inner.texts(1)
        found = np.empty(len(texts), object)
        found[:] = texts
        return found
    return inner.varints(1)
