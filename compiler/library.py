"""The middle of a build for CPU targets: passes, Plan, C, libraries, verification."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from edgec.artifact import staged, to_json
from edgec.build_facts import manifest_of, receipt_of
from edgec.gains import account
from edgec.ir.graph import Graph, Module
from edgec.islands import Open, opener
from edgec.labels import label_files
from edgec.layers import layer_errors
from edgec.made import Made, Request
from edgec.onnx_import.importer import import_model
from edgec.options import RUNNER
from edgec.plan.plan import Port
from edgec.plan_facts import FILE as PLAN
from edgec.plan_facts import plan_facts
from edgec.precision import Settled, settle
from edgec.sample_inputs import sample_inputs
from edgec.step_costs import step_costs
from edgec.targets.c.build import Platform, make_files, make_plan
from edgec.targets.c.devices import Device
from edgec.targets.c.emit import Identity
from edgec.targets.c.emit_interface import c_name
from edgec.targets.c.lower.row_schedule import schedule_graph
from edgec.verify_artifact import reference_for, verify_staged


def make_library(module: Module, request: Request, device: Device, platform: Platform) -> Made:
    """A verified library of the imported module; whether its outputs are near enough stands in the receipt."""
    options, progress, images = request.options, request.progress, request.images
    graph = module.entries["main"]
    operators = len(graph.ops)
    settled = settle(module, device, options, images, progress)

    progress(f"lowering {len(graph.ops)} operators for {device.name}")
    name = c_name(options.name or request.model.stem)
    segments = schedule_graph(graph, device.isa, device.memory, options.threads)
    plan = make_plan(graph, device, name, options.threads, segments)
    costs = step_costs(plan, device)
    facts = plan_facts(plan, costs)

    identity = Identity(version("edgec"), f"{request.family}:{device.name}")
    named = label_files(options.labels, request.labels, name, plan.outputs[0], identity)
    built = make_files(plan, device, identity, platform, progress, options.weights)
    files = {**built.files, PLAN: to_json(facts), **named.files}
    manifest = manifest_of(plan, device, request.family, options, platform.triple, request.key) | named.manifest
    receipt = receipt_of(plan, request.model, request.target, device, options, request.key, operators, built)
    receipt |= settled.facts
    receipt |= account(graph, device, segments, plan, costs, settled.effects, options.threads)

    if options.verify != "none":
        progress("verifying against the reference")
        original = import_model(request.model, request.imported).entries["main"]
        opened = opener(device, platform, identity, manifest, RUNNER[options.verify])
        with staged(files, manifest) as folder:
            verified = verify_staged(
                folder, request.model, original, options, images, plan, settled.narrowed, settled.samples, opened
            )
        receipt |= verified.facts
        files |= verified.files
        if options.layers:
            progress("comparing layer by layer")
            receipt["layers"] = _layers(graph, opened, request, original, plan.inputs, settled)
    return Made(files, manifest, receipt, facts)


def _layers(
    graph: Graph, opened: Open, request: Request, original: Graph, inputs: Sequence[Port], settled: Settled
) -> list[dict[str, Any]]:
    options, images = request.options, request.images
    random = sample_inputs([(p.name, p.type) for p in inputs], options.seed, options.ranges)
    feeds = settled.samples[0] if settled.samples else random
    reference = partial(reference_for, request.model, options.consts, original, images)
    return layer_errors(graph, opened, feeds, reference, settled.narrowed)
