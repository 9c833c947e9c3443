"""`--precision int8-dynamic`: matmuls by constant weights on bytes, with scales that each row finds at run time; so is
what inputs and states add to the gates of recurrent operators, states where that is predicted to be faster or `force`.
No data is needed, but for a bound on what may be lost (`dynamic_bound.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from edgec.calibration import Calibration
from edgec.dynamic_bound import beyond_bound
from edgec.ir.graph import Module, Op
from edgec.ir.macs import macs_of, macs_on_bytes, macs_share, total_macs
from edgec.ir.ops.recurrent import BYTE_GATES, GATES
from edgec.ir.verify import verify_module
from edgec.passes.quantize_matmuls import operators_on_rows, quantize_matmuls, state_by_constants
from edgec.search import REASON as BEYOND
from edgec.targets.c.devices import Device
from edgec.targets.c.narrow_costs import state_in_floats, state_on_bytes
from edgec.within_bound import CODE as BEYOND_BOUND
from edgec.within_bound import MakeBound

REASONS = {
    BEYOND_BOUND: BEYOND,
    "STATE_BOUND": "its state is so small that making bytes of it, each step, costs more than products of bytes save",
    "WEIGHTS_AT_RUN_TIME": "it multiplies by what is known at run time only, and constants become bytes",
    "NO_DYNAMIC_FORM": "matmuls by a matrix and recurrent operators have forms with scales that are found at run time",
}


def dynamic_int8(
    module: Module, device: Device, force: bool = False, data: Calibration | None = None,
    bounded: MakeBound | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Changes the module's graph, which stands behind all passes; what the receipt says of it. `data` are the samples
    that a bound is measured on."""
    (graph,) = module.entries.values()
    macs, isa = total_macs(graph), device.isa
    predicted = {op: (state_in_floats(op, isa), state_on_bytes(op, isa)) for op in graph.ops if state_by_constants(op)}
    slower = [op for op, (wide, narrow) in predicted.items() if narrow >= wide and not force]
    beyond: list[Op] = []
    searched: dict[str, Any] = {}
    if data is not None and bounded is not None:
        beyond, searched = beyond_bound(graph, slower, data.samples, bounded)
    chosen = [op for op in operators_on_rows(graph) if op not in beyond]
    quantize_matmuls(graph, isa.byte, slower, chosen)
    verify_module(module, after="quantize_matmuls")
    left = [op for op in graph.ops if macs_of(op) > macs_on_bytes(op)]
    kept: list[dict[str, Any]] = []
    for op in left:
        code = _code(op, slower, beyond)
        kept.append({"op": op.label, "code": code, "why": REASONS[code]})
        if code == "STATE_BOUND":
            wide, narrow = predicted[op]
            kept[-1] |= {"instructions_in_floats": round(wide), "instructions_on_bytes": round(narrow)}
    return {
        "precision": "int8-dynamic",
        "calibration": data.facts() if data else None,
        **searched,
        "operators_on_bytes": sum(macs_on_bytes(op) > 0 for op in graph.ops),
        "multiply_adds_in_floats": dict(sorted(Counter(op.kind for op in left).items())),
        "kept_in_floats": kept,
        "macs_share": macs_share(sum(macs_on_bytes(op) for op in graph.ops), macs),
    }


def _code(op: Op, slower: Collection[Op], beyond: Collection[Op]) -> str:
    if op in beyond:
        return BEYOND_BOUND
    if op in slower:
        return "STATE_BOUND"
    weights = {"matmul": op.inputs[1:2], **dict.fromkeys((*GATES, *BYTE_GATES), op.inputs[1:3])}.get(op.kind, [])
    return "WEIGHTS_AT_RUN_TIME" if any(v is not None and v.const is None for v in weights) else "NO_DYNAMIC_FORM"
