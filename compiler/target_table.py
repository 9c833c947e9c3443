"""The targets by name. Adding one: its folder, and a row here."""

from __future__ import annotations

from typing import Protocol

from edgec.ir.errors import UsageError
from edgec.targets.arm import target as arm
from edgec.targets.c.build import Platform
from edgec.targets.c.devices import Device
from edgec.targets.coreml import deployment
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.host import target as host


class Target(Protocol):
    """What the module of a CPU target offers."""

    DESCRIPTION: str

    def devices(self) -> dict[str, Device]: ...
    def choose(self, cpu: str) -> Device: ...
    def platform(self, system: str) -> Platform: ...


TARGETS: dict[str, Target] = {"arm": arm, "host": host}


COREML = "coreml"


def families() -> list[str]:
    return [*TARGETS, COREML]


def choose_target(target: str) -> tuple[str, Device | Deployment]:
    """The name of the target and the device of a text such as `arm:cortex-a76`, or the deployment target of one such
    as `coreml:ios17`; UsageError for an unknown one."""
    family, _, chosen = target.partition(":")
    if family == COREML:
        return family, deployment.choose(chosen)
    if family not in TARGETS:
        raise UsageError(f"--target {target}: there is no such target; legal: {', '.join(families())}")
    return family, TARGETS[family].choose(chosen)


def choose_device(target: str) -> tuple[str, Device]:
    """As `choose_target`, of what runs plans; UsageError for Core ML, which has none."""
    family, chosen = choose_target(target)
    if isinstance(chosen, Deployment):
        raise UsageError(f"--target {target}: this is for CPUs; legal: {', '.join(TARGETS)}")
    return family, chosen
