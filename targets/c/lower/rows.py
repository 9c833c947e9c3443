"""Image rows in memory: rings and padded images, and the calls that fill them (kernels/rows.h)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgec.ir.rows import row_view
from edgec.ir.types import Type
from edgec.plan.plan import Block, Call, Stage, Struct
from edgec.plan.rows import StageRows
from edgec.targets.c.lower.context import Lowering, Rows, slack

Dims = tuple[int, ...]
TASKS = 16  # most tasks of rows that share nothing


@dataclass(frozen=True)
class Columns:
    """Columns beside the rows of an image, in front and behind, and what they hold: what stands for a zero there."""

    left: int = 0
    right: int = 0
    zero: int = 0

    def __bool__(self) -> bool:
        return self.left > 0 or self.right > 0


def padded_image(ctx: Lowering, type: Type, columns: Columns, name: str) -> Rows:
    """A whole image [n][h][w][c] with columns beside it; fill_columns writes them."""
    n, h, w, c = type.dims
    size, row = type.numpy.itemsize, (columns.left + w + columns.right) * c
    at = ctx.scratch(size * n * h * row + slack(type), name)
    start = ctx.pointer(at, size * columns.left * c, 0, type.dtype)
    return Rows(start, h * row, row, max(1, h), columns.left, columns.right, size, columns.zero)


def ring(ctx: Lowering, type: Type, columns: Columns, depth: int, slots: int, name: str) -> Rows:
    """`depth` rows of an image for each of `slots` callers."""
    _, _, w, c = row_view(type.dims).dims
    size, row = type.numpy.itemsize, (columns.left + w + columns.right) * c
    nbytes = -(-(size * depth * row + slack(type)) // 64) * 64
    at = ctx.scratch(slots * nbytes, name)
    start = ctx.pointer(at, size * columns.left * c, nbytes if slots > 1 else 0, type.dtype)
    return Rows(start, 0, row, depth, columns.left, columns.right, size, columns.zero)


def rows_struct(dims: Dims, x: Rows | None, y: Rows) -> Struct:
    _, h, w, c = dims
    x_image, x_row, x_depth = (x.image, x.row, x.depth) if x is not None else (0, 0, 1)
    fields = {"h": h, "w": w, "c": c, "x_image": x_image, "x_row": x_row, "x_depth": x_depth, "y_image": y.image,
              "y_row": y.row, "y_depth": y.depth}  # fmt: skip
    return Struct("edgec_rows_shape", tuple(fields.items()))


def fill_columns(ctx: Lowering, y: Rows, dims: Dims) -> None:
    if y.left or y.right:
        (n, h, w, c), size = dims, y.size
        assert size == 1 or not y.zero, "only bytes have another zero"
        as_bytes = rows_struct((n, h, w, size * c), None, replace(y, image=size * y.image, row=size * y.row))
        left, right = y.left * size * c, y.right * size * c
        ctx.call("rows.h", "edgec_fill_columns", y.write(), as_bytes, left, right, y.zero)


def copy_rows(ctx: Lowering, x: Rows, y: Rows, dims: Dims) -> None:
    ctx.call("rows.h", "edgec_copy_rows", x.read(), y.write(), rows_struct(dims, x, y), y.size)


def whole_rows(calls: Sequence[Call], rows: int, images: int, source: str) -> Block:
    """Row kernels that run over all rows of all images, in tasks that share nothing."""
    bands = min(rows, max(1, TASKS // images))
    return Block((Stage(tuple(calls), StageRows(rows)),), images, bands, rows, source)
