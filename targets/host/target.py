"""`--target host`: a library for this machine, to load into this process."""

from __future__ import annotations

import platform as machine

from edgec.ir.errors import UsageError
from edgec.runtime.cpu import cpu_features, missing_features
from edgec.targets.c.build import Platform
from edgec.targets.c.devices import Device, read_devices

DESCRIPTION = "this machine, a shared library"


def devices() -> dict[str, Device]:
    return read_devices("edgec.targets.host")


def choose(cpu: str) -> Device:
    """The best instruction set that this machine has, or the named one."""
    known = devices()
    if cpu:
        if cpu not in known:
            raise UsageError(f"--target host:{cpu}: there is no such CPU; legal: {', '.join(known)}")
        return known[cpu]
    if machine.machine() in ("aarch64", "arm64"):
        return known["neon"]
    have = cpu_features() or frozenset()
    for name in ("avx512bf16", "avx512vnni", "avx512", "avx2"):
        if not missing_features(known[name].features, have):
            return known[name]
    raise UsageError(f"--target host needs AVX2 or AArch64, and this {machine.machine()} machine has neither")


def platform(system: str) -> Platform:
    if system != "linux":
        raise UsageError(f"--os {system}: --target host makes libraries for linux only")
    arm = machine.machine() in ("aarch64", "arm64")
    return Platform("aarch64-linux-gnu.2.28" if arm else "x86_64-linux-gnu.2.28", shared=True)
