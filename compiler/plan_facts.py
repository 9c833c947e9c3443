"""A Plan as plain facts for people and tools: its steps and its memory map. plan.json of every artifact.

A step is a kernel call or a block of row kernels; the entry's table of calls has one row for each, in this order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgec.plan.memory import lifetimes
from edgec.plan.plan import Block, Call, Plan

FILE = "plan.json"


def plan_facts(plan: Plan) -> dict[str, Any]:
    """Memory must have been planned. Buffers that share their bytes in place are one line; `first` and `last` are the
    steps between which it is alive."""
    calls = [_step(step) for step in plan.steps]
    buffers = []
    for life in lifetimes(plan.steps):
        names = dict.fromkeys(b.name for b in life.buffers if b.name)
        buffers.append(
            {"offset": life.buffers[0].offset, "bytes": life.nbytes, "first": life.first, "last": life.last,
             "holds": ", ".join(names) or plan.steps[life.first].source}
        )  # fmt: skip
    return {"calls": calls, "buffers": buffers, "scratch_bytes": plan.scratch_bytes}


def _step(step: Call | Block) -> dict[str, Any]:
    facts: dict[str, Any] = {"source": step.source, "macs": step.macs, "tasks": step.tasks}
    if isinstance(step, Call):
        return facts | {"function": step.function}
    # a stage goes by its costliest call: copies and columns of zeros are beside it
    functions = [max(stage.calls, key=lambda c: c.macs).function for stage in step.stages]
    return facts | {"function": " > ".join(functions), "rows a step": step.step}


def memory_map(facts: dict[str, Any], most: int = 8) -> Iterator[str]:
    """The call where most scratch is alive, and the largest buffers then."""
    buffers, calls = facts["buffers"], facts["calls"]
    if not buffers:
        yield "no scratch memory"
        return

    def alive(at: int) -> list[dict[str, Any]]:
        return [b for b in buffers if b["first"] <= at <= b["last"]]

    peak = max(range(len(calls)), key=lambda at: sum(b["bytes"] for b in alive(at)))
    live = sorted(alive(peak), key=lambda b: (-b["bytes"], b["offset"]))
    used = sum(b["bytes"] for b in live)
    yield (
        f"scratch {facts['scratch_bytes']:,} B; {used:,} B are alive at the fullest call, "
        f"{peak} ({calls[peak]['source']}):"
    )
    for buffer in live[:most]:
        yield (
            f"  {buffer['bytes']:12,} B at {buffer['offset']:12,}  calls {buffer['first']}-{buffer['last']}  "
            f"{buffer['holds']}"
        )
    if len(live) > most:
        yield f"  and {len(live) - most} smaller ones"
