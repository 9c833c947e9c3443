"""Runs the AArch64 image NAME.elf as a program under qemu-aarch64 (Debian's qemu-user), which must be on the PATH.

The image serves requests on its standard input (see c/edgec_program.c); qemu's `-cpu` follows the artifact's CPU, so an
instruction that the CPU lacks ends the program.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.runtime.abi import check_code
from edgec.runtime.buffers import aligned_tensor
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import Manifest

Array = np.ndarray[Any, Any]

PROGRAM = "qemu-aarch64"
# The code that runs on every core runs on the oldest one; a core that qemu does not know is emulated with all features.
_OLDEST, _ANY = "cortex-a53", "max"


def qemu_version() -> str:
    """Such as `7.2.22`; nothing when qemu-aarch64 is missing."""
    path = shutil.which(PROGRAM)
    if path is None:
        return ""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    return words[words.index("version") + 1] if "version" in words else "of an unknown version"


def _cpu(manifest: Manifest) -> str:
    known = subprocess.run([PROGRAM, "-cpu", "help"], capture_output=True, text=True, check=False).stdout.split()
    wanted = manifest.cpu.replace("_", "-")
    return _OLDEST if wanted == "generic" else wanted if wanted in known else _ANY


class QemuRunner:
    """One process for the session; it keeps the model's state."""

    def __init__(self, manifest: Manifest) -> None:
        if not qemu_version():
            raise RunError(f"{PROGRAM} is not on the PATH: install qemu-user, or run with another --runner")
        image = manifest.directory / f"{manifest.name}.elf"
        if not os.access(image, os.X_OK):
            raise RunError(f"{image} is not executable: chmod +x it")
        self._manifest = manifest
        self.cpu = _cpu(manifest)
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the process
        self._process = subprocess.Popen(
            [PROGRAM, "-cpu", self.cpu, str(image), "serve"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._messages,
        )  # fmt: skip
        try:
            self._send(manifest.brought_weights() or b"")
            self._check("init")
        except RunError:
            self.close()
            raise

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self._send(b"R" + b"".join(array.tobytes() for array in arrays))
        self._check("run")
        results = []
        for tensor in self._manifest.outputs:
            result = aligned_tensor(tensor)
            result.reshape(-1).view(np.uint8)[:] = np.frombuffer(self._receive(tensor.nbytes), np.uint8)
            results.append(result)
        return results

    def reset(self) -> None:
        self._send(b"Z")
        self._check("reset")

    def close(self) -> None:
        """Ends the process by ending its input."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:  # it is gone already
                continue
        self._process.wait()
        self._messages.close()

    def _check(self, function: str) -> None:
        (code,) = struct.unpack("<i", self._receive(4))
        check_code(f"{self._manifest.name}_{function}", code)

    def _send(self, data: bytes) -> None:
        if self._messages.closed:
            raise RunError(f"this session of {self._manifest.name} is closed")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def _receive(self, size: int) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise self._death()
        return data

    def _death(self) -> RunError:
        code = self._process.wait()
        self._messages.seek(0)
        said = self._messages.read().decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"exit code {code}"
        return RunError(f"{self._manifest.name}.elf ended under {PROGRAM} -cpu {self.cpu}: {why}")
