"""A Plan as plain facts for people and tools: its steps, its memory map, and where results of the graph lie while it
runs. plan.json of every artifact.

A step is a kernel call or a block of row kernels; the entry's table of calls has one row for each, in this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from edgec.plan.memory import lifetimes
from edgec.plan.plan import Block, Buffer, Call, Layer, Plan
from edgec.step_costs import StepCost, private_buffers

FILE = "plan.json"


def plan_facts(plan: Plan, costs: Sequence[StepCost]) -> dict[str, Any]:
    """Memory must have been planned. Buffers that share their bytes in place are one line; `first` and `last` are the
    steps between which it is alive."""
    own = private_buffers(plan)
    calls = [_step(step, cost, own) for step, cost in zip(plan.steps, costs, strict=True)]
    buffers = []
    for life in lifetimes(plan.steps):
        names = dict.fromkeys(b.name for b in life.buffers if b.name)
        buffers.append(
            {"offset": life.buffers[0].offset, "bytes": life.nbytes, "first": life.first, "last": life.last,
             "holds": ", ".join(names) or plan.steps[life.first].source}
        )  # fmt: skip
    layers = [_layer(layer) for layer in plan.layers]
    return {"calls": calls, "buffers": buffers, "scratch_bytes": plan.scratch_bytes, "layers": layers}


def _layer(layer: Layer) -> dict[str, Any]:
    """compiler/layer_values.py reads it. Addresses and strides are in bytes."""
    at, scaled = layer.at, layer.scaled
    space, own = at.buffer.space, at.buffer.space not in ("input", "output")
    where = {"space": space, "index": at.buffer.index, "offset": at.offset + (at.buffer.offset if own else 0),
             "slot": at.slot, "image": at.image, "row": at.row, "depth": at.depth}  # fmt: skip
    return {
        "number": layer.number,
        "op": layer.label,
        "dtype": layer.type.dtype,
        "dims": list(layer.type.dims),
        "tensor": None if layer.origin is None else layer.origin.tensor,
        "views": [] if layer.origin is None else [[kind, list(given)] for kind, given in layer.origin.views],
        "scale": None if scaled is None else list(scaled.scale),
        "zero": 0 if scaled is None else scaled.zero,
        "step": layer.step,
        "stage": layer.stage,
        "channels": None if layer.channels is None else list(layer.channels),
        "at": where,
    }


def _step(step: Call | Block, cost: StepCost, own: set[Buffer]) -> dict[str, Any]:
    """`own_bytes` is scratch that no other step sees: rings, and room to work in."""
    facts: dict[str, Any] = {
        "source": step.source, "macs": step.macs, "executed_macs": cost.executed, "tasks": step.tasks,
        "bytes": cost.bytes, "modelled_cycles": round(cost.cycles), "under_waterline": cost.under_waterline,
        "attainable_efficiency": round(cost.attainable, 3),
        "own_bytes": sum(b.nbytes for b in {p.buffer for p in step.pointers()} & own),
    }  # fmt: skip
    if isinstance(step, Call):
        return facts | {"function": step.function}
    # a stage goes by its costliest call: copies and columns of zeros are beside it
    functions = [max(stage.calls, key=lambda c: c.macs).function for stage in step.stages]
    stages = []
    seen: set[Buffer] = set()
    for stage, function in zip(step.stages, functions, strict=True):
        made = {p.buffer for call in stage.calls for p in call.pointers() if p.write} & own - seen
        seen |= made
        stages.append({"function": function, "rows": stage.rows.rows, "ring_bytes": sum(b.nbytes for b in made)})
    block = {"images": step.images, "bands": step.bands, "rows_at_a_time": step.step, "stages": stages}
    return facts | {"function": " > ".join(functions), "block": block}


def step_list(facts: dict[str, Any]) -> Iterator[str]:
    """Every step, its cost, and the stages of blocks."""
    calls = facts["calls"]
    yield f"{len(calls)} steps: multiply-adds, bytes read and written (~ those decide its time), what it is"
    for i, call in enumerate(calls):
        mark = "~" if call["under_waterline"] else " "
        yield f"{i:5} {call['macs']:14,} {call['bytes']:12,} B {mark} {call['function']}  {_short(call['source'])}"
        block = call.get("block")
        if block is not None and len(block["stages"]) > 1:
            yield (
                f"{'':8}{len(block['stages'])} stages, {block['rows_at_a_time']} rows at a time, "
                f"{block['bands']} bands of {block['images']} images, rings {call['own_bytes']:,} B"
            )
            for stage in block["stages"][:-1]:
                yield f"{'':10}{stage['function']}: {stage['rows']} rows, ring {stage['ring_bytes']:,} B"


def memory_map(facts: dict[str, Any]) -> Iterator[str]:
    """The step where most scratch is alive, and every buffer by offset."""
    buffers, calls = facts["buffers"], facts["calls"]
    if not buffers:
        yield "no scratch memory"
        return
    used = [sum(b["bytes"] for b in buffers if b["first"] <= at <= b["last"]) for at in range(len(calls))]
    peak = max(range(len(calls)), key=lambda at: used[at])
    yield (
        f"scratch {facts['scratch_bytes']:,} B; {used[peak]:,} B are alive at the fullest step, "
        f"{peak} ({_short(calls[peak]['source'])}); offset, bytes, steps, what lies there"
    )
    for b in sorted(buffers, key=lambda b: (b["offset"], b["first"])):
        full = "*" if b["first"] <= peak <= b["last"] else " "
        yield f"  {b['offset']:12,} {b['bytes']:12,} B {full} {b['first']:4}-{b['last']:<4} {_short(b['holds'])}"


def _short(text: str) -> str:
    """Blocks have long names."""
    return text if len(text) <= 80 else text[:79] + "…"
