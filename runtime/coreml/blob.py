"""weight.bin: arrays of weights in records (MILBlob/Blob/StorageFormat.hpp).

The file starts with a header of 64 bytes: u32 number of records, u32 version (2). A record is 64 bytes, aligned to 64:
u32 0xDEADBEEF, u32 element type, u64 size in bytes, u64 offset of the data, u64 unused bits at the data's end.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from edgec.runtime.coreml.datatypes import BY_BLOB, DataType, unpack
from edgec.runtime.coreml.wire import Array, PackageError

SENTINEL = 0xDEADBEEF
ALIGNMENT = 64


@dataclass(frozen=True)
class Record:
    dtype: DataType
    size: int
    offset: int
    padding_bits: int


class WeightFile:
    """Mapped, not read: what is not used costs no memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self.data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError as error:
            raise PackageError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError:
            raise PackageError(f"{path} is empty") from None
        if len(self.data) < ALIGNMENT:
            raise PackageError(f"{path} has {len(self.data)} bytes, less than the header of a weight file")
        self.count, version = struct.unpack_from("<II", self.data)
        if version != 2:
            raise PackageError(f"{path} has version {version} of the weight file format; version 2 can be read")

    def record(self, at: int) -> Record:
        """The record at a byte offset, checked against the file."""
        if at % ALIGNMENT or at < ALIGNMENT or at + ALIGNMENT > len(self.data):
            raise PackageError(f"{self.path} has {len(self.data):,} bytes and no record at {at:,}")
        sentinel, kind, size, offset, padding = struct.unpack_from("<IIQQQ", self.data, at)
        if sentinel != SENTINEL:
            raise PackageError(f"{self.path} has no record at {at:,}: it starts with {sentinel:#010x}")
        if kind not in BY_BLOB:
            raise PackageError(f"{self.path}: the record at {at:,} has an unknown element type, {kind}")
        if offset % ALIGNMENT or offset > len(self.data) or size > len(self.data) - offset:
            raise PackageError(
                f"{self.path}: the record at {at:,} has {size:,} bytes at {offset:,}, "
                f"but the file ends at {len(self.data):,}"
            )
        return Record(BY_BLOB[kind], size, offset, padding)

    def records(self) -> list[Record]:
        """All records, one behind the other; PackageError where the next one should begin and none does."""
        found, at = [], ALIGNMENT
        while at < len(self.data):
            record = self.record(at)
            if record.offset < at + ALIGNMENT:
                raise PackageError(f"{self.path}: the data of the record at {at:,} lie before it, at {record.offset:,}")
            found.append(record)
            at = -(-(record.offset + record.size) // ALIGNMENT) * ALIGNMENT
        return found

    def read(self, at: int, dtype: DataType, shape: tuple[int, ...]) -> Array:
        """The array of a record, which must be of this type and of just this many elements."""
        record = self.fitting(at, dtype, shape)
        data = self.data[record.offset : record.offset + record.size]
        return unpack(data, dtype, math.prod(shape)).reshape(shape)

    def fitting(self, at: int, dtype: DataType, shape: tuple[int, ...]) -> Record:
        """The record at an offset, compared with the type and shape that the program says."""
        record = self.record(at)
        if record.dtype is not dtype:
            raise PackageError(f"{self.path}: the record at {at:,} holds {record.dtype}, but the program says {dtype}")
        bits = math.prod(shape) * dtype.bits
        if (bits + 7) // 8 != record.size:
            raise PackageError(
                f"{self.path}: the record at {at:,} has {record.size:,} bytes, "
                f"but {dtype}[{','.join(map(str, shape))}] takes {(bits + 7) // 8:,}"
            )
        if dtype.bits < 8 and record.padding_bits != record.size * 8 - bits:
            raise PackageError(
                f"{self.path}: the record at {at:,} says that {record.padding_bits} bits are unused, "
                f"but {dtype}[{','.join(map(str, shape))}] leaves {record.size * 8 - bits}"
            )
        return record
