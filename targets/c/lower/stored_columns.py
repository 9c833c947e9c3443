"""Columns of zeros beside the rows of a value in memory: what its readers want, and what there is."""

from __future__ import annotations

from collections.abc import Container, Sequence

from edgec.ir.graph import Op, Value
from edgec.targets.c.lower.context import Rows, slack
from edgec.targets.c.lower.conv import wanted_columns
from edgec.targets.c.lower.conv_transpose import phase_columns
from edgec.targets.c.lower.row_ops import reads_rows
from edgec.targets.c.lower.rows import Columns


def stored_columns(
    value: Value, users: dict[Value, list[Op]], leaving: set[Value], winograd: dict[Op, int]
) -> Columns:
    """Columns beside a value's rows: as its readers want, where all of them take rows."""
    readers = users.get(value, [])
    if value in leaving or value.type.rank != 4 or not readers or not all(reads_rows(op, value) for op in readers):
        return Columns()
    return widest_columns(readers, value, winograd)


def widest_columns(readers: Sequence[Op], value: Value, winograd: Container[Op]) -> Columns:
    """For all readers: a byte means the same to each of them."""
    wanted = [columns for op in readers if (columns := columns_beside(op, value, winograd))]
    if not wanted:
        return Columns()
    zeros = {columns.zero for columns in wanted}
    assert len(zeros) == 1, f"{value!r} has several zeros: {zeros}"
    return Columns(max(c.left for c in wanted), max(c.right for c in wanted), zeros.pop())


def columns_beside(op: Op, value: Value, winograd: Container[Op]) -> Columns:
    """Columns that an op reads beside the rows of one of its operands."""
    if op.kind == "conv_transpose":
        return Columns(*phase_columns(op))
    return wanted_columns(op, value, winograd)


def holds(have: Rows, value: Value, wanted: Columns) -> bool:
    if slack(value.type) and have.at.buffer.space != "scratch":
        return False  # bytes behind it are read (qgemm.h, bf16gemm.h), and the caller owns it
    return have.left >= wanted.left and have.right >= wanted.right and (not wanted or have.zero == wanted.zero)
