"""`--target arm[:CPU]`: AArch64 libraries for Linux, Android, Apple's systems and bare metal."""

from __future__ import annotations

from edgec.ir.errors import UsageError
from edgec.targets.c.build import Platform
from edgec.targets.c.devices import Device, read_devices
from edgec.targets.c.toolchain import ARM_TRIPLES

DESCRIPTION = "AArch64 (Cortex-A, Neoverse, Apple), a static library"


def devices() -> dict[str, Device]:
    return read_devices("edgec.targets.arm")


def choose(cpu: str) -> Device:
    """The named core, or the code that runs on every one."""
    known = devices()
    name = (cpu or "generic").replace("_", "-")
    if name not in known:
        raise UsageError(f"--target arm:{cpu}: there is no such CPU; legal: {', '.join(known)}")
    return known[name]


def platform(system: str) -> Platform:
    if system not in ARM_TRIPLES:
        raise UsageError(f"--os {system}: there is no such system; legal: {', '.join(ARM_TRIPLES)}")
    macho = system in ("macos", "ios")
    # Mach-O objects do not link into the emulator's ELF image
    return Platform(ARM_TRIPLES[system], macho=macho, image=not macho)
