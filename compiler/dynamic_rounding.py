"""What samples give `int8-dynamic`: weights rounded by the rows that they meet, and scales of channels for norms.

What rounds the rows themselves at run time knows nothing of the samples, so that rows are those of the float model.
Weights that several operators share are rounded to the nearest. Both are kept where outputs on the other half of the
samples are less noisy by it, in the integers that ship.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.calibration import Calibration
from edgec.channel_scales import channel_scales, values_to_smooth
from edgec.column_blocks import blocks_facts, blocks_of, matrix_bytes
from edgec.encode_weights import ROWS, batches
from edgec.graph_values import graph_values
from edgec.int8_trials import Feeds, Judge, level
from edgec.ir.copying import become, copy_module
from edgec.ir.graph import Graph, Op
from edgec.operand_rows import Moments, result_rows
from edgec.passes.quantize_matmuls import Rounded, by_constants, operators_on_rows, scales_of, weights_by_rows
from edgec.smooth_channels import is_absorbed, smooth_channels
from edgec.weight_rounding import corrected_bias, damping_for, gptq

Array = np.ndarray[Any, Any]

AS_THEY_ARE, SCALED = "as they are", "with scales of channels"


@dataclass(frozen=True)
class Fitted:
    """Weights by the names of constants, and what the receipt says."""

    rounded: Mapping[str, Rounded]
    facts: Mapping[str, Any]


def fitted(graph: Graph, data: Calibration, encode: Callable[[Graph, Mapping[str, Rounded]], object]) -> Fitted:
    """The graph has the scales of channels that suit bytes. `encode` makes a copy one on bytes, for this machine."""
    half, judge = data.tried, Judge(graph, data.judges)

    def noise(candidate: Graph, rounded: Mapping[str, Rounded]) -> float:
        module, _ = copy_module(candidate.module)
        encode(module.entries[graph.name], rounded)
        return judge.noise(module.entries[graph.name])

    plain = noise(graph, {})
    tried = [{"rounding": "nearest", "norms": AS_THEY_ARE, **level(plain)}]
    module, _ = copy_module(graph.module)
    smoothed = _smooth(module.entries[graph.name], half)
    if smoothed:
        found = noise(module.entries[graph.name], {})
        tried.append({"rounding": "nearest", "norms": SCALED, **level(found)})
        if found < plain:
            plain = found
            become(graph.module, module)
        else:
            smoothed = []
    rounded = rounded_by(graph, operators_on_rows(graph), half)
    if rounded:
        found = noise(graph, rounded)
        tried.append({"rounding": "gptq", "norms": SCALED if smoothed else AS_THEY_ARE, **level(found)})
        rounded = rounded if found < plain else {}
    widths = ((op.label, blocks_of(1, op.arg(0).type.dims[-1])) for op in graph.ops if _key(op) in rounded)
    blocks = blocks_facts(widths)
    trials = {"samples": len(judge.samples), "tried": tried}
    facts = {"trials": trials, "smoothed": smoothed, "rounding": "gptq" if rounded else "nearest"}
    return Fitted(rounded, {**facts, "rounded_in_blocks": blocks})


def _smooth(graph: Graph, samples: Sequence[Feeds]) -> list[dict[str, Any]]:
    """Norms that only matmuls of rows read get scales of channels, which takes nothing at run time."""
    products = [op for op in operators_on_rows(graph) if op.kind == "matmul"]
    values = {v: ops for v, ops in values_to_smooth(graph, products).items() if is_absorbed(graph, v, ops)}
    if not values:
        return []
    with graph_values(graph, values) as taps:
        found = channel_scales(graph, values, (found for _, found in taps.stream(samples)), by_row=True)
    smooth_channels(graph, {value: (smoothing.scales, smoothing.readers) for value, smoothing in found.items()})
    return [smoothing.facts() for smoothing in found.values()]


def rounded_by(graph: Graph, ops: Sequence[Op], samples: Sequence[Feeds]) -> dict[str, Rounded]:
    """Of each of `ops` that multiplies rows by constants, by the name of the constant."""
    uses = graph.constant_uses()
    taken = [op for op in ops if by_constants(op) and uses[str(op.arg(1).const)] == 1]
    made: dict[str, Rounded] = {}
    for part in batches(dict.fromkeys(op.arg(0) for op in taken), lambda v: matrix_bytes(1, v.type.dims[-1])):
        met = {value: Moments(1, value.type.dims[-1]) for value in part}
        with graph_values(graph, part) as taps:
            for _, found in taps.stream(samples):
                for value, array in found.items():
                    met[value].add(result_rows(array, ROWS)[None])
        for op in taken:
            if op.arg(0) in met:
                made[str(op.arg(1).const)] = _rounded(weights_by_rows(graph, op), met[op.arg(0)])
    return made


def _key(op: Op) -> str:
    """By which weights are known."""
    return str(op.arg(1).const) if len(op.inputs) > 1 and op.inputs[1] is not None else ""


def _rounded(w: Array, met: Moments) -> Rounded:
    weights, scale = w.astype(np.float64), scales_of(w)
    blocks = met.blocks
    cut, steps = blocks.cut(weights[None]), blocks.cut(scale[None, :, None])
    numbers = blocks.joined(gptq(cut, steps, met.hessian, damping_for(met.rows, blocks.width)))[0]
    return Rounded(numbers, scale, corrected_bias(None, weights, numbers, scale, met.mean[0]))
