"""The middle of a build for Core ML: passes, MIL, package, acceptance, verification by the evaluator."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edgec.artifact import sha256, staged_files
from edgec.core_ml_precision import HALVES, check_precision, settle_package
from edgec.ir.errors import UsageError, VerifyError
from edgec.ir.graph import Graph, Module
from edgec.ir.macs import total_macs
from edgec.made import Made, Request
from edgec.options import BuildOptions
from edgec.package_entries import Entries, package_entries
from edgec.package_files import label_files, port_of, presentation_of, swift_files
from edgec.package_verify import RUNNERS, spread, verify_package
from edgec.residency import residency_facts
from edgec.runtime.coreml.check import contradictions
from edgec.runtime.coreml.package import read_package
from edgec.targets.apple.features import Interface, at_shape
from edgec.targets.c.emit_interface import c_name
from edgec.targets.coreml.deployment import Deployment

if TYPE_CHECKING:
    from edgec.targets.coreml.program import Emitted

# options of libraries, which a package would have to ignore
OF_LIBRARIES = {
    "--os": "os", "--threads": "threads", "--force": "force", "--integers-only": "whole", "--low-rank": "low_rank",
    "--max-drop": "max_drop", "--max-error": "max_error",
}  # fmt: skip
TOLERANCE = "max|a-b| <= 1e-4 max|b| and |a-b| <= 1e-3 |b| + 1e-5 max|b|"


def check_core_ml_options(options: BuildOptions, deployment: Deployment) -> None:
    """UsageError for what a package cannot be asked for; ToolError without coremltools."""
    if options.verify not in (*RUNNERS, "none"):
        raise UsageError(f"--verify {options.verify} is not for packages; legal: {', '.join((*RUNNERS, 'none'))}")
    if options.layers:
        raise UsageError("--layers is for CPU targets; a package's operators are compared by the fp16 doctor")
    if options.weights != "linked":
        given = "--single-file" if options.weights == "inline" else f"--weights {options.weights}"
        raise UsageError(f"{given}: a package keeps its weights in weight.bin; leave it out")
    plain = BuildOptions()
    for option, name in OF_LIBRARIES.items():
        if getattr(options, name) != getattr(plain, name):
            raise UsageError(f"{option} is for CPU targets, and says nothing of a package: leave it out")
    check_precision(options, deployment)
    import edgec.targets.coreml.mil  # noqa: F401  # ToolError where coremltools is missing


def make_package(module: Module, request: Request, deployment: Deployment) -> Made:
    """A package of the imported module, accepted and compared with the reference."""
    from edgec.targets.coreml.flexible import emit_flexible
    from edgec.targets.coreml.package import package_files
    from edgec.targets.coreml.program import emit
    from edgec.targets.coreml.reload import check_reload

    options, progress = request.options, request.progress
    entries = package_entries(module, request, deployment)
    graph = next(iter(entries.module.entries.values()))
    operators = len(graph.ops)
    settled = settle_package(entries.module, deployment, options, request.images, progress)

    progress(f"emitting {len(graph.ops)} operators for {deployment.systems}")
    presentation = presentation_of(request, entries.colors)
    several = options.package.variants
    if several:
        emitted = emit_flexible(
            entries.module, deployment, settled.halves, settled.wide, presentation, options.package.ranged
        )
    else:
        emitted = emit(entries.module, deployment, settled.halves, settled.wide, presentation)
    name = c_name(options.name or request.model.stem)
    inside = package_files(emitted)
    package = f"{name}.mlpackage"
    files = {f"{package}/{path}": content for path, content in inside.items()}
    beside, labels = label_files(request.labels, emitted.interface)
    files |= beside
    manifests = {
        entry: _manifest(name, package, deployment, request, interface, entries) | labels
        for entry, interface in _interfaces(emitted, entries).items()
    }
    receipt = _receipt(name, deployment, request, operators, emitted, inside, graph)
    receipt["notes"] += entries.notes
    receipt |= settled.facts

    progress("reading the package back")
    check_reload(inside)
    with staged_files(inside) as folder:
        saved = read_package(folder)
        if wrong := contradictions(saved):
            raise VerifyError(f"the package contradicts itself: {wrong[0]}")
        receipt["residency"] = residency_facts(saved)
    calls: dict[str, Any] = {}
    if options.verify != "none":
        progress("verifying against the reference")
        looked = manifests if not options.package.ranged else spread(manifests)
        found = verify_package(files, looked, request, entries, settled)
        receipt |= found.verified.facts
        files |= found.verified.files
        calls = {"main": found.calls["main"]} if several else found.calls
    interfaces = [f.interface for f in emitted.functions]
    compared = receipt.get("verification", {}).get("outputs", {}).values()
    off = max((result.get("relative_to_max", 0.0) for result in compared), default=0.0)
    files |= swift_files(name, interfaces, calls, deployment, emitted.halves, off)
    return Made(files, next(iter(manifests.values())), receipt, {})


def _interfaces(emitted: Emitted, entries: Entries) -> dict[str, Interface]:
    """Of each entry: a function's own, or the only one's at each of its shapes."""
    if len(emitted.functions) > 1:
        return {f.interface.function: f.interface for f in emitted.functions}
    at = {entry: i for i, entry in enumerate(entries.module.entries)}
    return {entry: at_shape(emitted.interface, i) for entry, i in at.items()}


def _manifest(
    name: str, package: str, deployment: Deployment, request: Request, interface: Interface, entries: Entries
) -> dict[str, Any]:
    """What is needed to run the artifact; the hashes of its files come last. `carried` says of each state by which of
    the model's inputs and outputs it came and went."""
    return {
        "format": 1,
        "name": name,
        "target": request.family,
        "deployment": deployment.name,
        "package": package,
        "entry": interface.function,
        "inputs": [port_of(f) for f in interface.inputs],
        "outputs": [port_of(f) for f in interface.outputs],
        "states": [port_of(f) for f in interface.states],
        "carried": dict(entries.states),
        "scratch_bytes": 0,
        "state_bytes": sum(2 * math.prod(f.shape) for f in interface.states),
        "shapes": {n: list(dims) for n, dims in request.options.shapes.items()},
        "images": dict(request.options.images),
        "edgec": version("edgec"),
        "coremltools": version("coremltools"),
        "key": request.key,
    }


def _receipt(
    name: str, deployment: Deployment, request: Request, operators: int, emitted: Emitted, inside: dict[str, bytes],
    graph: Graph,
) -> dict[str, Any]:  # fmt: skip
    size = sum(len(content) for content in inside.values())
    return {
        "name": name,
        "target": request.target,
        "cpu": deployment.name,
        "os": deployment.systems,
        "model": {"file": request.model.name, "sha256": sha256(request.model.read_bytes())},
        "key": request.key,
        "versions": {p: version(p) for p in ("edgec", "coremltools", "onnx", "onnxruntime")},
        "operators": {"before": operators, "calls": emitted.operators},
        "macs": total_macs(graph),
        "package": {"opset": deployment.opset, "specification": deployment.specification, "bytes": size,
                    "weights_bytes": len(emitted.weights), "compute": "fp16" if emitted.halves else "float32"},
        "notes": list(emitted.notes),
        "tolerance": HALVES if emitted.halves else TOLERANCE,
    }  # fmt: skip
