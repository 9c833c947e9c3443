"""What the receipts of two artifacts say otherwise: from where a difference between their layers may come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgec.artifact import RECEIPT
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import Manifest

MISSING = "-"
# what is said -> where it is in a receipt
_PATHS: dict[str, tuple[str, ...]] = {
    "model": ("model", "file"),
    "sha256 of model": ("model", "sha256"),
    "edgec": ("versions", "edgec"),
    "zig": ("versions", "ziglang"),
    "target": ("target",),
    "CPU": ("cpu",),
    "system": ("os",),
    "multiply-adds": ("macs",),
    "kernel calls": ("operators", "calls"),
    "samples for ranges": ("quantization", "calibration", "source"),
    "sha256 of samples": ("quantization", "calibration", "sha256"),
    "observer of ranges": ("quantization", "calibration", "observer"),
    "rounding": ("quantization", "calibration", "weights"),
    "multiply-adds on bytes": ("quantization", "macs_share"),
    "arithmetic of halves": ("halves", "arithmetic"),
    "bytes of weights": ("memory", "weights_bytes"),
    "bytes of code": ("memory", "code_bytes"),
    "bytes of scratch": ("memory", "scratch_bytes"),
    "bytes of stack": ("memory", "stack_bytes"),
    "instructions": ("verification", "instructions"),
}


@dataclass(frozen=True)
class Fact:
    """What both say of the same thing."""

    name: str
    first: str
    second: str


def read_receipt(manifest: Manifest) -> dict[str, Any]:
    path = manifest.directory / RECEIPT
    try:
        receipt: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    return receipt


def precision_of(receipt: Mapping[str, Any]) -> str:
    narrowed = receipt.get("quantization") or receipt.get("halves") or {}
    return str(narrowed.get("precision", "float32"))


def differing_facts(a: Manifest, b: Manifest, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Fact]:
    """Of the receipts, the first one's figure and the second one's. Operators that only one keeps in floats, with the
    reason."""
    said = [Fact("precision", precision_of(first), precision_of(second))]
    for name, path in _PATHS.items():
        said.append(Fact(name, _shown(name, _at(first, path)), _shown(name, _at(second, path))))
    said.append(Fact("instruction set", _shown("", a.raw.get("isa")), _shown("", b.raw.get("isa"))))
    for what, end in (("sha256 of source", ".c"), ("sha256 of weights", "_weights.bin")):
        said.append(Fact(what, _shown(what, a.files.get(a.name + end)), _shown(what, b.files.get(b.name + end))))
    facts = [fact for fact in said if fact.first != fact.second]
    if precision_of(first) == precision_of(second):
        kept = _in_floats(first), _in_floats(second)
        for op in dict.fromkeys((*kept[0], *kept[1])):
            if kept[0].get(op) != kept[1].get(op):
                facts.append(Fact(op, *(f"in floats ({k[op]})" if op in k else "narrowed" for k in kept)))
    return facts


def _at(receipt: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = receipt
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _shown(name: str, value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else str(value)[:12] if "sha256" in name else str(value)


def _in_floats(receipt: Mapping[str, Any]) -> dict[str, str]:
    """Operators that were not narrowed, and the codes why."""
    narrowed = receipt.get("quantization") or receipt.get("halves") or {}
    return {str(k["op"]): str(k["code"]) for k in (*narrowed.get("kept_in_floats", ()), *narrowed.get("refused", ()))}
