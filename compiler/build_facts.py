"""What manifest.json and receipt.json say of a build before anything has run."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgec.artifact import sha256
from edgec.options import BuildOptions
from edgec.plan.plan import Plan, Port
from edgec.targets.c.build import Built
from edgec.targets.c.devices import Device
from edgec.targets.c.element import extensions_of


def ports_of(ports: list[Port]) -> list[dict[str, Any]]:
    return [{"name": p.name, "dtype": p.type.dtype, "shape": list(p.type.dims)} for p in ports]


def manifest_of(
    plan: Plan, device: Device, family: str, options: BuildOptions, triple: str, key: str
) -> dict[str, Any]:
    """What is needed to run the artifact; the hashes of its files come last."""
    return {
        "format": 1,
        "name": plan.name,
        "target": family,
        "cpu": device.name,
        "cpu_features": list(device.features) if family == "host" else [],
        "extensions": extensions_of(plan, device.isa) if family != "host" else [],
        "isa": device.isa.name,
        "os": options.os,
        "triple": triple,
        "entry": "main",
        "inputs": ports_of(plan.inputs),
        "outputs": ports_of(plan.outputs),
        "states": ports_of(plan.states),
        "scratch_bytes": plan.scratch_bytes,
        "state_bytes": plan.state_bytes,
        "weights_bytes": len(plan.weights),
        "weights": options.weights,
        "shapes": {name: list(dims) for name, dims in options.shapes.items()},
        "images": dict(options.images),
        "edgec": version("edgec"),
        "zig": version("ziglang"),
        "key": key,
    }


def receipt_of(
    plan: Plan, model: Path, target: str, device: Device, options: BuildOptions, key: str, operators: int, built: Built
) -> dict[str, Any]:
    """Where it comes from and how large it is; `operators` is how many the import made."""
    return {
        "name": plan.name,
        "target": target,
        "cpu": device.name,
        "os": options.os,
        "model": {"file": model.name, "sha256": sha256(model.read_bytes())},
        "key": key,
        "versions": {p: version(p) for p in ("edgec", "ziglang", "onnx", "onnxruntime")},
        "operators": {"before": operators, "calls": len(plan.calls)},
        "macs": plan.macs,
        "memory": {
            "weights_bytes": len(plan.weights),
            "weights_by_kind": dict(sorted(plan.weights_by_kind.items())),
            "scratch_bytes": plan.scratch_bytes,
            "state_bytes": plan.state_bytes,
            "input_bytes": sum(p.type.nbytes for p in plan.inputs),
            "output_bytes": sum(p.type.nbytes for p in plan.outputs),
            "code_bytes": built.code_bytes,
            "stack_bytes": built.stack_bytes,
        },
        "tolerance": "max|a-b| <= 1e-4 max|b| and |a-b| <= 1e-3 |b| + 1e-5 max|b|; a rounding more in 16-bit floats",
    }
