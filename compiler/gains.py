"""What a build gained, and what it did not gain and why: rows of the receipt, counted from what was built.

What a pass did is told by the operators that went and came (pipeline.Effect); what blocks save, by the same plan made
once more with every operator alone. A code for what was not applied stands for a check somewhere in the compiler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgec.ir.graph import Graph, Op
from edgec.passes.fuse_activation import REASONS as ACTIVATIONS
from edgec.passes.fuse_activation import activation_name, refusal
from edgec.pipeline import Effect
from edgec.plan.plan import Plan
from edgec.plan.schedule import Segment
from edgec.step_costs import MODEL, StepCost, step_costs, winograd_macs
from edgec.targets.c.build import make_plan
from edgec.targets.c.devices import Device
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.row_ops import row_op
from edgec.targets.c.lower.winograd import has_winograd_form, winograd_convs

Row = dict[str, Any]
# pass -> what happened to the operators that went; passes that only change forms gain nothing by themselves
DID = {
    "absorb_transpose": "transposes taken in by matmuls",
    "fold_batch_norm": "norms, scales and shifts folded into the weights before them",
    "fold_input_affine": "scales, shifts and orders of channels folded into the weights behind them",
    "fold_into_table": "operators done once, on a table of weights",
    "fold_pad": "paddings taken in by convolutions",
    "fuse_activation": "activations fused",
    "fuse_residual": "residual additions fused",
    "merge_duplicates": "operators computed once instead of twice",
    "recognize_attention": "operators recognised as attention",
    "recognize_gelu": "operators recognised as GELU",
    "recognize_hard_swish": "operators recognised as hard-swish",
    "recognize_layer_norm": "operators recognised as layer norm",
    "recognize_one_hot": "operators of one-hot products made gathers",
    "recognize_rms_norm": "operators recognised as RMS norm",
    "recognize_silu": "operators recognised as SiLU",
    "recognize_softmax": "operators recognised as softmax",
    "remove_identity": "operators that returned their operand",
}
# code -> why something was not applied
NOT: dict[str, str] = {
    **ACTIVATIONS,
    "BLOCK_NO_GAIN": "no legal block with its neighbours costs less in modelled time and memory",
    "HALVES_IN_FLOAT32": "half floats are computed in float32 and rounded",
    "NO_ROW_KERNEL": "there is no kernel that works by rows, so it stands in no block",
    "TRANSPOSE_LEFT": "the operator before it or behind it needs the other order of axes",
    "WINOGRAD_ALONE": "Winograd makes tiles from whole images, so it stands in no block",
    "WINOGRAD_NOT_CHEAPER": "by an estimate of instructions, direct convolution is cheaper",
}


def account(
    graph: Graph, device: Device, segments: Sequence[Segment], plan: Plan, costs: Sequence[StepCost],
    effects: Mapping[str, Effect], threads: int,
) -> dict[str, Any]:  # fmt: skip
    """What the receipt says of the plan: `cost`, `passes`, `gains` and `not_applied`. `graph` is the one that was
    lowered, `segments` its schedule, `costs` those of the plan's steps."""
    under = [c for c in costs if c.under_waterline]
    moved = sum(c.bytes for c in costs)
    cost = {
        "model": MODEL, "macs": plan.macs, "executed_macs": sum(c.executed for c in costs), "bytes": moved,
        "operations_per_byte": round(2 * plan.macs / moved, 3) if moved else 0.0, "steps": len(costs),
        "steps_without_macs": sum(not c.executed for c in costs),
        "under_waterline": {"steps": len(under), "macs": sum(c.macs for c in under)},
    }  # fmt: skip
    alone = make_plan(graph, device, plan.name, threads, [Segment((op,), 0) for op in graph.ops])
    saved = sum(c.bytes for c in step_costs(alone, device)) - moved
    rows = [*_by_passes(effects), *_by_blocks(segments, saved, alone.scratch_bytes - plan.scratch_bytes),
            *_by_winograd(plan, costs)]  # fmt: skip
    passes = {name: {"went": dict(e.went), "came": dict(e.came)} for name, e in effects.items()}
    return {"cost": cost, "passes": passes, "gains": rows,
            "not_applied": not_applied(graph, device.isa, segments, effects)}  # fmt: skip


def _by_passes(effects: Mapping[str, Effect]) -> Iterator[Row]:
    for name, effect in effects.items():
        if name in DID and effect.went:
            yield {"by": name, "count": effect.went.total(), "what": DID[name]}


def _by_blocks(segments: Sequence[Segment], bytes_saved: int, scratch_saved: int) -> Iterator[Row]:
    count = sum(len(segment.ops) > 1 for segment in segments)
    if count:
        yield {"by": "blocks", "count": count, "what": "blocks of operators run depth-first",
               "bytes_saved": bytes_saved, "scratch_bytes_saved": scratch_saved}  # fmt: skip
    sliced = sum(segment.slices > 1 for segment in segments)
    if sliced:
        yield {"by": "slices", "count": sliced, "what": "of these blocks, run in slices of channels"}


def _by_winograd(plan: Plan, costs: Sequence[StepCost]) -> Iterator[Row]:
    count = sum(winograd_macs(call) is not None for call in plan.calls)
    if count:
        yield {"by": "winograd", "count": count, "what": "convolutions done by Winograd's algorithm",
               "macs_saved": sum(c.macs - c.executed for c in costs)}  # fmt: skip


def not_applied(graph: Graph, isa: Isa, segments: Sequence[Segment], effects: Mapping[str, Effect]) -> list[Row]:
    """One row a code, with the operators that it is about."""
    found: dict[str, list[str]] = {}

    def add(code: str, op: Op) -> None:
        found.setdefault(code, []).append(op.label)

    users, leaving = graph.users(), graph.output_values()
    fast = winograd_convs(graph, isa)
    for segment in segments:
        op = segment.ops[0]
        if len(segment.ops) == 1 and op.kind != "reshape":
            add("WINOGRAD_ALONE" if op in fast else "NO_ROW_KERNEL" if row_op(op) is None else "BLOCK_NO_GAIN", op)
    for op in graph.ops:
        if activation_name(op):
            add(refusal(op, users, leaving), op)
        if op.kind == "transpose":
            add("TRANSPOSE_LEFT", op)
        if op not in fast and has_winograd_form(op):
            add("WINOGRAD_NOT_CHEAPER", op)
    rows = [{"code": code, "count": len(ops), "why": NOT[code], "operators": ops} for code, ops in found.items()]
    if "widen_halves" in effects:
        kinds = effects["widen_halves"].came
        rows.append({"code": "HALVES_IN_FLOAT32", "count": kinds.total(), "why": NOT["HALVES_IN_FLOAT32"],
                     "operators": []})  # fmt: skip
    return sorted(rows, key=lambda row: str(row["code"]))
