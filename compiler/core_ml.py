"""The middle of a build for Core ML: passes, MIL, package, acceptance, verification by the evaluator."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgec.artifact import sha256, staged, staged_files
from edgec.core_ml_precision import HALVES, SettledPackage, check_precision, settle_package
from edgec.ir.errors import ToolError, UsageError
from edgec.ir.graph import Graph, Module
from edgec.ir.macs import total_macs
from edgec.made import Made, Request
from edgec.onnx_import.importer import import_model
from edgec.options import BuildOptions
from edgec.residency import residency_facts
from edgec.runtime.coreml.package import read_package
from edgec.runtime.errors import RunError
from edgec.runtime.session import load
from edgec.targets.c.emit_interface import c_name
from edgec.targets.coreml.deployment import Deployment
from edgec.verify_artifact import Verified, verify_session

if TYPE_CHECKING:
    from edgec.targets.apple.features import Feature
    from edgec.targets.coreml.program import Emitted

RUNNERS = {"auto": None, "evaluate": "evaluator", "coreml": "coreml"}
TOLERANCE = "max|a-b| <= 1e-4 max|b| and |a-b| <= 1e-3 |b| + 1e-5 max|b|"


def check_core_ml_options(options: BuildOptions, deployment: Deployment) -> None:
    """UsageError for what a package cannot be asked for; ToolError without coremltools."""
    if options.verify not in (*RUNNERS, "none"):
        raise UsageError(f"--verify {options.verify} is not for packages; legal: {', '.join((*RUNNERS, 'none'))}")
    if options.layers:
        raise UsageError("--layers is for CPU targets; a package's operators are compared by the fp16 doctor")
    if options.weights != "linked":
        raise UsageError(f"--weights {options.weights}: a package keeps its weights in weight.bin; leave it out")
    check_precision(options, deployment)
    import edgec.targets.coreml.mil  # noqa: F401  # ToolError where coremltools is missing


def make_package(module: Module, request: Request, deployment: Deployment) -> Made:
    """A package of the imported module, accepted and compared with the reference."""
    from edgec.targets.coreml.package import package_files
    from edgec.targets.coreml.program import emit
    from edgec.targets.coreml.reload import check_reload

    options, progress = request.options, request.progress
    graph = module.entries["main"]
    operators = len(graph.ops)
    settled = settle_package(module, deployment, options, request.images, progress)

    progress(f"emitting {len(graph.ops)} operators for {deployment.systems}")
    emitted = emit(module, deployment, settled.halves, settled.wide)
    name = c_name(options.name or request.model.stem)
    inside = package_files(emitted)
    package = f"{name}.mlpackage"
    files = {f"{package}/{path}": content for path, content in inside.items()}
    manifest = _manifest(name, package, deployment, request, emitted)
    receipt = _receipt(name, deployment, request, operators, emitted, inside, graph)
    receipt |= settled.facts

    progress("reading the package back")
    check_reload(inside)
    with staged_files(inside) as folder:
        receipt["residency"] = residency_facts(read_package(folder))
    if options.verify != "none":
        progress("verifying against the reference")
        original = import_model(request.model, request.imported).entries["main"]
        with staged(files, manifest) as folder:
            verified = _verified(folder, request, original, settled)
        receipt |= verified.facts
        files |= verified.files
    return Made(files, manifest, receipt, {})


def _verified(folder: Path, request: Request, original: Graph, settled: SettledPackage) -> Verified:
    options = request.options
    try:
        session = load(folder, runner=RUNNERS[options.verify])
    except RunError as error:
        raise ToolError(
            f"the package cannot be verified here (build with --verify none to go without): {error}"
        ) from None
    with session:
        narrowed = settled.narrowed
        if narrowed is None:
            return verify_session(session, request.model, original, options, request.images, count=False)
        with narrowed.meaning(_not_opened) as (meant, _):
            return verify_session(session, request.model, original, options, request.images, False, narrowed, meant)


def _not_opened(graph: Graph) -> Any:
    raise AssertionError("a package has no islands of floats between integers")


def _manifest(name: str, package: str, deployment: Deployment, request: Request, emitted: Emitted) -> dict[str, Any]:
    """What is needed to run the artifact; the hashes of its files come last."""
    return {
        "format": 1,
        "name": name,
        "target": request.family,
        "deployment": deployment.name,
        "package": package,
        "entry": "main",
        "inputs": [_port(f) for f in emitted.inputs],
        "outputs": [_port(f) for f in emitted.outputs],
        "states": [],
        "scratch_bytes": 0,
        "state_bytes": 0,
        "shapes": {n: list(dims) for n, dims in request.options.shapes.items()},
        "images": dict(request.options.images),
        "edgec": version("edgec"),
        "coremltools": version("coremltools"),
        "key": request.key,
    }


def _port(feature: Feature) -> dict[str, Any]:
    """As a caller of the model sees it, and `feature`, its name and dtype in the package."""
    shape = list(feature.shape)
    return {"name": feature.name, "dtype": feature.dtype, "shape": shape, "feature": feature.feature,
            "stored": feature.stored}  # fmt: skip


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
