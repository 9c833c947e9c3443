"""Row kernels for ops that work row by row: the op is lowered as it stands for a tensor of one row, and the block makes
the calls once a row, with pointers that step from row to row."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from edgec.ir.graph import Attr, Op, Value
from edgec.ir.ops import OPS
from edgec.ir.rows import SAME, row_axes, row_view
from edgec.ir.types import Type
from edgec.plan.plan import Buffer, Pointer
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, Place, Rows
from edgec.targets.c.lower.row_ops import row_rule

Table = dict[str, LowerOp]


def lower_one_row(op: Op, ctx: Lowering, table: Table, rows_of: Callable[[Value], Rows], y: Rows) -> None:
    """The calls that make a row of the result, or of a sink's partial results. `rows_of`: where operands' rows lie."""
    rule = row_rule(op)
    assert rule is not None
    rank = op.arg(0).type.rank if rule.sink else op.result.type.rank
    lead = row_axes(rank)
    pointers: dict[Value, Pointer] = {}
    inputs: list[Value | None] = []
    for value, window in zip(op.inputs, rule.reads, strict=True):
        if value is None:
            inputs.append(None)
            continue
        at = None
        if window == SAME and value.const is None:
            at = row_pointer(rows_of(value), rule.rows)
        elif window == SAME or OPS[op.kind].family == "elementwise" or op.kind == "qmul":
            at = _broadcast(value, ctx, rank, lead)
        if at is None:
            inputs.append(value)
            continue
        one = Value(value.name, _one_row(value.type, rank - lead))
        pointers[one] = at
        inputs.append(one)
    attrs = _attributes(op, lead, rule.sink)
    single = Op(op.kind, inputs, attrs, op.source)
    (type,) = OPS[op.kind].infer([v.type if v is not None else None for v in inputs], attrs)
    single.results = [Value(op.result.name, type, single)]
    pointers[single.result] = row_pointer(y, rule.rows)
    with ctx.each_row(pointers):
        table[op.kind](single, ctx)


def row_pointer(rows: Rows, count: int) -> Pointer:
    """An address that steps from row to row of `count`."""
    depth = rows.depth if rows.depth < count else 0
    return replace(rows.at, image=rows.size * rows.image, row=rows.size * rows.row, depth=depth)


def _one_row(type: Type, rest: int) -> Type:
    ones = max(0, type.rank - rest)
    return Type(type.dtype, (1,) * ones + type.dims[ones:])


def _broadcast(value: Value, ctx: Lowering, rank: int, lead: int) -> Pointer | None:
    """Rows of a whole operand that has fewer of them than the result, or of a constant; None: the same for all rows."""
    dims = (1,) * (rank - value.type.rank) + value.type.dims
    if all(d == 1 for d in dims[:lead]):
        return None
    view = row_view(dims)
    nbytes = view.columns * view.channels * value.type.numpy.itemsize
    at = ctx.read(value, CTYPES[value.type.dtype])
    return replace(
        at, image=view.rows * nbytes if view.images > 1 else 0, row=nbytes if view.rows > 1 else 0,
    )  # fmt: skip


def _attributes(op: Op, lead: int, sink: bool) -> dict[str, Attr]:
    attrs = dict(op.attrs)
    if op.kind == "slice":
        for name, one in (("starts", 0), ("stops", 1), ("steps", 1)):
            given: tuple[int, ...] = op.attrs[name]  # type: ignore[assignment]
            attrs[name] = (one,) * lead + given[lead:]
    if sink:
        axes: tuple[int, ...] = op.attrs["axes"]  # type: ignore[assignment]
        attrs |= {"axes": tuple(a for a in axes if a != 1), "keepdims": True}
    return attrs


def sink_rows(op: Op, ctx: Lowering) -> tuple[Value, Rows]:
    """A place for what a sink makes of each row: a value [images][rows][…], and where its rows lie."""
    axes: tuple[int, ...] = op.attrs["axes"]  # type: ignore[assignment]
    dims = tuple(1 if i != 1 and i in axes else d for i, d in enumerate(op.arg(0).type.dims))
    partial = Value(f"{op.result.name} of rows", Type(op.result.type.dtype, dims))
    buffer: Buffer = ctx.scratch(partial.type.nbytes, partial.name)
    ctx.set_place(partial, Place(buffer))
    row = math.prod(dims[2:])
    at = ctx.pointer(buffer, 0, 0, partial.type.dtype)
    return partial, Rows(at, dims[1] * row, row, dims[1], size=partial.type.numpy.itemsize)


def finish_sink(op: Op, ctx: Lowering, table: Table, partial: Value) -> None:
    """The sink's value, from what it made of each row: always in the same order, whoever made them."""
    whole = Op(op.kind, [partial], {"axes": (1,), "keepdims": True}, op.source)
    whole.results = [op.result]
    table[op.kind](whole, ctx)
