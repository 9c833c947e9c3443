"""Runs libNAME.so in this process."""

from __future__ import annotations

import _ctypes
import ctypes
import os
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from edgec.runtime.abi import ALIGNMENT, NAN_BYTE, InfoStruct, check_code, check_info
from edgec.runtime.buffers import aligned_bytes, aligned_copy, aligned_tensor
from edgec.runtime.cpu import check_features, cpu_features
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import Manifest
from edgec.runtime.watch import Watcher

Array = np.ndarray[Any, Any]


class HostRunner:
    """`threads` is 1 when the library was built without the pool (edgec_pthread.c), whatever was asked for.
    `library` is for tools that look at more than the model's functions."""

    def __init__(self, manifest: Manifest, threads: int = 1) -> None:
        check_features(manifest.name, manifest.cpu_features, cpu_features())
        self._manifest = manifest
        self.library, descriptor = _open_library(manifest)
        self._pool: int | None = None
        self._finish = weakref.finalize(self, _close_library, self.library, descriptor)
        info = self._function("info", ctypes.POINTER(InfoStruct))()
        check_info(info.contents, manifest)
        brought = manifest.brought_weights()
        weights = aligned_copy(np.frombuffer(brought or b"", np.uint8))
        self._extra = () if brought is None else (weights.ctypes.data,)  # a last argument of each function
        more = [ctypes.c_void_p] * len(self._extra)
        self._run = self._function("run", ctypes.c_int, *[ctypes.c_void_p] * 5, *more)
        self._reset = self._function("reset", ctypes.c_int, ctypes.c_void_p, *more)
        self._memory = [aligned_bytes(manifest.state_bytes), aligned_bytes(manifest.scratch_bytes), weights]
        self._memory[1].fill(NAN_BYTE)
        self._state, self._scratch = (memory.ctypes.data if memory.size else None for memory in self._memory[:2])
        init = self._function("init", ctypes.c_int, ctypes.c_void_p, *more)
        check_code(f"{manifest.name}_init", init(self._state, *self._extra))
        self.threads, self._parallel = self._start_pool(threads)
        self._ports = _Ports(*([aligned_tensor(t) for t in side] for side in (manifest.inputs, manifest.outputs)))

    def _function(self, suffix: str, result: Any, *arguments: Any) -> Any:
        name = f"{self._manifest.name}_{suffix}"
        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise RunError(f"lib{self._manifest.name}.so has no function {name}: build it again") from None
        function.restype = result
        function.argtypes = arguments
        return function

    def _start_pool(self, threads: int) -> tuple[int, int | None]:
        """Threads that there are, and the address of their edgec_parallel."""
        if threads == 1 or not hasattr(self.library, "edgec_pool_create"):
            return 1, None
        library = self.library
        library.edgec_pool_create.restype = ctypes.c_void_p
        library.edgec_pool_parallel.restype = ctypes.c_void_p
        pool = library.edgec_pool_create(threads)
        if pool is None:
            raise RunError(f"there is no memory for {threads} threads")
        # before the library goes: finalizers run last in, first out
        self._stop = weakref.finalize(self, library.edgec_pool_destroy, ctypes.c_void_p(pool))
        return library.edgec_pool_threads(ctypes.c_void_p(pool)), library.edgec_pool_parallel(ctypes.c_void_p(pool))

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        for kept, array in zip(self._ports.inputs, arrays, strict=True):
            np.copyto(kept, array)
        return [output.copy() for output in self._call(self._ports)]

    def bound(self, arrays: Sequence[Array]) -> Callable[[], list[Array]]:
        """A call of the model on these inputs, which writes the same output arrays each time: for timing."""
        self._check_open()
        outputs = [aligned_tensor(tensor) for tensor in self._manifest.outputs]
        return partial(self._call, _Ports([aligned_copy(array) for array in arrays], outputs))

    def _call(self, ports: _Ports) -> list[Array]:
        self._check_open()
        code = self._run(ports.given, ports.to, self._state, self._scratch, self._parallel, *self._extra)
        check_code(f"{self._manifest.name}_run", code)
        return ports.outputs

    def watch(self, watcher: Watcher) -> None:
        """Only of a library that was compiled with hooks, and on one thread."""
        hooks = {
            "edgec_on_step": ctypes.CFUNCTYPE(None, ctypes.c_size_t, ctypes.c_void_p)(watcher.step),
            "edgec_on_rows": ctypes.CFUNCTYPE(
                None, ctypes.c_ssize_t, ctypes.c_void_p, *[ctypes.c_ssize_t] * 4
            )(watcher.rows),
        }  # fmt: skip
        for name, hook in hooks.items():
            ctypes.c_void_p.in_dll(self.library, name).value = ctypes.cast(hook, ctypes.c_void_p).value
        self._hooks = hooks  # must live as long as the library may call them

    def peek(self, address: int, nbytes: int) -> bytes:
        return ctypes.string_at(address, nbytes)

    def reset(self) -> None:
        self._check_open()
        check_code(f"{self._manifest.name}_reset", self._reset(self._state, *self._extra))

    def _check_open(self) -> None:
        if not self._finish.alive:
            raise RunError(f"this session of {self._manifest.name} is closed")

    def close(self) -> None:
        if stop := getattr(self, "_stop", None):
            stop()
        self._finish()


class _Ports:
    """Arrays that a call reads and writes, and where the library finds their addresses."""

    def __init__(self, inputs: list[Array], outputs: list[Array]) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._addresses = [_addresses(inputs), _addresses(outputs)]
        self.given, self.to = (ctypes.addressof(each) for each in self._addresses)


# numpy moves the address of an empty view; the library wants an aligned one for tensors of 0 bytes too
_NOTHING = aligned_bytes(ALIGNMENT)


def _addresses(arrays: Sequence[Array]) -> Any:
    found = [(array if array.size else _NOTHING).ctypes.data for array in arrays]
    return (ctypes.c_void_p * max(1, len(arrays)))(*found)


def _open_library(manifest: Manifest) -> tuple[ctypes.CDLL, int]:
    """The library and a descriptor to close after it. dlopen gives an older library back when it knows the path,
    so that a rebuilt artifact would run its former code: the path of a fresh descriptor is new."""
    path = manifest.directory / f"lib{manifest.name}.so"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    try:
        known = f"/proc/self/fd/{descriptor}"
        return ctypes.CDLL(known if os.path.exists(known) else str(path)), descriptor
    except OSError as error:
        os.close(descriptor)
        raise RunError(f"{path} cannot be loaded into this process: {error}") from error


def _close_library(library: ctypes.CDLL, descriptor: int) -> None:
    _ctypes.dlclose(library._handle)
    os.close(descriptor)
