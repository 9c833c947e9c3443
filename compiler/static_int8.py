"""`--precision int8`: weights and values of bytes, where bytes pay."""

from __future__ import annotations

from typing import Any

from edgec.bounds import MakeBound
from edgec.calibration import Calibration
from edgec.halves_beside_bytes import halves_beside_bytes, held_by_halves
from edgec.int8_trials import in_integers
from edgec.ir.graph import Module
from edgec.no_regret import slower_on_bytes
from edgec.quantize import operators_on_bytes
from edgec.static_steps import Choice, measured, on_bytes, smoothed, spare_inputs, spare_last, spare_rows
from edgec.targets.c.devices import Device
from edgec.within_bound import within_bound


def static_int8(
    module: Module, device: Device, data: Calibration, observer: str, force: bool, bounded: MakeBound | None = None,
    whole: bool = False,
) -> dict[str, Any]:
    """Makes the module's graph one on bytes; what the receipt says of it. The graph stands before FUSED. Operators that
    are predicted to be no faster so stay in floats, unless `force`; so do those that take the model beyond a bound.
    Without `force`, floats are halves where the device has arithmetic on them. `whole`: all that has an integer form is
    on bytes, up to the outputs."""
    (graph,) = module.entries.values()
    force |= whole
    native = device.isa.half_lanes > 0 and not force
    chosen = operators_on_bytes(graph, whole=whole)
    halves = held_by_halves(graph, chosen, data.samples) if native else set()
    slower = [] if force else slower_on_bytes(graph, chosen, device.isa, halves)
    fixed = {k.op for k in slower}
    chosen = operators_on_bytes(graph, fixed, whole)
    seen = measured(graph, chosen, device, data, observer)
    choice = Choice(seen.tried(chosen, {}), fixed, [k.facts() for k in slower])
    if not force:
        choice = spare_last(seen, spare_inputs(seen, spare_rows(seen, choice)))
    seen, choice = smoothed(seen, choice, divided=not whole)
    choice.trials.settle()
    choice, searched = within_bound(seen, choice, bounded)
    here = in_integers(choice.trials.best.module, graph.name) if native else graph
    facts = {"precision": "int8", **searched, **on_bytes(module, seen, choice)}
    if native:
        facts["halves"] = halves_beside_bytes(module, device, here, data.samples)
        facts["operators_in_floats"] = facts["halves"]["operators_in_floats"]
    return facts
