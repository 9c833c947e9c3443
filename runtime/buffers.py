"""Aligned numpy arrays in this process."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.runtime.abi import ALIGNMENT
from edgec.runtime.manifest import TensorInfo

Array = np.ndarray[Any, Any]


def read_back(array: Array, dtype: np.dtype) -> Array:
    """An array of a file, where `dtype` is wanted: numpy's files hold types of ml_dtypes as raw bytes."""
    raw = array.dtype.type is np.void and array.dtype.names is None
    return array.view(dtype) if raw and is_foreign(dtype) and dtype.itemsize == array.itemsize else array


def for_file(array: Array) -> Array:
    """What `read_back` reads: numpy would write some of these types in a way that it cannot read."""
    return array.view(f"V{array.itemsize}") if is_foreign(array.dtype) else array


def is_foreign(dtype: np.dtype) -> bool:
    """A type that numpy has from ml_dtypes."""
    return dtype.isbuiltin == 2


def aligned_bytes(nbytes: int) -> Array:
    """Uninitialised bytes at a multiple of ALIGNMENT; a real address for 0 bytes too."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT
    return raw[skip : skip + nbytes]


def aligned_tensor(tensor: TensorInfo) -> Array:
    return aligned_bytes(tensor.nbytes).view(tensor.numpy).reshape(tensor.shape)


def aligned_copy(array: Array) -> Array:
    """The array itself when it is aligned already."""
    if array.ctypes.data % ALIGNMENT == 0 and array.size:
        return array
    copy = aligned_bytes(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
