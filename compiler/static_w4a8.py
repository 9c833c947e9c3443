"""`--precision w4a8`: values of bytes as in INT8, weights of four bits in groups where there are enough of them.

What has few channels, and depthwise convolutions, have int8 weights. Memory is what four bits are asked for, so that
all that can be is on bytes, faster or not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.bounds import MakeBound
from edgec.calibration import Calibration
from edgec.encode_weights import encodable, encode_weights, form_for
from edgec.int8_trials import in_integers
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.macs import total_macs
from edgec.passes.split_recurrent import split_recurrent
from edgec.quantize import Legal, operators_on_bytes
from edgec.states_on_bytes import has_states, states_on_bytes
from edgec.static_steps import Choice, measured, on_bytes, refit, spare_inputs, spare_rows, spare_spreads
from edgec.targets.c.devices import Device
from edgec.within_bound import bound_of, within_bound

Array = np.ndarray[Any, Any]


def static_w4a8(
    module: Module, device: Device, data: Calibration, observer: str, bounded: MakeBound | None = None
) -> dict[str, Any]:
    """Makes the module's graph one on bytes; what the receipt says of it. The graph stands before FUSED. What takes the
    model beyond a bound has int8 weights, or stays in floats."""
    (graph,) = module.entries.values()
    split_recurrent(graph)
    macs = total_macs(graph)
    bound = bound_of(graph, bounded)
    chosen = operators_on_bytes(graph)
    four = {op: _four_bits for op in graph.ops if op in chosen and encodable(op) and form_for(op, "i4") == "i4"}
    seen = measured(graph, chosen, device, data, observer)
    choice = spare_rows(seen, Choice(seen.tried(chosen, four)))
    choice = spare_inputs(seen, spare_spreads(seen, choice))
    choice.trials.settle()
    choice, searched = within_bound(seen, choice, bound)
    if bound is None:
        choice = refit(seen, choice)
    of_four_bits = len(choice.trials.coded)
    judged = bound is not None and has_states(graph)
    here = in_integers(choice.best.module, graph.name) if judged else graph
    made = {"precision": "w4a8", **searched, "weights_of_four_bits": of_four_bits, **on_bytes(module, seen, choice)}
    return states_on_bytes(module, device, here, made, macs, bound, force=True)


def _four_bits(graph: Graph, op: Op, legal: Legal) -> None:
    encode_weights(graph, op, "i4", legal=legal)
