"""`--precision int8`: weights and values of bytes, where bytes pay."""

from __future__ import annotations

from typing import Any

from edgec.bounds import Bound, Loss, MakeBound
from edgec.calibration import Calibration
from edgec.halves_beside_bytes import halves_beside_bytes, held_by_halves
from edgec.int8_trials import in_integers
from edgec.ir.copying import become, copy_module
from edgec.ir.graph import Module
from edgec.ir.macs import total_macs
from edgec.no_regret import slower_on_bytes
from edgec.passes.split_recurrent import split_recurrent
from edgec.quantize import operators_on_bytes
from edgec.search import CODE
from edgec.states_on_bytes import has_states, states_on_bytes
from edgec.static_steps import (
    Choice,
    measured,
    on_bytes,
    refit,
    smoothed,
    spare_inputs,
    spare_last,
    spare_rows,
    spare_spreads,
)
from edgec.targets.c.devices import Device
from edgec.within_bound import answers_of, bound_of, within_bound

Facts = dict[str, Any]
# What is measured here is not the core's to the last bit of a sum in halves: figures differ by 1.5 % of what is lost.
SLACK = 1.05
NO_HALVES = "as halves, operators left in floats take the model beyond the bound, or next to it: they stay in float32"


def static_int8(
    module: Module, device: Device, data: Calibration, observer: str, force: bool, bounded: MakeBound | None = None,
    whole: bool = False,
) -> Facts:  # fmt: skip
    """Makes the module's graph one on bytes; what the receipt says of it. The graph stands before FUSED. Operators that
    are predicted to be no faster so stay in floats, unless `force`; so do those that take the model beyond a bound.
    Without `force`, floats are halves where the device has arithmetic on them and the bound holds with them. `whole`:
    all that has an integer form is on bytes, up to the outputs."""
    (graph,) = module.entries.values()
    split_recurrent(graph)
    bound = bound_of(graph, bounded)
    force |= whole
    native = device.isa.half_lanes > 0 and not force
    if bound is None or not native:
        return _static_int8(module, device, data, observer, bound, force, whole, native)
    made, _ = copy_module(module)
    facts = _static_int8(made, device, data, observer, bound, native=True)
    if not facts["halves"]["operators_in_halves"]:
        become(module, made)
        return facts
    loss = _loss_of(made, device, bound)
    if loss.value * SLACK <= bound.most:
        become(module, made)
        return _in_halves(facts, module, loss)
    # without halves other operators are cheaper on bytes, so that all is chosen again
    facts = _static_int8(module, device, data, observer, bound)
    return facts | {"halves": _beyond(facts, loss)}


def _static_int8(
    module: Module, device: Device, data: Calibration, observer: str, bound: Bound | None, force: bool = False,
    whole: bool = False, native: bool = False,
) -> Facts:  # fmt: skip
    """`native`: what is left in floats is made halves, which the search for a bound takes for floats."""
    (graph,) = module.entries.values()
    macs = total_macs(graph)
    chosen = operators_on_bytes(graph, whole=whole)
    halves = held_by_halves(graph, chosen, data.samples) if native else set()
    slower = [] if force else slower_on_bytes(graph, chosen, device.isa, halves)
    fixed = {k.op for k in slower}
    chosen = operators_on_bytes(graph, fixed, whole)
    seen = measured(graph, chosen, device, data, observer)
    choice = Choice(seen.tried(chosen, {}), fixed, [k.facts() for k in slower])
    if not force:
        choice = spare_spreads(seen, spare_rows(seen, choice))
        choice = spare_last(seen, spare_inputs(seen, choice))
    seen, choice = smoothed(seen, choice, divided=not whole)
    choice.trials.settle()
    choice, searched = within_bound(seen, choice, bound)
    if bound is None:
        choice = refit(seen, choice)
    judged = bound is not None and has_states(graph)
    here = in_integers(choice.best.module, graph.name) if native or judged else graph
    facts = {"precision": "int8", **searched, **on_bytes(module, seen, choice, whole)}
    if native:
        facts["halves"] = halves_beside_bytes(module, device, here, data.samples)
        facts["operators_in_floats"] = facts["halves"]["operators_in_floats"]
    return facts if whole else states_on_bytes(module, device, here, facts, macs, bound, force)


def _loss_of(module: Module, device: Device, bound: Bound) -> Loss:
    """Of the module with halves, added as the device adds them."""
    (graph,) = module.entries.values()
    with answers_of(graph, device) as answer:
        return bound.loss(answer)


def _in_halves(facts: Facts, module: Module, loss: Loss) -> Facts:
    """The search's figures become those of what ships; its trials had floats where halves are now."""
    (graph,) = module.entries.values()
    halves = {op.label for op in graph.ops if any(v.type.dtype == "f16" for v in op.results)}
    found = facts["search"]
    layers = [{**row, "form": "f16"} if row["form"] == "f32" and row["op"] in halves else row
              for row in found["layers"]]  # fmt: skip
    measured_now = {"measured": dict(loss.facts), "measured_with_floats": found["measured"]}
    return facts | {"search": {**found, **measured_now, "layers": layers}}


def _beyond(facts: Facts, loss: Loss) -> Facts:
    """What the receipt says of halves that were not taken."""
    return {
        "precision": "fp16", "code": CODE, "why": NO_HALVES, "measured": dict(loss.facts), "operators_in_halves": 0,
        "operators_in_floats": facts["operators_in_floats"], "refused": [], "macs_in_halves": 0, "macs_share": 0.0,
    }  # fmt: skip
