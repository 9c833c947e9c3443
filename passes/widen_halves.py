"""Writes arithmetic on float16 and bfloat16 as float32 arithmetic whose result is rounded once: what it means anyway.

%1 = add %x: f16, %w: f16  ->  %1 = cast(add(cast(%x), cast(%w)))

Ops that only move or compare numbers keep their type. Each result is rounded, so two neighbours keep the casts between
them: leaving one rounding out would give other numbers than the model has.
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops import OPS

HALVES = ("f16", "bf16")
# nothing is computed here, or in a wider type already
KEPT = frozenset({"where", "cast", "bitcast", "argmax", "argmin", "cumsum"})
FAMILIES = frozenset({"elementwise", "conv", "matmul", "reduce", "norm", "recurrent"})


def widen_halves(graph: Graph) -> bool:
    changed = False
    for op in list(graph.ops):
        if not _computes(op) or not any(v is not None and v.type.dtype in HALVES for v in op.inputs):
            continue
        b = Builder(graph, before=op)

        def widened(v: Value | None, b: Builder = b) -> Value | None:
            return v if v is None or v.type.dtype not in HALVES else b.op("cast", v, to="f32")

        made = b.ops(op.kind, *map(widened, op.inputs), **op.attrs)
        for old, new in zip(op.results, made, strict=True):
            graph.replace(old, new if new.type == old.type else b.op("cast", new, to=old.type.dtype))
        graph.remove([op])
        changed = True
    return changed


def _computes(op: Op) -> bool:
    interpolates = op.kind == "resize" and op.attrs["mode"] != "nearest"
    return interpolates or (OPS[op.kind].family in FAMILIES and op.kind not in KEPT)
