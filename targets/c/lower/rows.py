"""Image rows in memory: rings and padded images, and the calls that fill them (kernels/rows.h)."""

from __future__ import annotations

from collections.abc import Sequence

from edgec.plan.plan import Block, Call, Stage, Struct
from edgec.plan.rows import StageRows
from edgec.targets.c.lower.context import Lowering, Rows

Dims = tuple[int, ...]
TASKS = 16  # most tasks of rows that share nothing


def padded_image(ctx: Lowering, dims: Dims, left: int, right: int, name: str) -> Rows:
    """A whole image [n][h][w][c] with columns of zeros beside it; zero_columns writes them."""
    n, h, w, c = dims
    row = (left + w + right) * c
    at = ctx.scratch(4 * n * h * row, name)
    return Rows(ctx.pointer(at, 4 * left * c), h * row, row, max(1, h), left, right)


def ring(ctx: Lowering, dims: Dims, left: int, right: int, depth: int, slots: int, name: str) -> Rows:
    """`depth` rows of an image for each of `slots` callers."""
    _, _, w, c = dims
    row = (left + w + right) * c
    nbytes = -(-4 * depth * row // 64) * 64
    at = ctx.scratch(slots * nbytes, name)
    return Rows(ctx.pointer(at, 4 * left * c, nbytes if slots > 1 else 0), 0, row, depth, left, right)


def rows_struct(dims: Dims, x: Rows | None, y: Rows) -> Struct:
    _, h, w, c = dims
    x_image, x_row, x_depth = (x.image, x.row, x.depth) if x is not None else (0, 0, 1)
    fields = {"h": h, "w": w, "c": c, "x_image": x_image, "x_row": x_row, "x_depth": x_depth, "y_image": y.image,
              "y_row": y.row, "y_depth": y.depth}  # fmt: skip
    return Struct("edgec_rows_shape", tuple(fields.items()))


def zero_columns(ctx: Lowering, y: Rows, dims: Dims) -> None:
    if y.left or y.right:
        c = dims[3]
        ctx.call("rows.h", "edgec_zero_columns", y.write(), rows_struct(dims, None, y), y.left * c, y.right * c)


def copy_rows(ctx: Lowering, x: Rows, y: Rows, dims: Dims) -> None:
    ctx.call("rows.h", "edgec_copy_rows", x.read(), y.write(), rows_struct(dims, x, y))


def whole_rows(calls: Sequence[Call], rows: int, images: int, source: str) -> Block:
    """Row kernels that run over all rows of all images, in tasks that share nothing."""
    bands = min(rows, max(1, TASKS // images))
    return Block((Stage(tuple(calls), StageRows(rows)),), images, bands, rows, source)
