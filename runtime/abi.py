"""The structs of edgec.h as Python sees them, and what its functions return. Any 64-bit little-endian machine."""

from __future__ import annotations

import ctypes

from edgec.runtime.errors import RunError
from edgec.runtime.manifest import Manifest

ABI = 1
# scratch memory is full of it before the first call: floats that are read before they are written are NaNs
NAN_BYTE = 0xFF
ALIGNMENT = 64

_MEANINGS = {
    -1: "a pointer that must not be NULL is (EDGEC_NULL_ARGUMENT)",
    -2: "a pointer is not aligned (EDGEC_MISALIGNED)",
    -3: "an input holds a value that the model forbids, such as an index out of range (EDGEC_BAD_VALUE)",
    -4: "the weights are not those that the model was compiled with (EDGEC_BAD_WEIGHTS)",
    -5: "the system does not let this process use AMX (EDGEC_NO_TILES)",
}


class InfoStruct(ctypes.Structure):
    """edgec_info; pointers as integers, since they may be addresses in an emulated machine."""

    _fields_ = (
        ("name", ctypes.c_uint64),
        ("version", ctypes.c_uint64),
        ("inputs", ctypes.c_uint64),
        ("outputs", ctypes.c_uint64),
        ("scratch_bytes", ctypes.c_uint64),
        ("state_bytes", ctypes.c_uint64),
        ("weights_bytes", ctypes.c_uint64),
        ("n_inputs", ctypes.c_int32),
        ("n_outputs", ctypes.c_int32),
        ("alignment", ctypes.c_int32),
        ("abi", ctypes.c_int32),
    )

    scratch_bytes: int
    state_bytes: int
    weights_bytes: int
    n_inputs: int
    n_outputs: int
    alignment: int
    abi: int


def check_info(info: InfoStruct, manifest: Manifest) -> None:
    """The code and the manifest must speak of the same model, or memory would be overrun."""
    if info.abi != ABI:
        raise RunError(f"{manifest.name} speaks ABI {info.abi}, and this edgec ABI {ABI}: build the model again")
    expected = {
        "scratch_bytes": (info.scratch_bytes, manifest.scratch_bytes),
        "state_bytes": (info.state_bytes, manifest.state_bytes),
        "inputs": (info.n_inputs, len(manifest.inputs)),
        "outputs": (info.n_outputs, len(manifest.outputs)),
    }
    for what, (code, stated) in expected.items():
        if code != stated:
            raise RunError(f"{manifest.name} has {what} {code} in its code but {stated} in its manifest")
    if not 0 < info.alignment <= ALIGNMENT:
        raise RunError(f"{manifest.name} asks for alignment {info.alignment}; at most {ALIGNMENT} is legal")


def check_code(function: str, code: int) -> None:
    """RunError for a negative error code."""
    if code != 0:
        raise RunError(f"{function} returned {code}: {_MEANINGS.get(code, 'an unknown error')}")
