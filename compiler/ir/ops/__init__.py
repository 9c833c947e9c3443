"""The operator table: one row an operator (row.py), by family."""

from __future__ import annotations

from edgec.ir.ops import conv, dynamic, elementwise, float8, integer, integer_rows, recurrent, reduce, resize, shape
from edgec.ir.ops.row import OpRow

OPS: dict[str, OpRow] = {
    row.kind: row
    for family in (elementwise, conv, integer, integer_rows, float8, dynamic, reduce, shape, resize, recurrent)
    for row in family.ROWS
}
