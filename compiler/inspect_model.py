"""`edgec inspect`: what a model asks for, what is not supported, what a target makes of it; facts of an artifact."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgec.artifact import RECEIPT
from edgec.emitted_package import saved
from edgec.gains import account
from edgec.inspect_package import inspect_package
from edgec.ir.errors import UnsupportedError
from edgec.ir.graph import Module
from edgec.ir.macs import total_macs
from edgec.narrowed_text import quantization_lines
from edgec.onnx_import.importer import import_proto
from edgec.onnx_import.options import ImportOptions
from edgec.onnx_import.reader import read_model, standard_opset
from edgec.options import BuildOptions
from edgec.own_codes import count_bytes, keep_codes
from edgec.passes import COREML, CPU_FLOAT
from edgec.pipeline import run_pipeline
from edgec.plan_facts import FILE as PLAN
from edgec.plan_facts import memory_map, plan_facts, step_list
from edgec.quantised_model import is_quantised, settle_quantised
from edgec.receipt_text import account_lines, checked_lines, leaving_lines
from edgec.residency import residency_facts
from edgec.runtime.coreml.runner import package_path
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import check_files, read_manifest
from edgec.runtime.session import is_package
from edgec.step_costs import step_costs
from edgec.target_table import choose_target
from edgec.targets.c.build import make_plan
from edgec.targets.c.devices import Device
from edgec.targets.c.emit_interface import c_name
from edgec.targets.c.lower.row_schedule import schedule_graph
from edgec.targets.coreml.deployment import Deployment


def inspect_model(path: Path, bindings: ImportOptions, target: str) -> Iterator[str]:
    """Lines to print. UnsupportedError at the end when something is not supported: its reasons are printed before."""
    device = choose_target(target)[1] if target else None
    proto = read_model(path)
    yield f"{path.name}: ONNX opset {standard_opset(proto)}, {len(proto.graph.node)} nodes"
    for kind, count in Counter(_kind(node) for node in proto.graph.node).most_common():
        yield f"{count:6} {kind}"
    try:
        module = import_proto(proto, path.parent, bindings)
    except UnsupportedError as error:
        yield from _refused("not supported", error)
        raise
    graph = module.entries["main"]
    yield f"imported: {len(graph.ops)} core operators"
    for kind, count in Counter(op.kind for op in graph.ops).most_common():
        yield f"{count:6} {kind}"
    for value in graph.inputs:
        yield f"input  {value.name} {value.type}"
    for name, value in graph.outputs:
        yield f"output {name} {value.type}"
    parameters = sum(array.nbytes for array in module.constants.values())
    yield f"{total_macs(graph):,} multiply-adds, {parameters:,} B of parameters"
    if isinstance(device, Deployment):
        yield from _package(module, device)
    elif device is not None:
        yield from _library(module, device, target, path.stem)


def _package(module: Module, deployment: Deployment) -> Iterator[str]:
    """What would be emitted for Core ML."""
    from edgec.targets.coreml.program import emit

    run_pipeline(module, COREML)
    try:
        emitted = emit(module, deployment, halves=True)
    except UnsupportedError as error:
        yield from _refused(f"not supported for {deployment.systems}", error)
        raise
    yield f"for {deployment.systems}, computing in halves: {emitted.operators} operators of {deployment.opset}"
    yield from (f"  note: {note}" for note in emitted.notes)
    with saved(emitted) as package:
        yield from leaving_lines(residency_facts(package))


def _library(module: Module, device: Device, target: str, stem: str) -> Iterator[str]:
    """What would be planned for a CPU."""
    graph = module.entries["main"]
    if is_quantised(graph):
        effects, facts = settle_quantised(module, device)
        yield from quantization_lines(facts)
    else:
        count_bytes(module)
        effects = run_pipeline(module, CPU_FLOAT)
        if module.narrow:
            yield from quantization_lines(keep_codes(module))
    threads = BuildOptions().threads
    segments = schedule_graph(graph, device.isa, device.memory, threads)
    try:
        plan = make_plan(graph, device, c_name(stem), threads, segments)
    except UnsupportedError as error:
        yield from _refused(f"not supported for {target}", error)
        raise
    yield (
        f"for {target} ({device.name}): {len(plan.calls)} kernel calls in {len(plan.steps)} steps, "
        f"{len(plan.weights):,} B of packed weights"
    )
    if len(plan.weights_by_kind) > 1:
        yield ", ".join(f"{size:,} B of them {kind}" for kind, size in plan.weights_by_kind.most_common())
    costs = step_costs(plan, device)
    yield from account_lines(account(graph, device, segments, plan, costs, effects, threads))
    facts = plan_facts(plan, costs)
    yield from step_list(facts)
    yield from memory_map(facts)


def _kind(node: Any) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)


def _refused(what: str, error: UnsupportedError) -> Iterator[str]:
    yield f"{what}: {len(error.reasons)}"
    yield from (f"  {reason}" for reason in error.reasons)


def inspect_artifact(directory: Path) -> Iterator[str]:
    """The same facts of what was built, or of a Core ML package. RunError when it is not whole."""
    if is_package(directory):
        yield from inspect_package(directory)
        return
    manifest = read_manifest(directory)
    check_files(manifest)
    if "package" in manifest.raw:
        yield f"{manifest.name} for {manifest.target}:{manifest.raw['deployment']}, by edgec {manifest.raw['edgec']}"
        yield from inspect_package(package_path(manifest))
        yield from checked_lines(json.loads((directory / RECEIPT).read_bytes()))
        return
    try:
        receipt = json.loads((directory / RECEIPT).read_bytes())
        facts = json.loads((directory / PLAN).read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{directory} was built by an older edgec: build it again ({error})") from None
    raw = manifest.raw
    yield f"{manifest.name} for {raw['target']}:{raw['cpu']} ({raw['triple']}), built by edgec {raw['edgec']}"
    for kind, tensors in (("input", manifest.inputs), ("output", manifest.outputs), ("state", manifest.states)):
        for tensor in tensors:
            yield f"{kind:6} {tensor.name} {tensor}" + (
                f" image {raw['images'][tensor.name]}" if kind == "input" and tensor.name in raw["images"] else ""
            )
    yield (
        f"{receipt['macs']:,} multiply-adds, {receipt['operators']['calls']} kernel calls in {len(facts['calls'])} "
        f"steps, weights {raw['weights']}"
    )
    for name, size in sorted(receipt["memory"].items()):
        if not isinstance(size, dict):
            yield f"{name:14} {'unknown' if size is None else format(size, ',')}"
    for kind, size in receipt["memory"]["weights_by_kind"].items():
        yield f"{size:,} B of weights are {kind}"
    yield from checked_lines(receipt)
    yield from account_lines(receipt)
    yield from step_list(facts)
    yield from memory_map(facts)
