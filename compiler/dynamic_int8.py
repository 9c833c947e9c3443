"""`--precision int8-dynamic`: matmuls by constant weights on bytes, with scales that each row finds at run time; so is
what inputs and states add to the gates of recurrent operators, states where that is predicted to be faster or `force`.
No data is needed, but for a bound on what may be lost. With data, weights are rounded by what they are multiplied with,
and norms have the scales of channels that suit bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from edgec.calibration import Calibration
from edgec.dynamic_rounding import Fitted, fitted
from edgec.forms_within import Forms, Wanted, forms_within
from edgec.graph_values import byte_here
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.macs import macs_of, macs_on_bytes, macs_share, total_macs
from edgec.ir.ops.recurrent import BYTE_GATES, GATES
from edgec.ir.verify import verify_module
from edgec.passes.quantize_matmuls import LONGEST, Rounded, operators_on_rows, quantize_matmuls
from edgec.search import CODE, REASON
from edgec.states_on_bytes import slower_states
from edgec.targets.c.devices import Device

REASONS = {
    CODE: REASON,
    "WEIGHTS_AT_RUN_TIME": "it multiplies by what is known at run time only, and constants become bytes",
    "SUM_TOO_LONG": f"a sum of more than {LONGEST} products of bytes may be beyond 32 bits",
    "NO_DYNAMIC_FORM": "matmuls by a matrix and recurrent operators have forms with scales that are found at run time",
}


def dynamic_int8(
    module: Module, device: Device, force: bool = False, wanted: Wanted | None = None, data: Calibration | None = None
) -> dict[str, Any]:
    """Changes the module's graph, which stands behind all passes; what the receipt says of it. `data` is what weights
    are fitted to."""
    (graph,) = module.entries.values()
    macs, isa = total_macs(graph), device.isa

    def on_rows(copied: Graph, chosen: Collection[Op], rounded: Mapping[str, Rounded]) -> None:
        quantize_matmuls(copied, byte_here(), slower_states(chosen, isa, force), chosen, rounded)

    fit = Fitted({}, {"rounding": "nearest"})
    if data is not None:
        fit = fitted(graph, data, lambda copied, rounded: on_rows(copied, operators_on_rows(copied), rounded))
    slower = slower_states(graph.ops, isa, force)
    every = operators_on_rows(graph)
    forms: Forms = dict.fromkeys(every, "i8")
    searched: dict[str, Any] = {}
    if wanted is not None:
        forms, searched = forms_within(graph, forms, lambda copied, of: on_rows(copied, list(of), fit.rounded), wanted)
    beyond = [op for op in every if op not in forms]
    quantize_matmuls(graph, isa.byte, slower, list(forms), fit.rounded)
    verify_module(module, after="quantize_matmuls")
    left = [op for op in graph.ops if macs_of(op) > macs_on_bytes(op)]
    kept: list[dict[str, Any]] = []
    for op in left:
        if op in slower and op not in beyond:
            kept.append(slower[op])
        else:
            code = CODE if op in beyond else _code(op)
            kept.append({"op": op.label, "code": code, "why": REASONS[code]})
    looked_at = data or (wanted.data if wanted is not None else None)
    return {
        "precision": "int8-dynamic",
        "calibration": looked_at.facts() if looked_at is not None else None,
        **searched,
        **fit.facts,
        "operators_on_bytes": sum(macs_on_bytes(op) > 0 for op in graph.ops),
        "multiply_adds_in_floats": dict(sorted(Counter(op.kind for op in left).items())),
        "kept_in_floats": kept,
        "macs_share": macs_share(sum(macs_on_bytes(op) for op in graph.ops), macs),
    }


def _code(op: Op) -> str:
    weights = {"matmul": op.inputs[1:2], **dict.fromkeys((*GATES, *BYTE_GATES), op.inputs[1:3])}.get(op.kind, [])
    if any(v is not None and v.const is None for v in weights):
        return "WEIGHTS_AT_RUN_TIME"
    return "SUM_TOO_LONG" if weights and op.arg(0).type.dims[-1] > LONGEST else "NO_DYNAMIC_FORM"
