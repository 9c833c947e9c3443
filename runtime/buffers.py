"""Aligned numpy arrays in this process."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.runtime.abi import ALIGNMENT
from edgec.runtime.manifest import TensorInfo

Array = np.ndarray[Any, Any]


def read_back(array: Array, dtype: np.dtype) -> Array:
    """An array of a file, where `dtype` is wanted: numpy's files hold bfloat16 as two raw bytes an element."""
    raw = array.dtype.kind == "V" and array.dtype.names is None and array.dtype != dtype
    return array.view(dtype) if raw and dtype.kind == "V" and dtype.itemsize == array.itemsize else array


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
