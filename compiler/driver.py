"""The whole compiler on one screen: ONNX -> Module -> passes -> Plan -> C -> artifact -> run -> receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgec.artifact import (
    MANIFEST,
    RECEIPT,
    check_output,
    hashes,
    sha256,
    staged,
    to_json,
    with_hashes,
    write_artifact,
)
from edgec.build_facts import manifest_of, receipt_of
from edgec.build_key import build_key, unchanged
from edgec.gains import account
from edgec.image import parse_image, use_images
from edgec.ir.errors import VerifyError
from edgec.islands import opener
from edgec.labels import label_files, read_labels
from edgec.layers import layer_errors
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.onnx_import.reader import check_file
from edgec.options import RUNNER, BuildOptions, check_options
from edgec.plan_facts import FILE as PLAN
from edgec.plan_facts import plan_facts
from edgec.precision import settle
from edgec.report import FILE as REPORT
from edgec.report import report
from edgec.sample_inputs import check_ranges, sample_inputs
from edgec.step_costs import step_costs
from edgec.target_table import TARGETS, choose_device
from edgec.targets.c.build import make_files, make_plan
from edgec.targets.c.emit import Identity
from edgec.targets.c.emit_interface import c_name
from edgec.targets.c.lower.blocks import schedule_graph
from edgec.targets.c.toolchain import zig
from edgec.verify_artifact import ranges_of, reference_for, verify_staged


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
    # what can be refused before anything is computed
    family, device = choose_device(target)
    check_options(options, family)
    platform = TARGETS[family].platform(options.os)
    images = {name: parse_image(name, form) for name, form in options.images.items()}
    labels = () if options.labels is None else read_labels(options.labels)
    check_output(output)
    check_file(model)
    zig()
    key = build_key(model, target, device, options)
    if not options.rebuild and (found := unchanged(output, key)) is not None:
        return BuildResult(output, found, cached=True)

    progress(f"importing {model.name}")
    imported = ImportOptions(options.shapes, options.consts)
    module = import_model(model, imported)
    graph = module.entries["main"]
    operators = len(graph.ops)
    check_ranges([(v.name, v.type) for v in graph.inputs], options.ranges)
    use_images(graph, images)
    settled = settle(module, device, options, images, progress)

    progress(f"lowering {len(graph.ops)} operators for {device.name}")
    name = c_name(options.name or model.stem)
    segments = schedule_graph(graph, device.isa, device.memory, options.threads)
    plan = make_plan(graph, device, name, options.threads, segments)
    costs = step_costs(plan, device)
    facts = plan_facts(plan, costs)

    identity = Identity(version("edgec"), f"{family}:{device.name}")
    named = label_files(options.labels, labels, name, plan.outputs[0], identity)
    built = make_files(plan, device, identity, platform, progress, options.weights)
    files = {**built.files, PLAN: to_json(facts), **named.files}
    manifest = manifest_of(plan, device, family, options, platform.triple, key) | named.manifest
    receipt = receipt_of(plan, model, target, device, options, key, operators, built)
    receipt |= settled.facts
    receipt |= account(graph, device, segments, plan, costs, settled.effects, options.threads)

    if options.verify != "none":
        progress("verifying against the reference")
        original = import_model(model, imported).entries["main"]
        opened = opener(device, platform, identity, manifest, RUNNER[options.verify])
        with staged(files, manifest) as folder:
            verified = verify_staged(folder, model, original, options, images, plan, settled.narrowed, opened)
        receipt |= verified.facts
        files |= verified.files
        if options.layers:
            progress("comparing layer by layer")
            narrowed = settled.narrowed
            ports = [(p.name, p.type) for p in plan.inputs]
            random = sample_inputs(ports, options.seed, ranges_of(options, images))
            feeds = narrowed.samples[0] if narrowed and narrowed.samples else random
            reference = partial(reference_for, model, options.consts, original, images)
            receipt["layers"] = layer_errors(graph, opened, feeds, reference, narrowed)

    receipt["artifact"] = {"files": len(files), "sha256": sha256(to_json(hashes(files)))}
    files |= {RECEIPT: to_json(receipt), REPORT: report(receipt, facts)}
    files[MANIFEST] = to_json(with_hashes(manifest, files))
    _deliver(output, files, receipt)
    return BuildResult(output, receipt, cached=False)


def _deliver(output: Path, files: dict[str, bytes], receipt: dict[str, Any]) -> None:
    """The artifact in its place; beside it, and VerifyError, when an output is beyond the tolerance."""
    outputs = receipt.get("verification", {}).get("outputs", {})
    beyond = [name for name, result in outputs.items() if not result["pass"]]
    if not beyond:
        write_artifact(output, files)
        return
    failed = output.with_name(output.name + ".failed")
    write_artifact(failed, files)
    layer = next((f", first in {x['op']}" for x in receipt.get("layers", ()) if not x["pass"]), "")
    raise VerifyError(f"output '{beyond[0]}' is beyond the tolerance{layer}; what was built is in {failed}")
