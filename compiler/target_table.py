"""The targets by name. Adding one: its folder, and a row here."""

from __future__ import annotations

from typing import Protocol

from edgec.ir.errors import UsageError
from edgec.targets.arm import target as arm
from edgec.targets.c.build import Platform
from edgec.targets.c.devices import Device
from edgec.targets.host import target as host


class Target(Protocol):
    """What a target's module offers."""

    DESCRIPTION: str

    def devices(self) -> dict[str, Device]: ...
    def choose(self, cpu: str) -> Device: ...
    def platform(self, system: str) -> Platform: ...


TARGETS: dict[str, Target] = {"arm": arm, "host": host}


def choose_device(target: str) -> tuple[str, Device]:
    """The name of the target and the device of a text such as `arm:cortex-a76`; UsageError for an unknown one."""
    family, _, cpu = target.partition(":")
    if family not in TARGETS:
        raise UsageError(f"--target {target}: there is no such target; legal: {', '.join(TARGETS)}")
    return family, TARGETS[family].choose(cpu)
