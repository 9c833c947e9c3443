"""MIL's element types: their numbers in MIL.proto and in weight.bin (MILBlob/Blob/BlobDataType.hpp), and numpy's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np


@dataclass(frozen=True)
class DataType:
    """`bits` is what an element takes in a file; in memory types below a byte are i8 or u8. `blob` is None where
    weight.bin has no such records."""

    name: str
    number: int
    bits: int
    numpy: np.dtype[Any]
    blob: int | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def real(self) -> bool:
        return self.name in ("fp16", "fp32", "fp64", "bf16", "fp8e4m3fn", "fp8e5m2")


def _type(name: str, number: int, bits: int, numpy: Any, blob: int | None = None) -> DataType:
    return DataType(name, number, bits, np.dtype(numpy), blob)


BOOL = _type("bool", 1, 8, np.bool_)
STRING = _type("string", 2, 0, np.object_)
FP16 = _type("fp16", 10, 16, np.float16, 1)
FP32 = _type("fp32", 11, 32, np.float32, 2)
INT32 = _type("int32", 23, 32, np.int32, 14)

ALL = (
    BOOL, STRING, FP16, FP32, INT32,
    _type("fp64", 12, 64, np.float64),
    _type("bf16", 13, 16, ml_dtypes.bfloat16, 5),
    _type("int8", 21, 8, np.int8, 4),
    _type("int16", 22, 16, np.int16, 6),
    _type("int64", 24, 64, np.int64),
    _type("int4", 25, 4, np.int8, 8),
    _type("uint8", 31, 8, np.uint8, 3),
    _type("uint16", 32, 16, np.uint16, 7),
    _type("uint32", 33, 32, np.uint32, 15),
    _type("uint64", 34, 64, np.uint64),
    _type("uint4", 35, 4, np.uint8, 11),
    _type("uint2", 36, 2, np.uint8, 10),
    _type("uint1", 37, 1, np.uint8, 9),
    _type("uint6", 38, 6, np.uint8, 13),
    _type("uint3", 39, 3, np.uint8, 12),
    _type("fp8e4m3fn", 40, 8, ml_dtypes.float8_e4m3fn, 16),
    _type("fp8e5m2", 41, 8, ml_dtypes.float8_e5m2, 17),
)  # fmt: skip

BY_NUMBER = {t.number: t for t in ALL}
BY_NAME = {t.name: t for t in ALL}
BY_BLOB = {t.blob: t for t in ALL if t.blob is not None}


CHUNK = 1 << 20  # elements unpacked at once: single bits take a byte each on the way


def unpack(data: Any, dtype: DataType, count: int) -> np.ndarray[Any, Any]:
    """`count` elements from bytes. Below a byte, element i starts at bit i*bits, counted from the least significant."""
    if dtype.bits >= 8:
        return np.frombuffer(data, dtype.numpy, count)
    raw = np.frombuffer(data, np.uint8)
    values = np.zeros(count, np.uint8)
    for begin in range(0, count, CHUNK):
        part = values[begin : begin + CHUNK]
        bits = np.unpackbits(raw[begin * dtype.bits // 8 :], count=part.size * dtype.bits, bitorder="little")
        for i in range(dtype.bits):
            part |= bits[i :: dtype.bits] << i
    if dtype.name != "int4":
        return values
    return ((values ^ 8).astype(np.int8) - 8).astype(np.int8)
