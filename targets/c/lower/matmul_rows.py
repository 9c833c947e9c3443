"""Matmul by constant weights as a row kernel: a pointwise convolution whose pixels are the rows, or lie in them."""

from __future__ import annotations

import math
from collections.abc import Callable

from edgec.ir.graph import Op, Value
from edgec.ir.rows import row_view
from edgec.targets.c.lower.context import Lowering, Rows
from edgec.targets.c.lower.conv import Sums, gemm_rows
from edgec.targets.c.lower.matmul import bias_array, bias_vector, matrix

TILE_ROWS = 16  # pixels a step that fill a tile, whatever its size


def matmul_has_rows(op: Op) -> bool:
    """float32 by one constant matrix; a bias that is one vector, or as many numbers as the result."""
    b = op.arg(1)
    if b.const is None or math.prod(b.type.dims[:-2]) != 1 or op.arg(0).type.dims[-1] == 0:
        return False
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    by_rows = bias is not None and bias.const is None and bias.type.dims == op.result.type.dims
    return bias is None or by_rows or bias_vector(op) is not None


def lower_matmul_rows(op: Op, ctx: Lowering, rows_of: Callable[[Value], Rows], y: Rows, line: int, sums: Sums) -> None:
    """`line`: the fewest rows a step, where a row is one pixel."""
    weights = matrix(op, ctx)
    view = row_view(op.result.type.dims)
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    residual = rows_of(bias) if bias is not None and bias_vector(op) is None else None
    sizes = {"sh": 1, "sw": 1, "dh": 1, "dw": 1, "top": 0, "left": 0}
    k, n = weights.shape
    gemm_rows(
        ctx, rows_of(op.arg(0)), (view.rows, k), weights.reshape(1, 1, k, n), bias_array(op, ctx), residual, y, n, 1,
        sizes, view.rows, view.columns, str(op.attrs["act"]), view.columns if view.columns > 1 else line, sums,
    )  # fmt: skip
