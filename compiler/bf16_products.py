"""`--precision bf16`: which operators multiply bf16, and what the receipt says of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgec.forms_within import Forms, Wanted, forms_within
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.verify import verify_module
from edgec.passes.multiply_bf16 import NO_KERNEL, RANGE, REASONS, beyond, narrow_products, refusal
from edgec.pipeline import run_pipeline
from edgec.search import CODE as BEYOND
from edgec.search import REASON as BEYOND_WHY
from edgec.targets.c.devices import Device
from edgec.targets.c.lower.conv import conv_has_rows, is_depthwise
from edgec.targets.c.lower.matmul_rows import matmul_has_rows

WHY = {**REASONS, BEYOND: BEYOND_WHY}
NO_ARITHMETIC = "NO_BF16_ARITHMETIC"
STORED_ONLY = "this core multiplies no bf16: numbers are rounded to it and stored, and multiplied in float32"


def bf16_products(module: Module, device: Device, wanted: Wanted | None = None) -> dict[str, Any]:
    """Makes the module's graph, on which all passes have run, one that multiplies bf16; what the receipt says of it.
    What takes the model beyond a bound stays in floats."""
    (graph,) = module.entries.values()
    macs = total_macs(graph)
    codes = {op: code for op in graph.ops if macs_of(op) and (code := _code(op) or RANGE * beyond(graph, op))}
    searched: dict[str, Any] = {}
    if wanted is not None:
        forms: Forms = {op: "bf16" for op in graph.ops if macs_of(op) and op not in codes}
        left, searched = forms_within(graph, forms, _encode, wanted)
        codes |= {op: BEYOND for op in forms if op not in left}
    made = narrow_products(graph, lambda op: codes.get(op, ""))
    verify_module(module, after="multiply_bf16")
    run_pipeline(module, ("merge_duplicates", "remove_dead_code"))
    narrowed = sum(map(macs_of, made))
    native = device.isa.bf16_products > 0
    others = Counter(op.kind for op in graph.ops if op not in made and op.kind != "cast")
    return {
        "precision": "bf16",
        "arithmetic": "bf16" if native else "float32",
        "code": None if native else NO_ARITHMETIC,
        "why": None if native else STORED_ONLY,
        "calibration": wanted.data.facts() if wanted else None,
        **searched,
        "operators_in_halves": len(made),
        "operators_in_floats": dict(sorted(others.items())),
        "refused": [{"op": op.label, "code": code, "why": WHY[code]} for op, code in codes.items()],
        "macs_in_halves": narrowed,
        "macs_share": macs_share(narrowed, macs),
    }  # fmt: skip


def _encode(graph: Graph, forms: Forms) -> None:
    narrow_products(graph, lambda op: "" if op in forms else BEYOND)


def _code(op: Op) -> str:
    """The code of what multiplies and adds but has no kernel over bf16; empty: it has one."""
    if op.kind == "conv" and conv_has_rows(op) and not is_depthwise(op):
        return refusal(op)
    return refusal(op) if op.kind == "matmul" and matmul_has_rows(op) else NO_KERNEL
