"""Notes where results of the graph lie in memory, for tools that look at an artifact's values while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgec.ir.graph import Op, Value
from edgec.ir.rows import row_view
from edgec.plan.plan import Layer, Pointer
from edgec.targets.c.lower.context import Lowering, Rows
from edgec.targets.c.lower.one_row import row_pointer

# a value -> the one that it is a part of, and the first of its channels
Parts = Mapping[Value, tuple[Value, int]]


def note_results(ctx: Lowering, ops: Sequence[Op], first: int) -> None:
    """Results of ops that became the steps from `first` on, each behind the last step that writes it. What no step
    writes are the bytes of another value; what is in slices is noted stage by stage."""
    noted = {layer.number for layer in ctx.plan.layers if layer.step >= first}
    for op in ops:
        for value in op.results:
            if not value.type.size or not ctx.is_placed(value) or ctx.number(value) in noted:
                continue
            rows, steps = ctx.image_rows(value), ctx.plan.steps
            written = [i for i in range(first, len(steps)) if _writes(steps[i].pointers(), rows)]
            if written:
                _note(ctx, op, value, rows, written[-1])


def note_stage(ctx: Lowering, op: Op, rows: Rows, stage: int, parts: Parts) -> None:
    """The result of a stage of the block that is the next step."""
    _note(ctx, op, op.result, rows, len(ctx.plan.steps), stage, parts)


def _writes(pointers: Sequence[Pointer], rows: Rows) -> bool:
    return any(p.write and p.buffer is rows.at.buffer for p in pointers)


def _note(
    ctx: Lowering, op: Op, value: Value, rows: Rows, step: int, stage: int | None = None, parts: Parts | None = None
) -> None:
    whole, first = (parts or {}).get(value, (value, 0))
    channels = (first, value.type.dims[-1]) if whole is not value else None
    count = row_view(value.type.dims or (1,)).rows
    at = row_pointer(rows, count)
    ctx.plan.layers.append(
        Layer(ctx.number(whole), op.label, whole.type, whole.origin, whole.scaled, at, step, stage, channels)
    )
