"""The whole compiler on one screen: ONNX -> Module -> passes -> Plan -> C -> artifact -> run -> receipt."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgec.artifact import MANIFEST, RECEIPT, check_output, sha256, to_json, write_artifact, write_files
from edgec.gains import account
from edgec.image import Image, parse_image, use_images
from edgec.ir.errors import ModelError, ToolError, UsageError, VerifyError
from edgec.labels import FILE as LABELS
from edgec.labels import check_labels, labels_text, read_labels
from edgec.layers import layer_errors
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.limits import VERIFY_BYTES
from edgec.onnx_import.options import ImportOptions
from edgec.onnx_import.reader import check_file, external_files
from edgec.options import VERIFY, BuildOptions
from edgec.passes import CPU_FLOAT
from edgec.pipeline import run_pipeline
from edgec.plan.plan import Plan, Port
from edgec.plan_facts import FILE as PLAN
from edgec.plan_facts import plan_facts
from edgec.report import FILE as REPORT
from edgec.report import report
from edgec.sample_inputs import check_ranges, sample_inputs
from edgec.step_costs import step_costs
from edgec.targets.arm import target as arm
from edgec.targets.c.build import Built, make_files, make_plan
from edgec.targets.c.devices import Device
from edgec.targets.c.emit import Identity
from edgec.targets.c.emit_interface import c_name
from edgec.targets.c.emit_labels import emit_labels
from edgec.targets.c.lower.blocks import schedule_graph
from edgec.targets.c.toolchain import zig
from edgec.targets.c.weights import STORAGES
from edgec.targets.host import target as host
from edgec.verify_artifact import ranges_of, reference_for, verify_session

Array = np.ndarray[Any, Any]
TARGETS: dict[str, Any] = {"arm": arm, "host": host}
# --verify -> the runner; `none` is not run
RUNNER = {"auto": None, "host": "host", "emulate": "emulator", "qemu": "qemu"}


@dataclass(frozen=True)
class BuildResult:
    directory: Path
    receipt: dict[str, Any]
    cached: bool


def build(
    model: Path, target: str, output: Path, options: BuildOptions, progress: Callable[[str], None] = lambda _: None
) -> BuildResult:
    """Compiles `model` for `target` (`arm`, `arm:cortex-a76`, `host` …) into the folder `output`.

    Raises a leaf of EdgecError; then an older artifact in `output` is as it was."""
    if options.layers and options.verify == "none":
        raise UsageError("--layers runs the model, and --verify none does not: give one of them")
    device, chosen = choose_device(target)
    family = target.partition(":")[0]
    if options.verify not in VERIFY:
        raise UsageError(f"--verify {options.verify} is not legal; legal: {', '.join(VERIFY)}")
    if family == "host" and options.verify in ("emulate", "qemu"):
        raise UsageError(
            f"--verify {options.verify}: what is built for the host runs here; only --target arm is emulated"
        )
    if options.weights not in STORAGES:
        raise UsageError(f"--weights {options.weights} is not legal; legal: {', '.join(STORAGES)}")
    platform = chosen.platform(options.os)
    images = {name: parse_image(name, form) for name, form in options.images.items()}
    labels = () if options.labels is None else read_labels(options.labels)
    check_output(output)
    check_file(model)
    zig()  # a missing compiler is told before anything is computed
    key = _key(model, target, device, options)
    if not options.force and (found := _unchanged(output, key)) is not None:
        return BuildResult(output, found, cached=True)
    name = c_name(options.name or model.stem)

    progress(f"importing {model.name}")
    imported = ImportOptions(options.shapes, options.consts)
    module = import_model(model, imported)
    check_ranges([(v.name, v.type) for v in module.entries["main"].inputs], options.ranges)
    graph = module.entries["main"]
    before = len(graph.ops)
    use_images(graph, images)
    effects = run_pipeline(module, CPU_FLOAT)
    progress(f"lowering {len(graph.ops)} operators for {device.name}")
    segments = schedule_graph(graph, device.isa, device.memory, options.threads)
    plan = make_plan(graph, device, name, options.threads, segments)
    costs = step_costs(plan, device)
    if options.labels is not None:
        check_labels(options.labels, labels, plan.outputs[0])
    identity = Identity(version("edgec"), f"{family}:{device.name}")
    built = make_files(plan, device, identity, platform, progress, options.weights)
    files = built.files
    facts = plan_facts(plan, costs)
    files[PLAN] = to_json(facts)
    if labels:
        files |= {LABELS: labels_text(labels), f"{name}_labels.h": emit_labels(name, labels, identity).encode()}
    receipt = _receipt(plan, model, target, device, options, key, before, built)
    receipt |= account(graph, device, segments, plan, costs, effects, options.threads)
    stack = tempfile.mkdtemp(prefix="edgec-verify-")
    try:
        staged = Path(stack) / name
        staged.mkdir()
        manifest = _manifest(plan, device, family, options, platform.triple, key)
        if labels:
            manifest["labels"] = {"file": LABELS, "output": plan.outputs[0].name, "classes": len(labels)}
        write_files(staged, files)
        (staged / MANIFEST).write_bytes(to_json({**manifest, "files": _hashes(files)}))
        if options.verify != "none":
            progress("verifying against the reference")
            _verify(staged, model, imported, options, images, receipt)
        if options.layers:
            progress("comparing layer by layer")
            feeds = sample_inputs([(p.name, p.type) for p in plan.inputs], options.seed, ranges_of(options, images))

            def tensors(names: Sequence[str]) -> tuple[Mapping[str, Array], str]:
                original = import_model(model, imported).entries["main"]
                run, label = reference_for(model, options.consts, original, images, names)
                return run(feeds), label

            receipt["layers"] = layer_errors(
                graph, device, platform, identity, manifest, feeds, RUNNER[options.verify], tensors
            )
    finally:
        shutil.rmtree(stack, ignore_errors=True)
    receipt["artifact"] = {"files": len(files), "sha256": sha256(to_json(_hashes(files)))}
    files[RECEIPT], files[REPORT] = to_json(receipt), report(receipt, facts)
    files[MANIFEST] = to_json({**manifest, "files": _hashes(files)})
    if not receipt.get("verification", {"pass": True})["pass"]:
        failed = output.with_name(output.name + ".failed")
        write_artifact(failed, files)
        worst = [n for n, r in receipt["verification"]["outputs"].items() if not r["pass"]]
        layer = next((f", first in {x['op']}" for x in receipt.get("layers", ()) if not x["pass"]), "")
        raise VerifyError(f"output '{worst[0]}' is beyond the tolerance{layer}; what was built is in {failed}")
    write_artifact(output, files)
    return BuildResult(output, receipt, cached=False)


def choose_device(target: str) -> tuple[Device, Any]:
    """The device and the module of a target such as `arm:cortex-a76`; UsageError for an unknown one."""
    family, _, cpu = target.partition(":")
    if family not in TARGETS:
        raise UsageError(f"--target {target}: there is no such target; legal: {', '.join(TARGETS)}")
    return TARGETS[family].choose(cpu), TARGETS[family]


def _verify(
    staged: Path, model: Path, imported: ImportOptions, options: BuildOptions, images: dict[str, Image],
    receipt: dict[str, Any],
) -> None:  # fmt: skip
    from edgec.runtime.errors import RunError
    from edgec.runtime.session import load

    memory = receipt["memory"]
    needed = memory["scratch_bytes"] + memory["state_bytes"] + memory["input_bytes"] + memory["output_bytes"]
    if needed > VERIFY_BYTES:
        raise ToolError(
            f"verifying takes {needed} bytes; at most {VERIFY_BYTES} are allowed: build with --verify none"
        )
    runner = RUNNER[options.verify]
    emulated = (staged / f"{receipt['name']}.elf").exists()
    try:
        session = load(staged, runner=runner, count=emulated)
    except RunError as error:
        raise ToolError(
            f"the artifact cannot be verified here (build with --verify none to go without): {error}"
        ) from None
    with session:
        original = import_model(model, imported).entries["main"]
        verification, scored = verify_session(session, model, original, options, images, emulated and session.counts)
    receipt["verification"] = verification
    if scored is not None:
        receipt["accuracy"] = scored


def _hashes(files: dict[str, bytes]) -> dict[str, str]:
    return {name: sha256(content) for name, content in files.items()}


def _key(model: Path, target: str, device: Device, options: BuildOptions) -> str:
    """Hash of everything that the artifact depends on: model, external data beside it, options, versions."""
    digest = hashlib.sha256()
    try:
        digest.update(model.read_bytes())
        for path in external_files(model):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be read: {error.strerror}") from None
    for option, given in (("--data", options.data), ("--labels", options.labels)):
        try:
            digest.update(given.read_bytes() if given is not None else b"")
        except OSError as error:
            raise UsageError(f"{option} {given} cannot be read: {error.strerror}") from None
    facts = asdict(options) | {"consts": {k: (v.dtype.str, v.tolist()) for k, v in options.consts.items()}}
    del facts["force"]
    versions = [version(p) for p in ("edgec", "ziglang", "onnx", "numpy", "onnxruntime")]
    digest.update(repr((target, device, sorted(facts.items(), key=lambda i: i[0]), versions, _sources())).encode())
    return digest.hexdigest()


def _sources() -> str:
    """Hash of edgec's own files: an editable install changes without a new version."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    import edgec.passes
    import edgec.runtime
    import edgec.targets

    folders = [root, *(Path(str(m.__file__)).parent for m in (edgec.passes, edgec.runtime, edgec.targets))]
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".h", ".c", ".toml"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _unchanged(output: Path, key: str) -> dict[str, Any] | None:
    """The receipt of an artifact that was built from the very same things and is still whole."""
    from edgec.runtime.errors import RunError
    from edgec.runtime.manifest import check_files, read_manifest

    try:
        manifest = read_manifest(output)
        if manifest.raw.get("key") != key:
            return None
        check_files(manifest)
        found: dict[str, Any] = json.loads((output / RECEIPT).read_bytes())
        return found
    except (RunError, OSError, ValueError):
        return None


def _ports(ports: list[Port]) -> list[dict[str, Any]]:
    return [{"name": p.name, "dtype": p.type.dtype, "shape": list(p.type.dims)} for p in ports]


def _manifest(plan: Plan, device: Device, family: str, options: BuildOptions, triple: str, key: str) -> dict[str, Any]:
    return {
        "format": 1,
        "name": plan.name,
        "target": family,
        "cpu": device.name,
        "cpu_features": list(device.features) if family == "host" else [],
        "isa": device.isa.name,
        "os": options.os,
        "triple": triple,
        "entry": "main",
        "inputs": _ports(plan.inputs),
        "outputs": _ports(plan.outputs),
        "states": _ports(plan.states),
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


def _receipt(
    plan: Plan, model: Path, target: str, device: Device, options: BuildOptions, key: str, before: int, built: Built
) -> dict[str, Any]:
    return {
        "name": plan.name,
        "target": target,
        "cpu": device.name,
        "os": options.os,
        "model": {"file": model.name, "sha256": sha256(model.read_bytes())},
        "key": key,
        "versions": {p: version(p) for p in ("edgec", "ziglang", "onnx", "onnxruntime")},
        "operators": {"before": before, "calls": len(plan.calls)},
        "macs": plan.macs,
        "memory": {
            "weights_bytes": len(plan.weights),
            "scratch_bytes": plan.scratch_bytes,
            "state_bytes": plan.state_bytes,
            "input_bytes": sum(p.type.nbytes for p in plan.inputs),
            "output_bytes": sum(p.type.nbytes for p in plan.outputs),
            "code_bytes": built.code_bytes,
            "stack_bytes": built.stack_bytes,
        },
        "tolerance": "max|a-b| <= 1e-4 max|b| and |a-b| <= 1e-3 |b| + 1e-5 max|b|",
    }
