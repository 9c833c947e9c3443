"""NAME.elf as a program: its requests and answers, under qemu where that is installed, and in the emulator always."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import unicorn
from test_build import MODEL, command
from test_cli import fails
from unicorn import arm64_const as a64

import edgec
from edgec.runtime.elf import read_elf
from edgec.runtime.emulator import _map_image
from edgec.runtime.errors import RunError

NAME = MODEL.stem
X = np.random.default_rng(2).standard_normal((1, 1, 28, 28)).astype(np.float32)


@pytest.fixture(scope="module", params=["linked", "file"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("arm") / "out"
    edgec.compile(MODEL, "arm", out, shapes={"input": (1, 1, 28, 28)}, weights=request.param, verify="none")
    return out


def expected(artifact: Path) -> np.ndarray:
    with edgec.load(artifact, runner="emulator") as session:
        return session.run(None, {"input": X})[0]


class Linux:
    """The four system calls that the program makes, on an emulated machine."""

    def __init__(self, image: Path, arguments: int, stdin: bytes) -> None:
        self.stdin, self.stdout, self.code = stdin, b"", -1
        self.free = 0x7000_0000
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        self.uc.ctl_set_cpu_model(a64.UC_CPU_ARM64_A72)
        self.uc.reg_write(a64.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        elf = read_elf(image)
        _map_image(self.uc, elf)
        self.uc.mem_map(0x6000_0000, 1 << 20)
        stack = 0x6000_0000 + (1 << 19)
        self.uc.mem_write(stack, arguments.to_bytes(8, "little"))
        self.uc.reg_write(a64.UC_ARM64_REG_SP, stack)
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self.system_call)
        self.uc.emu_start(elf.symbols["_start"], 0)

    def system_call(self, uc: Any, number: int, data: Any) -> None:
        x0, x1, x2, x8 = (
            uc.reg_read(r) for r in (a64.UC_ARM64_REG_X0, a64.UC_ARM64_REG_X1, a64.UC_ARM64_REG_X2, a64.UC_ARM64_REG_X8)
        )
        result = 0
        if x8 == 63:  # read, in small pieces as a pipe may give them
            assert x0 == 0
            piece = self.stdin[: min(x2, 4096)]
            self.stdin = self.stdin[len(piece) :]
            uc.mem_write(x1, piece)
            result = len(piece)
        elif x8 == 64:
            assert x0 == 1
            self.stdout += bytes(uc.mem_read(x1, min(x2, 1000)))
            result = min(x2, 1000)
        elif x8 == 222:
            size = -(-x1 // 4096) * 4096
            result, self.free = self.free, self.free + size
            uc.mem_map(result, size)
        else:
            assert x8 == 94, f"an unexpected system call {x8}"
            self.code = x0
            uc.emu_stop()
        uc.reg_write(a64.UC_ARM64_REG_X0, result)


def brought(artifact: Path) -> bytes:
    weights = artifact / f"{NAME}_weights.bin"
    return weights.read_bytes() if "const void *weights" in (artifact / f"{NAME}.h").read_text() else b""


def test_one_inference(artifact: Path) -> None:
    done = Linux(artifact / f"{NAME}.elf", 1, brought(artifact) + X.tobytes())
    assert done.code == 0
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.float32), expected(artifact).ravel())


def test_serving(artifact: Path) -> None:
    requests = b"R" + X.tobytes() + b"Z" + b"R" + (2 * X).tobytes()
    done = Linux(artifact / f"{NAME}.elf", 2, brought(artifact) + requests)
    assert done.code == 0
    size = 4 + 40
    assert len(done.stdout) == 4 + size + 4 + size  # init, run, reset, run
    assert done.stdout[:4] == bytes(4)
    np.testing.assert_array_equal(np.frombuffer(done.stdout[8:48], np.float32), expected(artifact).ravel())
    assert done.stdout[8:48] != done.stdout[-40:]


def test_truncated_input_is_an_error(artifact: Path) -> None:
    done = Linux(artifact / f"{NAME}.elf", 1, (brought(artifact) + X.tobytes())[:-4])
    assert done.code == 101
    assert done.stdout == b""


def test_runner(artifact: Path) -> None:
    """With qemu the same answers as in the emulator; without it one sentence."""
    if shutil.which("qemu-aarch64") is None:
        with pytest.raises(RunError, match="install qemu-user"):
            edgec.load(artifact, runner="qemu")
        return
    with edgec.load(artifact, runner="qemu") as session:
        assert session.executed_on.startswith("qemu-aarch64 ")
        assert session.executed_on.endswith("(cortex-a53)")
        np.testing.assert_array_equal(session.run(None, {"input": X})[0], expected(artifact))
        session.reset()
        np.testing.assert_array_equal(session.run(None, {"input": X})[0], expected(artifact))
    with pytest.raises(RunError, match="closed"):
        session.run(None, {"input": X})


def test_absent(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setenv("PATH", str(tmp_path))
    fails(tmp_path, 7, "qemu-aarch64 is not on the PATH", "run", str(artifact), "-i", "x.npy", "--runner", "qemu")
    assert "install qemu-user" in command("doctor", cwd=tmp_path).stdout


def test_what_is_not_for_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for qemu, which only says its version: the artifact is refused before anything is started."""
    qemu = tmp_path / "qemu-aarch64"
    qemu.write_text("#!/bin/sh\necho qemu-aarch64 version 7.2.22\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    edgec.compile(MODEL, "host", tmp_path / "out", shapes={"input": (1, 1, 28, 28)}, verify="none")
    with pytest.raises(RunError, match=r"was built for host.*, which is not for the qemu runner"):
        edgec.load(tmp_path / "out", runner="qemu")
