"""`--precision w4a8`: values of bytes as in INT8, weights of four bits in groups where there are enough of them.

Weights are rounded by what they meet, values as they will be stored (encode_weights.Met); what has few channels, and
depthwise convolutions, have int8 weights. One observer finds the ranges: `auto` is percentile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from edgec.calibration import Calibration
from edgec.encode_weights import Met, encodable, encode_weights, form_for, met_by
from edgec.graph_values import graph_values
from edgec.ir.encodings import nearest_steps
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import PRODUCTS_ON_BYTES, macs_of, macs_share, total_macs
from edgec.ir.verify import verify_module
from edgec.observers import channel_maxima, measure_ranges
from edgec.operand_rows import row_means
from edgec.passes import FUSED
from edgec.passes.equalize_ranges import equalize_ranges, values_that_bound, values_to_equalize
from edgec.passes.lower_requant import requantise
from edgec.passes.requant import REASONS
from edgec.pipeline import run_pipeline
from edgec.quantize import (
    EncodeWeights,
    Legal,
    Range,
    encode_values,
    grids_of,
    heavy,
    nearest,
    operators_on_bytes,
    values_to_observe,
)
from edgec.static_int8 import noise_of_layers
from edgec.targets.c.devices import Device

Array = np.ndarray[Any, Any]


def static_w4a8(module: Module, device: Device, data: Calibration, observer: str) -> dict[str, Any]:
    """Makes the module's graph one on bytes; what the receipt says of it. The graph stands before FUSED."""
    (graph,) = module.entries.values()
    byte, observer = device.isa.byte, "percentile" if observer == "auto" else observer
    chosen = operators_on_bytes(graph)
    left = [op for op in graph.ops if op not in chosen]
    macs = total_macs(graph)
    with graph_values(graph, {*values_to_equalize(graph), *values_that_bound(graph)}) as taps:
        equalize_ranges(graph, channel_maxima(lambda: (found for _, found in taps.stream(data.samples))))
    with graph_values(graph, values_to_observe(graph, chosen)) as taps:
        ranges = measure_ranges(lambda: (found for _, found in taps.stream(data.samples)), observer)
        multiplied = [op for op in graph.ops if op in chosen and heavy(op)]
        means = row_means(multiplied, (found for _, found in taps.stream(data.samples)))
    results = [op.result for op in graph.ops if op in chosen]
    with graph_values(graph, results) as taps:
        wide = taps(data.samples[0])
    four = _four_bits(graph, chosen, ranges, byte, data)
    encode_values(graph, chosen, ranges, byte, nearest, means, four)
    verify_module(module, after="the choice of encodings")
    layers = noise_of_layers(graph, results, [wide[v] for v in results], data.samples[0])
    refused = requantise(graph, byte)
    verify_module(module, after="lower_requant")
    run_pipeline(module, FUSED)
    on_bytes = sum(macs_of(op) for op in graph.ops if op.kind in PRODUCTS_ON_BYTES)
    return {
        "precision": "w4a8",
        "calibration": {**data.facts(), "observer": observer},
        "operators_on_bytes": len(chosen),
        "operators_in_floats": dict(sorted(Counter(op.kind for op in left).items())),
        "kept_in_floats": [],
        "refused": [{"op": op, "code": code, "why": REASONS[code]} for op, code in refused],
        "weights_of_four_bits": len(four),
        "macs_on_bytes": on_bytes,
        "macs_share": macs_share(on_bytes, macs),
        "layers": layers,
    }


def _four_bits(
    graph: Graph, chosen: Collection[Op], ranges: Mapping[Value, Range], byte: str, data: Calibration
) -> dict[Op, EncodeWeights]:
    """For operators whose weights get four bits, what encodes them."""
    ops = [op for op in graph.ops if op in chosen and encodable(op) and form_for(op, "i4") == "i4"]
    grids = grids_of(graph, chosen, ranges, byte)

    def stored(value: Value, x: Array) -> Array:
        scale, zero = grids[value]
        kind = np.uint8 if byte == "u8" else np.int8
        steps = nearest_steps(x, np.array(scale, np.float32), np.array(zero, kind))
        return np.asarray((steps.astype(np.int32) - zero) * np.float32(scale))

    def encoder(met: Met) -> EncodeWeights:
        def encode(op: Op, legal: Legal) -> None:
            encode_weights(graph, op, "i4", met, legal)

        return encode

    return {op: encoder(met) for op, met in met_by(graph, ops, data.samples, stored)}
