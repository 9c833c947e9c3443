"""Segments of the schedule as blocks: rings for what stays inside, padded storage for what convolutions read.

`schedule_graph` asks for the schedule; `lower_graph` is the loop over it: ops without row kernels go through the table,
the rest become blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgec.ir.errors import UnsupportedError
from edgec.ir.graph import Graph, Op, Value
from edgec.plan.cost import Memory
from edgec.plan.plan import Block, Stage
from edgec.plan.rows import StageRows, ring_depths
from edgec.plan.schedule import RowOp, Segment, make_schedule
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.context import Lowering, LowerOp, NotLowered, Rows
from edgec.targets.c.lower.conv import (
    conv_row_op,
    lower_conv,
    lower_pool,
    pointwise_matmul,
    pool_row_op,
    wanted_columns,
)
from edgec.targets.c.lower.conv_transpose import reads_rows
from edgec.targets.c.lower.rows import (
    copy_rows,
    padded_image,
    ring,
    rows_struct,
    whole_rows,
    zero_columns,
)
from edgec.targets.c.lower.winograd import lower_winograd, winograd_convs

COPY_STEP = 8  # result rows at a time where a block is a padded copy and its reader
_NHWC = (0, 2, 3, 1)


def row_op(op: Op) -> RowOp | None:
    """What the schedule may know of an op that has row kernels; None: it has none."""
    if op.kind == "conv":
        return conv_row_op(op)
    if op.kind in ("max_pool", "avg_pool"):
        return pool_row_op(op)
    if op.kind == "transpose" and op.attrs["perm"] == _NHWC and op.result.type.dtype == "f32" and op.result.type.size:
        dims = op.result.type.dims
        return RowOp(dims[1], (), dims[0])  # reads its operand by planes: all of it must be there
    return None


def _reads_rows(op: Op, value: Value) -> bool:
    """Whether the op's lowering takes `value` through Lowering.image_rows, and so with any row stride."""
    if op.kind == "conv_transpose":
        return reads_rows(op) and op.arg(0) is value
    fact = row_op(op)
    return fact is not None and any(v is value for v, _ in fact.reads)


def schedule_graph(graph: Graph, isa: Isa, memory: Memory) -> list[Segment]:
    alone = winograd_convs(graph, isa)

    def streamed(op: Op) -> RowOp | None:
        return None if op in alone else row_op(op)

    return make_schedule(graph.ops, graph.users(), graph.output_values(), streamed, memory)


def lower_graph(ctx: Lowering, table: dict[str, LowerOp], segments: Sequence[Segment], slots: int) -> None:
    """Every op of the graph, in the segments of the schedule. UnsupportedError with every op that has no kernel.
    `slots`: threads that may run a block with rings at the same time; each has rings of its own."""
    users, leaving = ctx.graph.users(), ctx.graph.output_values()
    alone = {segment.ops[0] for segment in segments if len(segment.ops) == 1}
    ctx.winograd = {op: m for op, m in winograd_convs(ctx.graph, ctx.isa).items() if op in alone}
    reasons: dict[str, None] = {}
    for segment in segments:
        op = segment.ops[0]
        ctx.source = f"{op.kind} {op.source}".strip()
        try:
            if row_op(op) is not None:
                _Segment(segment, ctx, users, leaving, slots).lower()
            elif op.kind in table:
                table[op.kind](op, ctx)
            else:
                raise NotLowered(f"{op.kind} has no kernel")
        except NotLowered as reason:
            reasons[f"{op.source or op.kind}: {reason} on this target"] = None
    if reasons:
        raise UnsupportedError(list(reasons))


@dataclass
class _Copy:
    """A stage that copies the rows of `source` beside columns of zeros."""

    source: Value
    left: int
    right: int


class _Segment:
    """Lowers one segment of row ops."""

    def __init__(
        self, segment: Segment, ctx: Lowering, users: dict[Value, list[Op]], leaving: set[Value], slots: int
    ) -> None:
        self.ops = segment.ops
        self.step = segment.step
        self.ctx = ctx
        self.users = users
        self.leaving = leaving
        self.slots = slots
        self.inside = {op.result for op in self.ops[:-1]}
        assert all(set(users[v]) <= set(self.ops) and v not in leaving for v in self.inside), "a ring is read outside"

    def lower(self) -> None:
        ctx, ops = self.ctx, self.ops
        last = ops[-1].result
        self._store(last)
        if len(ops) == 1 and ops[0].kind == "conv" and pointwise_matmul(ops[0], ctx):
            return
        if len(ops) == 1 and ops[0] in ctx.winograd:
            x, residual = ops[0].arg(0), ops[0].inputs[3] if len(ops[0].inputs) > 3 else None
            r = ctx.image_rows(residual) if residual is not None else None
            y = ctx.image_rows(last, write=True)
            lower_winograd(ops[0], ctx, ctx.winograd[ops[0]], ctx.image_rows(x), r, y, self.slots)
            return
        stages = self._stages()
        fact = row_op(ops[-1])
        assert fact is not None
        if len(stages) == 1:
            with ctx.collect() as calls:
                self._op(ops[0], ctx.image_rows(last, write=True), None)
            ctx.block(whole_rows(calls, fact.rows, fact.images, ctx.source))
            return
        step = min(self.step or COPY_STEP, fact.rows)
        bands = max(1, min(self.slots, fact.rows // (2 * step)))
        rows = self._stage_rows(stages)
        depths = ring_depths(rows, step, bands)
        built = []
        copies: dict[Value, Rows] = {}
        for stage, own, depth in zip(stages, rows, depths, strict=True):
            with ctx.collect() as calls:
                if isinstance(stage, _Copy):
                    dims = stage.source.type.dims
                    to = ring(ctx, dims, stage.left, stage.right, min(depth, own.rows), fact.images * bands, "padded")
                    copies[stage.source] = to
                    copy_rows(ctx, ctx.image_rows(stage.source), to, dims)
                    zero_columns(ctx, to, dims)
                else:
                    if stage.result is not last:
                        left, right = self._columns(stage.result, self.users[stage.result])
                        ctx.rows[stage.result] = ring(
                            ctx, stage.result.type.dims, left, right, min(depth, own.rows), fact.images * bands,
                            stage.result.name,
                        )  # fmt: skip
                    to = ctx.image_rows(stage.result, write=True)
                    self._op(stage, to, copies.get(stage.arg(0)))
            built.append(Stage(tuple(calls), own))
        names = [f"{op.kind} {op.source}".strip() for op in ops]
        ctx.block(Block(tuple(built), fact.images, bands, step, ", ".join(names)))

    def _store(self, value: Value) -> None:
        """Padded storage for a value that convolutions read, where every reader takes rows."""
        ctx, users = self.ctx, self.users.get(value, [])
        if value in self.leaving or not users or not all(_reads_rows(op, value) for op in users):
            return
        left, right = self._columns(value, users)
        if left or right:
            ctx.rows[value] = padded_image(ctx, value.type.dims, left, right, value.name)

    def _columns(self, value: Value, users: Sequence[Op]) -> tuple[int, int]:
        """Columns of zeros that the readers of a value want."""
        wanted = [wanted_columns(op, value, self.ctx) for op in users]
        return max(w[0] for w in wanted), max(w[1] for w in wanted)

    def _stages(self) -> list[Op | _Copy]:
        """The ops, with a copy in front of each that wants columns of zeros which its operand has not."""
        stages: list[Op | _Copy] = []
        copied: set[Value] = set()
        for op in self.ops:
            if op.kind == "conv":
                x = op.arg(0)
                left, right = wanted_columns(op, x, self.ctx)
                if x not in self.inside and x not in copied:
                    have = self.ctx.image_rows(x)
                    if have.left < left or have.right < right:
                        readers = [o for o in self.ops if o.kind == "conv" and o.arg(0) is x]
                        left, right = self._columns(x, readers)
                        stages.append(_Copy(x, left, right))
                        copied.add(x)
            stages.append(op)
        return stages

    def _stage_rows(self, stages: Sequence[Op | _Copy]) -> list[StageRows]:
        index = {
            (s.source if isinstance(s, _Copy) else s.result): i for i, s in enumerate(stages)
        }
        rows = []
        for stage in stages:
            if isinstance(stage, _Copy):
                rows.append(StageRows(stage.source.type.dims[1]))
                continue
            fact = row_op(stage)
            assert fact is not None
            rows.append(StageRows(fact.rows, tuple((index[v], w) for v, w in fact.reads if v in index)))
        return rows

    def _op(self, op: Op, y: Rows, copied: Rows | None) -> None:
        """The calls that make rows of the op's result."""
        ctx = self.ctx
        ctx.source = f"{op.kind} {op.source}".strip()
        dims = op.result.type.dims
        if op.kind == "transpose":
            _, h, w, c = dims
            source = Rows(ctx.read(op.arg(0)), c * h * w, w, max(1, h))
            ctx.call("rows.h", "edgec_rows_from_planes", source.read(), y.write(), rows_struct(dims, source, y))
        else:
            x = copied or ctx.image_rows(op.arg(0))
            (lower_conv if op.kind == "conv" else lower_pool)(op, ctx, x, y)
        zero_columns(ctx, y, dims)
