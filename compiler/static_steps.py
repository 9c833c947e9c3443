"""The steps that static INT8 and W4A8 share: ranges from samples, encodings by trial, operators on bytes.

`static_int8.py` and `static_w4a8.py` are these steps in order, each with weights of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgec.calibration import Calibration
from edgec.channel_scales import Smoothing, channel_scales, values_to_smooth
from edgec.encode_weights import in_blocks
from edgec.graph_values import graph_values
from edgec.grids import Range
from edgec.input_rounding import INPUT_ROUNDING, noise_of_inputs, readers_of_inputs
from edgec.int8_trials import SETTLED, Judge, Trial, Trials
from edgec.ir.copying import become, copy_module, twin_of
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import PRODUCTS_ON_BYTES, macs_of, macs_share, total_macs
from edgec.ir.types import FLOATS
from edgec.ir.verify import verify_module
from edgec.last_rounding import LAST_ROUNDING, last_products, last_sums
from edgec.layer_noise import noise_of_layers
from edgec.observers import channel_maxima, observe, range_of, tried_by
from edgec.operand_rows import row_means
from edgec.passes import FUSED
from edgec.passes.equalize_ranges import equalize_ranges, values_that_bound, values_to_equalize
from edgec.passes.lower_requant import requantise
from edgec.passes.requant import REASONS
from edgec.passes.row_forms import refusal
from edgec.pipeline import run_pipeline
from edgec.quantize import (
    ROWS,
    EncodeWeights,
    finite_constants,
    heavy,
    operators_on_bytes,
    values_to_observe,
    with_integer_form,
)
from edgec.rounding_policy import Policy
from edgec.row_rounding import ROW_ROUNDING, rows_to_spare
from edgec.smooth_channels import is_absorbed, smooth_channels
from edgec.spread_rounding import SPREAD_ROUNDING, spreads_to_spare
from edgec.targets.c.devices import Device

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]

LEAST_SMOOTHED = 0.1  # of all noise at the outputs, that scales of channels must take away


@dataclass(frozen=True)
class Seen:
    """Of the graph in floats: ranges by observer, mean rows of operands of convolutions and matmuls, and what encoded
    graphs are judged by. What is found on some of the samples is judged by the others."""

    graph: Graph
    device: Device
    data: Calibration
    ranges: Mapping[str, Mapping[Value, Range]]
    means: Mapping[Op, Array]
    judge: Judge

    def tried(self, chosen: Collection[Op], coded: Mapping[Op, EncodeWeights]) -> Trials:
        """The ranges of each observer."""
        trials = self._trials(chosen, coded, self.data.tried)
        self.encode(trials, self.ranges)
        return trials

    def gaining(
        self, chosen: Collection[Op], coded: Mapping[Op, EncodeWeights], known: Trial, least: float
    ) -> Trials | None:
        """The same where at least this share of the known noise goes away with the ranges of that trial's observer."""
        trials = self._trials(chosen, coded, self.data.tried)
        self.encode(trials, [known.observer])
        if trials.best.noise >= (1.0 - least) * known.noise:
            return None
        self.encode(trials, [name for name in self.ranges if name != known.observer])
        return trials

    def refitted(self, trials: Trials) -> Trial:
        """The best of these trials, made on all samples."""
        best, graph = trials.best, self.graph
        again = self._trials(trials.chosen, trials.coded, self.data.samples)
        products = [op for op in self.means if op in trials.chosen]
        observed = values_to_observe(graph, trials.chosen)
        again.encoded(*_ranges(graph, observed, products, self.data.samples, [best.observer]))
        if best.way is not None:
            again.settle_as(best.way, again.best)
        return again.done[-1]

    def _trials(
        self, chosen: Collection[Op], coded: Mapping[Op, EncodeWeights], samples: Sequence[Feeds]
    ) -> Trials:  # fmt: skip
        return Trials(self.graph, chosen, self.device.isa.byte, samples, self.judge, coded)

    def encode(self, trials: Trials, observers: Iterable[str]) -> None:
        """Adds what the ranges of these make."""
        observed = values_to_observe(self.graph, trials.chosen)
        means = {op: mean for op, mean in self.means.items() if op in trials.chosen}
        trials.encoded({name: {v: self.ranges[name][v] for v in observed} for name in observers}, means)


@dataclass(frozen=True)
class Choice:
    """How operators on bytes are encoded; `fixed` stay in floats whatever comes, and `kept` says of all that do why;
    `smoothed`, which channels have scales; `refitted` is the best trial made on all samples."""

    trials: Trials
    fixed: Collection[Op] = ()
    kept: Sequence[Mapping[str, Any]] = ()
    smoothed: Sequence[Mapping[str, Any]] = ()
    refitted: Trial | None = None

    @property
    def best(self) -> Trial:
        """What ships."""
        return self.refitted or self.trials.best


def measured(graph: Graph, chosen: Collection[Op], device: Device, data: Calibration, observer: str) -> Seen:
    """Channels are made alike first, so that ranges are those of what is encoded."""
    with graph_values(graph, {*values_to_equalize(graph), *values_that_bound(graph)}) as taps:
        equalize_ranges(graph, channel_maxima(lambda: (found for _, found in taps.stream(data.tried))))
    multiplied = [op for op in graph.ops if op in chosen and heavy(op)]
    ranges, means = _ranges(graph, values_to_observe(graph, chosen), multiplied, data.tried, tried_by(observer))
    return Seen(graph, device, data, ranges, means, Judge(graph, data.judges))


def _ranges(
    graph: Graph, values: Iterable[Value], products: Collection[Op], samples: Sequence[Feeds],
    observers: Collection[str],
) -> tuple[dict[str, dict[Value, Range]], dict[Op, Array]]:
    """Of values by each observer, and the mean rows of products that read them."""
    with graph_values(graph, values) as taps:
        seen = observe(lambda: (found for _, found in taps.stream(samples)), set(observers) != {"minmax"})
        means = row_means(products, (found for _, found in taps.stream(samples)))
    return {name: {v: range_of(h, name) for v, h in seen.items()} for name in observers}, means


def spare_rows(seen: Seen, choice: Choice) -> Choice:
    """Norms, softmax and attention in floats, where their bytes make most of the noise."""
    rows = rows_to_spare(seen.graph, choice.trials.chosen, choice.fixed, seen.device.isa)
    return _spared(seen, choice, rows, ROW_ROUNDING)


def spare_spreads(seen: Seen, choice: Choice) -> Choice:
    """Squares, roots and the like in floats, where their bytes make most of the noise."""
    spreads = spreads_to_spare(seen.graph, choice.trials.chosen, choice.fixed, seen.device.isa)
    return _spared(seen, choice, spreads, SPREAD_ROUNDING)


def spare_last(seen: Seen, choice: Choice) -> Choice:
    """The last products in floats, then what sums behind products read, where their bytes make much of the noise."""
    for last_of in (last_products, last_sums):
        last = last_of(seen.graph, choice.trials.chosen, choice.fixed, seen.device.isa)
        choice = _spared(seen, choice, last, LAST_ROUNDING)
    return choice


def _spared(seen: Seen, choice: Choice, ops: Sequence[Op], policy: Policy) -> Choice:
    """These operators in floats, where that takes away the policy's share of the noise."""
    if not ops:
        return choice
    fixed, trials = {*ops, *choice.fixed}, choice.trials
    spared = seen.gaining(operators_on_bytes(seen.graph, fixed), trials.coded, trials.best, policy.least_noise)
    if spared is None:
        return choice
    share = 1.0 - spared.best.noise / trials.best.noise if np.isfinite(trials.best.noise) else 1.0
    return replace(choice, trials=spared, fixed=fixed, kept=[*choice.kept, *(policy.facts(op, share) for op in ops)])


def spare_inputs(seen: Seen, choice: Choice) -> Choice:
    """The first operators in floats, where bytes of the model's inputs make most of the noise."""
    graph, best = seen.graph, choice.trials.best
    first = readers_of_inputs(graph, choice.trials.chosen)
    share = noise_of_inputs(graph, first, seen.ranges[best.observer], seen.judge) / (best.noise or 1.0)
    if not share >= INPUT_ROUNDING.least_noise:  # nor where both are infinite
        return choice
    fixed = {*first, *choice.fixed}
    spared = seen.tried(operators_on_bytes(graph, fixed), choice.trials.coded)
    kept = [*choice.kept, *(INPUT_ROUNDING.facts(op, share) for op in first)]
    return replace(choice, trials=spared, fixed=fixed, kept=kept)


def smoothed(seen: Seen, choice: Choice, divided: bool) -> tuple[Seen, Choice]:
    """Scales of channels in the weights, where that takes away a good part of the noise. `divided`: of values that are
    no norms', too, which takes a product in floats."""
    graph, trials = seen.graph, choice.trials
    values = values_to_smooth(graph, trials.chosen)
    if not divided:
        values = {v: ops for v, ops in values.items() if is_absorbed(graph, v, ops)}
    if not values:
        return seen, choice
    with graph_values(graph, values) as taps:
        found = channel_scales(graph, values, (found for _, found in taps.stream(seen.data.tried)))
    if not found:
        return seen, choice
    made, ops = _with_scales(seen, found)
    chosen, coded = {ops[op] for op in trials.chosen}, {ops[op]: encode for op, encode in trials.coded.items()}
    again = made.gaining(chosen, coded, trials.best, LEAST_SMOOTHED)
    if again is None:
        return seen, choice
    facts = [smoothing.facts() for smoothing in found.values()]
    return made, replace(choice, trials=again, fixed={ops[op] for op in choice.fixed}, smoothed=facts)


def _with_scales(seen: Seen, found: Mapping[Value, Smoothing]) -> tuple[Seen, dict[Op, Op]]:
    """Of a copy with these scales, and what operators became there."""
    module, twins = copy_module(seen.graph.module)
    graph = module.entries[seen.graph.name]
    ops = {op: twin_of(op, twins) for op in seen.graph.ops}
    now = smooth_channels(graph, {twins[v]: (s.scales, [ops[op] for op in s.readers]) for v, s in found.items()})
    readers = [ops[op] for smoothing in found.values() for op in smoothing.readers]
    new, means = _ranges(graph, now.values(), readers, seen.data.tried, seen.ranges)
    ranges = {name: {twins[v]: r for v, r in known.items()} | new[name] for name, known in seen.ranges.items()}
    return replace(seen, graph=graph, ranges=ranges, means={ops[op]: m for op, m in seen.means.items()} | means), ops


def refit(seen: Seen, choice: Choice) -> Choice:
    """What was chosen on half of the samples, made on all of them: ranges are wider, and weights meet more. Since the
    judges' samples are among them now, their noise is a check only: where it is higher, all stays as it was judged."""
    made = seen.refitted(choice.trials)
    return replace(choice, refitted=made) if made.noise <= choice.trials.best.noise else choice


def _unformed(graph: Graph, choice: Choice, whole: bool) -> Iterator[dict[str, Any]]:
    """Products that are in floats for no other reason than that they cannot be on bytes, for the receipt; `whole`: all
    that makes floats."""
    chosen, said = choice.trials.chosen, {row["op"] for row in choice.kept}
    formed = with_integer_form(graph, choice.fixed, whole) if whole else set()
    for op in graph.ops:
        named = macs_of(op) or (whole and any(v.type.dtype in FLOATS for v in op.results))
        if not named or op in chosen or op.label in said:
            continue
        code = "NO_INTEGER_FORM" if finite_constants(graph, op) else "NOT_FINITE"
        if op in formed:
            code = "RESULT_IN_FLOATS"
        elif op.kind in ROWS and not refusal(op):
            if all(v is not None and v.op in chosen for v in op.inputs[:3]):
                continue  # nothing behind it takes bytes
            code = "OPERAND_IN_FLOATS"
        yield {"op": op.label, "code": code, "why": REASONS[code]}


def on_bytes(module: Module, seen: Seen, choice: Choice, whole: bool = False) -> dict[str, Any]:
    """The module becomes the best trial, in integers; what the receipt says of it: of `whole` graphs, of all that is
    in floats why."""
    graph, trials, best = seen.graph, choice.trials, choice.best
    macs = total_macs(graph)
    left = [op.kind for op in graph.ops if op not in trials.chosen]
    kept = [*choice.kept, *_unformed(graph, choice, whole)]
    results = [op.result for op in graph.ops if op in trials.chosen]
    sample = seen.data.samples[0]
    measured_on = seen.data.samples if choice.refitted is not None else seen.data.tried
    with graph_values(graph, results) as taps:
        wide = taps(sample)
    become(module, best.module)
    (made,) = module.entries.values()
    verify_module(module, after="the choice of encodings")
    layers = noise_of_layers(made, [best.twins[v] for v in results], [wide[v] for v in results], sample)
    refused = requantise(made, seen.device.isa.byte)
    verify_module(module, after="lower_requant")
    run_pipeline(module, FUSED)
    # the model's, without what was chosen and has no integer form after all, nor what sums with constants became
    narrow = macs - sum(macs_of(op) for op in made.ops if op.kind not in PRODUCTS_ON_BYTES)
    return {
        "calibration": {**seen.data.facts(), "observer": best.observer, "weights": SETTLED[best.way],
                        "refitted": choice.refitted is not None, "measured": len(measured_on)},
        "trials": {"samples": len(seen.judge.samples), "tried": [trial.facts() for trial in trials.done]},
        "rounded_in_blocks": in_blocks(filter(heavy, trials.chosen)) if best.way in ("rounding", "compensated") else [],
        "operators_on_bytes": len(trials.chosen),
        "operators_in_floats": dict(sorted(Counter(left).items())),
        "kept_in_floats": kept,
        "smoothed": list(choice.smoothed),
        "refused": [{"op": op, "code": code, "why": REASONS[code]} for op, code in refused],
        "macs_on_bytes": narrow,
        "macs_share": macs_share(narrow, macs),
        "layers": layers,
    }
