"""Deployment targets: which version of Core ML a package is made for."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.ir.errors import UsageError

DESCRIPTION = "Core ML packages (ML Program) for iOS 15 and later, and macOS 12 and later"


@dataclass(frozen=True)
class Deployment:
    """`specification` is Model.proto's specificationVersion, `opset` the name of MIL's operator set."""

    name: str
    specification: int
    opset: str
    systems: str

    @property
    def number(self) -> int:
        """15, 16, 17, 18, 26: in order of what they can."""
        return int(self.name.removeprefix("ios"))


DEPLOYMENTS = {
    d.name: d
    for d in (
        Deployment("ios15", 6, "CoreML5", "iOS 15, macOS 12"),
        Deployment("ios16", 7, "CoreML6", "iOS 16, macOS 13"),
        Deployment("ios17", 8, "CoreML7", "iOS 17, macOS 14"),
        Deployment("ios18", 9, "CoreML8", "iOS 18, macOS 15"),
        Deployment("ios26", 10, "CoreML9", "iOS 26, macOS 26"),
    )
}
DEFAULT = "ios18"


def devices() -> dict[str, Deployment]:
    return dict(DEPLOYMENTS)


def choose(name: str) -> Deployment:
    """The named deployment target, or the default."""
    chosen = DEPLOYMENTS.get((name or DEFAULT).lower())
    if chosen is None:
        raise UsageError(f"--target coreml:{name}: there is no such deployment target; legal: {', '.join(DEPLOYMENTS)}")
    return chosen
