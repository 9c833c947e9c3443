"""`--precision int8`: ranges from samples, encodings, and operators on bytes; what of the model became what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.calibration import Calibration
from edgec.graph_values import graph_values, tapped
from edgec.halves_beside_bytes import halves_beside_bytes, held_by_halves
from edgec.input_rounding import LEAST_NOISE, kept_facts, noise_of_inputs, readers_of_inputs
from edgec.int8_trials import SETTLED, Judge, Trials, in_integers
from edgec.ir import interp
from edgec.ir.copying import become
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import PRODUCTS_ON_BYTES, macs_of, macs_share, total_macs
from edgec.ir.verify import verify_module
from edgec.no_regret import slower_on_bytes
from edgec.observers import channel_maxima, observe, range_of, tried_by
from edgec.operand_rows import row_means
from edgec.paired import noise_db
from edgec.passes import FUSED
from edgec.passes.equalize_ranges import equalize_ranges, values_that_bound, values_to_equalize
from edgec.passes.lower_requant import requantise
from edgec.passes.requant import REASONS
from edgec.pipeline import run_pipeline
from edgec.quantize import Range, heavy, operators_on_bytes, values_to_observe
from edgec.row_rounding import LEAST_NOISE as ROW_NOISE
from edgec.row_rounding import kept_facts as row_facts
from edgec.row_rounding import rows_to_spare
from edgec.targets.c.devices import Device
from edgec.within_bound import MakeBound, Within

Array = np.ndarray[Any, Any]


def static_int8(
    module: Module, device: Device, data: Calibration, observer: str, force: bool, bounded: MakeBound | None = None,
    whole: bool = False,
) -> dict[str, Any]:
    """Makes the module's graph one on bytes; what the receipt says of it. The graph stands before FUSED. Operators that
    are predicted to be no faster so stay in floats, unless `force`; so do those that take the model beyond a bound.
    Without `force`, floats are halves where the device has arithmetic on them. `whole`: all that has an integer form is
    on bytes, up to the outputs."""
    (graph,) = module.entries.values()
    chosen = operators_on_bytes(graph, whole=whole)
    force |= whole
    native = device.isa.half_lanes > 0 and not force
    halves = held_by_halves(graph, chosen, data.samples) if native else set()
    slower = [] if force else slower_on_bytes(graph, chosen, device.isa, halves)
    kept = [k.facts() for k in slower]
    chosen = operators_on_bytes(graph, {k.op for k in slower}, whole)
    macs = total_macs(graph)
    with graph_values(graph, {*values_to_equalize(graph), *values_that_bound(graph)}) as taps:
        equalize_ranges(graph, channel_maxima(lambda: (found for _, found in taps.stream(data.samples))))
    seen = _measured(graph, chosen, data.samples, observer)
    # what is settled on some of the samples is judged by the others
    judge = Judge(graph, data.samples[1::2])
    trials = _tried(graph, chosen, device, data, seen, judge)
    fixed = {k.op for k in slower}
    rows = [] if force else rows_to_spare(graph, chosen, fixed, device.isa)
    if rows:
        fewer = operators_on_bytes(graph, {*rows, *fixed})
        spared = _tried(graph, fewer, device, data, seen, judge)
        share = 1.0 - spared.best.noise / (trials.best.noise or 1.0)
        if share >= ROW_NOISE:
            kept += [row_facts(op, share) for op in rows]
            chosen, trials, fixed = fewer, spared, {*rows, *fixed}
    first = [] if force else readers_of_inputs(graph, chosen)
    share = noise_of_inputs(graph, first, seen.ranges[trials.best.observer], judge) / (trials.best.noise or 1.0)
    if share >= LEAST_NOISE:
        kept += [kept_facts(op, share) for op in first]
        chosen = operators_on_bytes(graph, {*first, *fixed})
        trials = _tried(graph, chosen, device, data, seen, judge)
    trials.settle()
    searched: dict[str, Any] = {}
    if bounded is not None:
        fixed |= set(first if chosen.isdisjoint(first) else ())
        within = Within(trials, fixed, seen.ranges[trials.best.observer], seen.means)
        chosen, trials, searched, beyond = within.search(bounded, data.samples)
        kept += beyond
    left = [op.kind for op in graph.ops if op not in chosen]
    results = [op.result for op in graph.ops if op in chosen]
    with graph_values(graph, results) as taps:
        wide = taps(data.samples[0])
    best = trials.best
    here = in_integers(best.module, graph.name) if native else graph
    become(module, best.module)
    verify_module(module, after="the choice of encodings")
    layers = noise_of_layers(graph, [best.twins[v] for v in results], [wide[v] for v in results], data.samples[0])
    refused = requantise(graph, device.isa.byte)
    verify_module(module, after="lower_requant")
    run_pipeline(module, FUSED)
    beside = {"halves": halves_beside_bytes(module, device, here, data.samples)} if native else {}
    floats = beside["halves"]["operators_in_floats"] if beside else dict(sorted(Counter(left).items()))
    # what was chosen and has no integer form after all is not counted
    on_bytes = sum(macs_of(op) for op in graph.ops if op.kind in PRODUCTS_ON_BYTES)
    return {
        "precision": "int8",
        "calibration": {**data.facts(), "observer": best.observer, "weights": SETTLED[best.way]},
        "trials": {"samples": len(judge.samples), "tried": [trial.facts() for trial in trials.done]},
        **searched,
        **beside,
        "operators_on_bytes": len(chosen),
        "operators_in_floats": floats,
        "kept_in_floats": kept,
        "refused": [{"op": op, "code": code, "why": REASONS[code]} for op, code in refused],
        "macs_on_bytes": on_bytes,
        "macs_share": macs_share(on_bytes, macs),
        "layers": layers,
    }  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """In floats: ranges by observer, and mean rows of operands of convolutions and matmuls."""

    ranges: Mapping[str, Mapping[Value, Range]]
    means: Mapping[Op, Array]


def _measured(graph: Graph, chosen: Collection[Op], samples: Sequence[Mapping[str, Array]], observer: str) -> _Seen:
    with graph_values(graph, values_to_observe(graph, chosen)) as taps:
        seen = observe(lambda: (found for _, found in taps.stream(samples)), histograms=observer != "minmax")
        multiplied = [op for op in graph.ops if op in chosen and heavy(op)]
        means = row_means(multiplied, (found for _, found in taps.stream(samples)))
    return _Seen({name: {v: range_of(h, name) for v, h in seen.items()} for name in tried_by(observer)}, means)


def _tried(
    graph: Graph, chosen: Collection[Op], device: Device, data: Calibration, seen: _Seen, judge: Judge
) -> Trials:
    """The ranges of each observer."""
    trials = Trials(graph, chosen, device.isa.byte, data.samples[::2], judge)
    observed = values_to_observe(graph, chosen)
    means = {op: mean for op, mean in seen.means.items() if op in chosen}
    for name, ranges in seen.ranges.items():
        trials.ranges(name, {v: ranges[v] for v in observed}, means)
    return trials


def noise_of_layers(
    graph: Graph, results: Sequence[Value], wide: Sequence[Array], sample: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """Signal to noise of each operator on bytes, that of all before it included, on one sample."""
    with tapped(graph, results) as names:
        narrow = interp.run(graph, sample)
    rows = []
    for value, expected in zip(results, wide, strict=True):
        assert value.op is not None
        rows.append({"op": value.op.label, "signal_to_noise_db": noise_db(narrow[names[value]], expected)})
    return rows
