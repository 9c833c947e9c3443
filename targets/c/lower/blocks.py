"""Segments of the schedule as blocks: rings for what stays inside, padded storage for what convolutions read.

`lower_graph` is the loop over the schedule: ops without row kernels go through the table, the rest become blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from edgec.ir.errors import UnsupportedError
from edgec.ir.graph import Op, Value
from edgec.ir.residual import residual_of
from edgec.plan.candidates import RowOp, bands, stored_inside
from edgec.plan.plan import Block, Stage
from edgec.plan.rows import StageRows, ring_depths
from edgec.plan.schedule import Segment
from edgec.targets.c.lower.context import Lowering, LowerOp, NotLowered, Rows
from edgec.targets.c.lower.conv import Sums, lower_conv, lower_pool, pointwise_matmul
from edgec.targets.c.lower.conv_transpose import lower_conv_transpose
from edgec.targets.c.lower.layers import Parts, note_results, note_stage
from edgec.targets.c.lower.matmul_rows import lower_matmul_rows
from edgec.targets.c.lower.one_row import finish_sink, lower_one_row, sink_rows
from edgec.targets.c.lower.qconv import lower_qconv, lower_qmatmul_rows, pointwise_qmatmul
from edgec.targets.c.lower.qpool import lower_max_pool, lower_qpool
from edgec.targets.c.lower.resize import lower_qresize, lower_resize_rows
from edgec.targets.c.lower.row_ops import OWN, from_planes, row_op
from edgec.targets.c.lower.rows import (
    Columns,
    copy_rows,
    fill_columns,
    padded_image,
    ring,
    rows_struct,
    whole_rows,
)
from edgec.targets.c.lower.slices import slice_ops
from edgec.targets.c.lower.stored_columns import columns_beside, holds, stored_columns, widest_columns
from edgec.targets.c.lower.winograd import lower_winograd, winograd_convs

COPY_STEP = 8  # result rows at a time where a block is a padded copy and its reader


def lower_graph(ctx: Lowering, table: dict[str, LowerOp], segments: Sequence[Segment], slots: int) -> None:
    """Every op of the graph, in the segments of the schedule. UnsupportedError with every op that has no kernel.
    `slots`: threads that may run a block with rings at the same time; each has rings of its own."""
    users, leaving = ctx.graph.users(), ctx.graph.output_values()
    alone = {segment.ops[0] for segment in segments if len(segment.ops) == 1}
    ctx.winograd = {op: m for op, m in winograd_convs(ctx.graph, ctx.isa).items() if op in alone}
    reasons: dict[str, None] = {}
    for segment in segments:
        op, first = segment.ops[0], len(ctx.plan.steps)
        ctx.source = op.label
        try:
            if row_op(op) is not None:
                _Segment(segment, ctx, table, users, leaving, slots).lower()
            elif op.kind in table:
                table[op.kind](op, ctx)
            else:
                raise NotLowered(f"{op.kind} has no kernel")
            note_results(ctx, segment.ops, first)
        except NotLowered as reason:
            reasons[f"{op.source or op.kind}: {reason} on this target"] = None
    if reasons:
        raise UnsupportedError(list(reasons))


@dataclass
class _Copy:
    """A stage that copies the rows of `source` beside columns of zeros."""

    source: Value
    columns: Columns


class _Segment:
    """Lowers one segment of row ops."""

    def __init__(
        self, segment: Segment, ctx: Lowering, table: dict[str, LowerOp], users: dict[Value, list[Op]],
        leaving: set[Value], slots: int, sums: Sums = "whole", parts: Parts = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.segment = segment
        self.ops = segment.ops
        self.step = segment.step
        self.sums = sums
        self.parts = parts
        self.ctx = ctx
        self.table = table
        self.users = users
        self.leaving = leaving
        self.slots = slots
        self.facts = {op: _fact(op) for op in self.ops}
        self.stored = stored_inside(self.ops, users, leaving)
        self.inside = {op.result for op in self.ops[:-1]}
        self.copies: dict[Value, Rows] = {}

    def lower(self) -> None:
        if self.segment.slices > 1:
            self._lower_slices()
            return
        op, last = self.ops[0], self.facts[self.ops[-1]]
        for value in [*self.stored, *([] if last.sink else [self.ops[-1].result])]:
            self._store(value)
        if len(self.ops) == 1 and self._lower_alone(op):
            return
        if last.sink:
            partial, to = sink_rows(self.ops[-1], self.ctx)
            self._block(to)
            finish_sink(self.ops[-1], self.ctx, self.table, partial)
        else:
            self._block(self.ctx.image_rows(self.ops[-1].result, write=True))

    def _lower_slices(self) -> None:
        """A block a slice, one after the other."""
        self._store(self.ops[-1].result)
        to = self.ctx.image_rows(self.ops[-1].result, write=True)
        for i, ops in enumerate(slice_ops(self.ops, self.segment.slices, self.ctx.graph)):
            users = self.users | {op.result: [reader] for op, reader in pairwise(ops)}
            sums: Sums = "onto" if i else "first"
            parts = {a.result: (b.result, i * a.result.type.dims[-1]) for a, b in zip(ops[:-1], self.ops, strict=False)}
            _Segment(
                Segment(ops, self.step), self.ctx, self.table, users, self.leaving, self.slots, sums, parts
            )._block(to)

    def _lower_alone(self, op: Op) -> bool:
        """One op, where it has a better way than rows."""
        ctx = self.ctx
        if op in ctx.winograd:
            residual = residual_of(op)
            r = ctx.image_rows(residual) if residual is not None else None
            y = ctx.image_rows(op.result, write=True)
            lower_winograd(op, ctx, ctx.winograd[op], ctx.image_rows(op.arg(0)), r, y, self.slots)
            return True
        if op.kind == "conv":
            return pointwise_matmul(op, ctx)
        if op.kind == "qconv" and pointwise_qmatmul(op, ctx):
            return True
        own = (op.kind in OWN and op.kind not in ("matmul", "qmatmul")) or from_planes(op)
        if own or self.facts[op].sink or not all(ctx.is_dense(v) for v in [op.result, *op.inputs] if v is not None):
            return False
        self.table[op.kind](op, ctx)
        return True

    def _block(self, to: Rows) -> None:
        """The ops as stages of a block; the rows of the last lie at `to`."""
        ctx, last = self.ctx, self.facts[self.ops[-1]]
        stages = self._stages()
        if len(stages) == 1:
            with ctx.collect() as calls:
                self._op(self.ops[0], to)
            ctx.block(whole_rows(calls, last.rows, last.images, ctx.source))
            return
        step = min(self.step or COPY_STEP, last.rows)
        align = step if any(f.least > 1 for f in self.facts.values()) else 1
        parts = bands(last.rows, step, self.slots)
        slots = last.images * parts
        rows = self._stage_rows(stages)
        depths = ring_depths(rows, step, parts, align)
        built: list[Stage] = []
        for stage, own, depth in zip(stages, rows, depths, strict=True):
            with ctx.collect() as calls:
                if isinstance(stage, _Copy):
                    dims = stage.source.type.dims
                    at = ring(ctx, stage.source.type, stage.columns, min(depth, own.rows), slots, "padded")
                    self.copies[stage.source] = at
                    copy_rows(ctx, ctx.image_rows(stage.source), at, dims)
                    fill_columns(ctx, at, dims)
                elif stage is self.ops[-1]:
                    self._op(stage, to)
                    if self.sums == "whole" and not last.sink:
                        note_stage(ctx, stage, to, len(built), self.parts)
                else:
                    value = stage.result
                    if value not in self.stored:
                        columns = stored_columns(value, self.users, self.leaving, ctx.winograd)
                        deep = _depth(stage, depth, own.rows)
                        ctx.rows[value] = ring(ctx, value.type, columns, deep, slots, value.name)
                    self._op(stage, ctx.image_rows(value, write=True))
                    note_stage(ctx, stage, ctx.image_rows(value), len(built), self.parts)
            built.append(Stage(tuple(calls), own))
        names = [op.label for op in self.ops]
        ctx.block(Block(tuple(built), last.images, parts, step, ", ".join(names), align))

    def _store(self, value: Value) -> None:
        """Padded storage for a value that convolutions read, where every reader takes rows."""
        columns = stored_columns(value, self.users, self.leaving, self.ctx.winograd)
        if columns:
            self.ctx.rows[value] = padded_image(self.ctx, value.type, columns, value.name)

    def _stages(self) -> list[Op | _Copy]:
        """The ops, with a copy in front of each that wants columns of zeros which its operand has not."""
        stages: list[Op | _Copy] = []
        copied: set[Value] = set()
        for op in self.ops:
            if op.kind in ("conv", "conv_transpose", "matmul", "qconv", "qmatmul"):
                x = op.arg(0)
                wanted = columns_beside(op, x, self.ctx.winograd)
                if x not in self.inside and x not in copied and not holds(self.ctx.image_rows(x), x, wanted):
                    readers = [o for o in self.ops if any(v is x for v, _ in self.facts[o].reads)]
                    stages.append(_Copy(x, widest_columns(readers, x, self.ctx.winograd)))
                    copied.add(x)
            stages.append(op)
        return stages

    def _stage_rows(self, stages: Sequence[Op | _Copy]) -> list[StageRows]:
        index = {(s.source if isinstance(s, _Copy) else s.result): i for i, s in enumerate(stages)}
        rows = []
        for stage in stages:
            if isinstance(stage, _Copy):
                rows.append(StageRows(stage.source.type.dims[1]))
                continue
            fact = self.facts[stage]
            rows.append(StageRows(fact.rows, tuple((index[v], w) for v, w in fact.reads if v in index)))
        return rows

    def _rows_of(self, value: Value) -> Rows:
        """Where an operand's rows lie for the stages of this segment."""
        return self.copies.get(value) or self.ctx.image_rows(value)

    def _op(self, op: Op, y: Rows) -> None:
        """The calls that make rows of the op's result, at y."""
        ctx = self.ctx
        ctx.source = op.label
        sums: Sums = self.sums if op is self.ops[-1] else "whole"
        if from_planes(op):
            dims = op.result.type.dims
            _, h, w, c = dims
            source = Rows(ctx.read(op.arg(0)), c * h * w, w, max(1, h), size=y.size)
            numbers = ctx.element(op.result.type.dtype)
            ctx.call(
                numbers.header("planes.h"), numbers.function("rows_from_planes"), source.read(), y.write(),
                rows_struct(dims, source, y),
            )  # fmt: skip
        elif op.kind == "conv":
            lower_conv(op, ctx, self._rows_of(op.arg(0)), y, sums)
        elif op.kind == "qconv":
            lower_qconv(op, ctx, self._rows_of(op.arg(0)), y)
        elif op.kind in _IMAGE_OPS:
            _IMAGE_OPS[op.kind](op, ctx, self._rows_of(op.arg(0)), y)
        elif op.kind == "matmul":
            lower_matmul_rows(op, ctx, self._rows_of, y, self._line(), sums)
        elif op.kind == "qmatmul":
            lower_qmatmul_rows(op, ctx, self._rows_of, y, self._line())
        else:
            lower_one_row(op, ctx, self.table, self._rows_of, y)
        fill_columns(ctx, y, op.result.type.dims)

    def _line(self) -> int:
        """The fewest rows that a step makes, those of the last step; of slices, a number that divides those of every
        step."""
        rows = self.facts[self.ops[-1]].rows
        step = min(self.step, rows) or 1
        return math.gcd(rows, step) if self.sums != "whole" else rows % step or step


# ops with row kernels that read one image and nothing else by rows
_IMAGE_OPS: dict[str, Callable[[Op, Lowering, Rows, Rows], None]] = {
    "avg_pool": lower_pool,
    "conv_transpose": lower_conv_transpose,
    "max_pool": lower_max_pool,
    "qsum_pool": lower_qpool,
    "qresize": lower_qresize,
    "resize": lower_resize_rows,
}


def _depth(op: Op, depth: int, rows: int) -> int:
    """A ring's depth: all rows, or so many that each phase of a transposed convolution has a ring of its own."""
    attrs: Any = op.attrs
    phases: int = attrs["strides"][0] if op.kind == "conv_transpose" else 1
    return min(-(-depth // phases) * phases, rows)


def _fact(op: Op) -> RowOp:
    fact = row_op(op)
    assert fact is not None, op
    return fact
