"""`--precision int8`: ranges from samples, encodings, and operators on bytes; what of the model became what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from edgec.calibration import Calibration
from edgec.encode_weights import Met, encodable, encode_weights, form_for, met_by
from edgec.graph_values import graph_values, tapped
from edgec.ir import interp
from edgec.ir.encodings import nearest_steps
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import macs_of
from edgec.ir.verify import verify_module
from edgec.observers import channel_maxima, channel_means, measure_ranges
from edgec.paired import signal_to_noise
from edgec.passes import FUSED
from edgec.passes.equalize_ranges import equalize_ranges, values_that_bound, values_to_equalize
from edgec.passes.lower_requant import requantise
from edgec.passes.requant import REASONS
from edgec.pipeline import run_pipeline
from edgec.quantize import EncodeWeights, encode_values, grids_of, heavy, nearest, operators_on_bytes, values_to_observe
from edgec.targets.c.devices import Device

Array = np.ndarray[Any, Any]


def static_int8(
    module: Module, device: Device, data: Calibration, observer: str, precision: str = "int8"
) -> dict[str, Any]:
    """Makes the module's graph one on bytes; what the receipt says of it. The graph stands before FUSED. With w4a8,
    weights have four bits in groups where there are enough of them."""
    (graph,) = module.entries.values()
    chosen = operators_on_bytes(graph)
    left = [op for op in graph.ops if op not in chosen]
    macs = sum(macs_of(op) for op in graph.ops)
    with graph_values(graph, {*values_to_equalize(graph), *values_that_bound(graph)}) as taps:
        equalize_ranges(graph, channel_maxima(lambda: (found for _, found in taps.stream(data.samples))))
    multiplied = {op.arg(0) for op in chosen if heavy(op)}
    with graph_values(graph, values_to_observe(graph, chosen)) as taps:
        ranges = measure_ranges(lambda: (found for _, found in taps.stream(data.samples)), observer)
        means = channel_means(lambda: ({v: found[v] for v in multiplied & found.keys()} for _, found in
                                       taps.stream(data.samples)))  # fmt: skip
    results = [op.result for op in graph.ops if op in chosen]
    with graph_values(graph, results) as taps:
        wide = taps(data.samples[0])
    four = _four_bits(graph, chosen, ranges, device.isa.byte, data) if precision == "w4a8" else {}
    encode_values(graph, chosen, ranges, device.isa.byte, nearest, means, four)
    verify_module(module, after="the choice of encodings")
    layers = noise_of_layers(graph, results, wide, data.samples[0])
    refused = requantise(graph, device.isa.byte)
    verify_module(module, after="lower_requant")
    run_pipeline(module, FUSED)
    # what was chosen and has no integer form after all is not counted
    on_bytes = sum(macs_of(op) for op in graph.ops if op.kind in ("qconv", "qmatmul"))
    return {
        "precision": precision,
        "calibration": {**data.facts(), "observer": observer},
        "operators_on_bytes": len(chosen),
        "operators_in_floats": dict(sorted(Counter(op.kind for op in left).items())),
        "refused": [{"op": op, "code": code, "why": REASONS[code]} for op, code in refused],
        "weights_of_four_bits": len(four),
        "macs_on_bytes": on_bytes,
        "macs_share": round(on_bytes / macs, 4) if macs else 0.0,
        "layers": layers,
    }  # fmt: skip


def _four_bits(
    graph: Graph, chosen: Collection[Op], ranges: Mapping[Value, tuple[float, float]], byte: str, data: Calibration
) -> dict[Op, EncodeWeights]:
    """For operators whose weights get four bits, what encodes them: rounded by what they meet."""
    ops = [op for op in graph.ops if op in chosen and encodable(op) and form_for(op, "i4") == "i4"]
    grids = grids_of(graph, chosen, ranges, byte)

    def stored(value: Value, x: Array) -> Array:
        scale, zero = grids[value]
        kind = np.uint8 if byte == "u8" else np.int8
        steps = nearest_steps(x, np.array(scale, np.float32), np.array(zero, kind))
        return np.asarray((steps.astype(np.int32) - zero) * np.float32(scale))

    def encoder(met: Met) -> EncodeWeights:
        def encode(op: Op, least: Array) -> None:
            encode_weights(graph, op, "i4", met, least)

        return encode

    return {op: encoder(met) for op, met in met_by(graph, ops, data.samples, stored)}


def noise_of_layers(
    graph: Graph, results: Sequence[Value], wide: Mapping[Value, Array], sample: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """Signal to noise of each operator on bytes, that of all before it included, on one sample."""
    with tapped(graph, results) as names:
        narrow = interp.run(graph, sample)
    rows = []
    for value in results:
        noise = signal_to_noise(narrow[names[value]], wide[value])
        assert value.op is not None
        label = f"{value.op.kind} {value.op.source}".strip()
        rows.append({"op": label, "signal_to_noise_db": round(noise, 2) if isfinite(noise) else None})
    return rows
