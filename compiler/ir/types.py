"""Types: what a value is (a real tensor: dtype and shape) and how it is stored (encodings). Frozen, compared by value.

`f32[1,56,56,24]` is a plain tensor, `f32[1,4,P<=1024,8]` has a run-time length with compile-time storage, and
`f32[64,32,3,3] quant<i8@0, scale=#1f2e, zero=#77aa>` is a real tensor stored as 8-bit integers. How encodings compose
stands in ir/encodings.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

# IR name -> numpy dtype. The names are also the suffixes of kernel names.
DTYPES: dict[str, np.dtype] = {
    "f64": np.dtype(np.float64),
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "i64": np.dtype(np.int64),
    "i32": np.dtype(np.int32),
    "i16": np.dtype(np.int16),
    "i8": np.dtype(np.int8),
    "u64": np.dtype(np.uint64),
    "u32": np.dtype(np.uint32),
    "u16": np.dtype(np.uint16),
    "u8": np.dtype(np.uint8),
    "bool": np.dtype(np.bool_),
    "f8e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "f8e4m3fnuz": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "f8e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "f8e5m2fnuz": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "f8e8m0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "f4e2m1": np.dtype(ml_dtypes.float4_e2m1fn),
    "i4": np.dtype(ml_dtypes.int4),
    "u4": np.dtype(ml_dtypes.uint4),
    "i2": np.dtype(ml_dtypes.int2),
    "u2": np.dtype(ml_dtypes.uint2),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

FLOATS = frozenset({"f64", "f32", "f16", "bf16"})
SIGNED = frozenset({"i64", "i32", "i16", "i8"})
UNSIGNED = frozenset({"u64", "u32", "u16", "u8"})
INTEGERS = SIGNED | UNSIGNED
# Moved and cast, but never computed in (ir/narrow.py). An element takes a byte, whose low bits are its code.
NARROW_FLOATS = frozenset({"f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz", "f8e8m0", "f4e2m1"})
NARROW_INTEGERS = frozenset({"i4", "u4", "i2", "u2"})
NARROW = NARROW_FLOATS | NARROW_INTEGERS
WIDE = frozenset(DTYPES) - NARROW


def dtype_name(dtype: np.dtype | type) -> str:
    """IR name of a numpy dtype; KeyError when the IR has no such type (strings, complex)."""
    return _NAMES[np.dtype(dtype)]


def bits_of(dtype: str) -> int:
    """Bits of an element, which take whole bytes in memory."""
    return int(dtype[1]) if dtype in NARROW else 8 * DTYPES[dtype].itemsize


@dataclass(frozen=True)
class Bounded:
    """A dimension whose length is known at run time only and is at most `limit`."""

    name: str
    limit: int

    def __str__(self) -> str:
        return f"{self.name}<={self.limit}"


Dim = int | Bounded


@dataclass(frozen=True)
class Quant:
    """Stored as integers: real = scale * (stored - zero). `axis` is None for one scale per tensor.

    `scale` (f32) and `zero` (stored dtype) are keys of constants, of shape [] or as long as the axis. With `group` they
    have the tensor's rank, and one number for each `group` elements along the axis (ONNX's blocks); the last group may
    be shorter. Four bits, i4, are held as i8 until a target packs them.
    """

    format: str
    scale: str
    zero: str
    axis: int | None = None
    group: int = 0

    @property
    def stored(self) -> str:
        return "i8" if self.format == "i4" else self.format

    @property
    def constants(self) -> tuple[str, ...]:
        return self.scale, self.zero

    def at(self, axis: int | None, constants: tuple[str, ...]) -> Quant:
        """The same along another axis, by other constants."""
        return replace(self, axis=axis, scale=constants[0], zero=constants[1])


@dataclass(frozen=True)
class Float8:
    """Stored in bytes of floating point, `e4m3` or `e5m2`, times a scale constant: per tensor, along `axis`, or of
    groups as in Quant."""

    format: str
    scale: str
    axis: int | None = None
    group: int = 0

    @property
    def stored(self) -> str:
        return "u8"

    @property
    def constants(self) -> tuple[str, ...]:
        return (self.scale,)

    def at(self, axis: int | None, constants: tuple[str, ...]) -> Float8:
        return replace(self, axis=axis, scale=constants[0])


@dataclass(frozen=True)
class Scale:
    """Inner numbers, those of a palette, times a scale constant: per tensor, along `axis`, or of groups as in Quant."""

    scale: str
    axis: int | None = None
    group: int = 0

    @property
    def constants(self) -> tuple[str, ...]:
        return (self.scale,)

    def at(self, axis: int | None, constants: tuple[str, ...]) -> Scale:
        return replace(self, axis=axis, scale=constants[0])


@dataclass(frozen=True)
class Palette:
    """Stored as indices of `bits` bits, held as u8: an index stands for a row of `table`.

    `table` (f32 or i8) is [tables, 2^bits, length]: a table for each `group` elements along `axis` (the last group may
    be shorter), one in all where `axis` is None. With `length` above 1, an index stands for that many elements along
    `along`, which has so many times fewer indices.
    """

    bits: int
    table: str
    axis: int | None = None
    group: int = 0
    length: int = 1
    along: int = 0

    @property
    def stored(self) -> str:
        return "u8"

    @property
    def constants(self) -> tuple[str, ...]:
        return (self.table,)

    def indices(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the indices of a tensor."""
        return tuple(d // self.length if i == self.along else d for i, d in enumerate(dims))

    def at(self, axis: int | None, constants: tuple[str, ...]) -> Palette:
        return replace(self, axis=axis, table=constants[0])


@dataclass(frozen=True)
class Sparse:
    """Zeros where `mask` (bool, the tensor's shape) is False, inner numbers elsewhere. Held in the tensor's shape, with
    zeros between, until a target packs them."""

    mask: str
    axis: None = None  # it has none

    @property
    def stored(self) -> str:
        return "f32"

    @property
    def constants(self) -> tuple[str, ...]:
        return (self.mask,)

    def at(self, axis: int | None, constants: tuple[str, ...]) -> Sparse:
        assert axis is None
        return Sparse(constants[0])


Encoding = Quant | Float8 | Scale | Palette | Sparse


@dataclass(frozen=True)
class Type:
    """dtype (a key of DTYPES), shape, and encodings from the outermost to the innermost."""

    dtype: str
    shape: tuple[Dim, ...]
    encodings: tuple[Encoding, ...] = ()

    def __post_init__(self) -> None:
        assert self.dtype in DTYPES, self.dtype

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape with every bounded dimension at its limit: what storage is made for."""
        return tuple(d.limit if isinstance(d, Bounded) else d for d in self.shape)

    @property
    def is_static(self) -> bool:
        return all(isinstance(d, int) for d in self.shape)

    @property
    def plain(self) -> Type:
        """The same tensor, stored as what it is."""
        return Type(self.dtype, self.shape) if self.encodings else self

    @property
    def stored(self) -> Type:
        """What is in memory: the innermost encoding's numbers."""
        if not self.encodings:
            return self
        inner = self.encodings[-1]
        assert not isinstance(inner, Scale), "a scale has numbers of its own"
        return Type(inner.stored, inner.indices(self.dims) if isinstance(inner, Palette) else self.shape)

    @property
    def size(self) -> int:
        """Number of elements at the limits."""
        return math.prod(self.dims)

    @property
    def nbytes(self) -> int:
        """Bytes of the unencoded tensor at the limits."""
        return self.size * self.numpy.itemsize

    @property
    def numpy(self) -> np.dtype:
        return DTYPES[self.dtype]

    def permuted(self, perm: tuple[int, ...]) -> Type:
        """The plain type after `transpose{perm}`; encoded constants move by ir/moved.py."""
        return Type(self.dtype, tuple(self.shape[p] for p in perm))

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"
