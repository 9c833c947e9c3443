"""The rows that a convolution or matmul multiplies its weights with, or a recurrence its state, and their moments.

A row holds what one result element of each channel is made of, in the order of weights [result channels, k] (see
`quantize.weights_of`): a convolution's windows, channel by channel, with zeros where the image is padded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from edgec.column_blocks import blocks_of
from edgec.ir.errors import UsageError
from edgec.ir.graph import Op, Value
from edgec.ir.ops.conv import sliding
from edgec.ir.ops.recurrent import GATES

Array = np.ndarray[Any, Any]

MEAN_ROWS = 256  # of an array that a mean is made of
LARGEST = 1e18  # number in a row: float32 holds its square


def group_count(op: Op) -> int:
    """How many groups of channels have rows of their own."""
    return int(op.attrs["groups"]) if op.kind == "conv" else 1  # type: ignore[arg-type]


def result_rows(x: Array, most: int) -> Array:
    """Of values [..., channels] that a result has, those in the places of `operand_rows`: [m, channels]."""
    rows = x.reshape(-1, x.shape[-1])
    return np.asarray(rows[_chosen(len(rows), most)])


def operand_rows(op: Op, x: Array, most: int | None = None) -> Array:
    """Rows [groups, m, k] for the operand `x`; at most `most`, evenly spread over the results."""
    if op.kind == "matmul" or op.kind in GATES:
        rows = x.reshape(1, -1, x.shape[-1])
        return rows[:, _chosen(rows.shape[1], most)]
    assert op.kind == "conv", op.kind
    assert op.attrs["layout"] == "nhwc", op.attrs["layout"]
    kernel = op.arg(1).type.dims[2:]
    windows = sliding(x, kernel, op.attrs, 0)  # [n, *O, c, *K]
    spatial = windows.shape[: 1 + len(kernel)]
    at = np.unravel_index(_chosen(int(np.prod(spatial)), most), spatial)
    groups = group_count(op)
    chosen = windows[at]  # [m, c, *K]
    return np.ascontiguousarray(chosen.reshape(len(chosen), groups, -1).transpose(1, 0, 2))


def _chosen(count: int, most: int | None) -> Array:
    taken = count if most is None else min(count, most)
    return np.arange(taken) * count // max(taken, 1)


def row_sums(rows: Array) -> Array:
    """The sum [groups, k] over rows [groups, m, k], of floats as a product: reductions over the axis in the middle take
    ten times as long where k is small."""
    ones = np.ones((1, rows.shape[1]), np.float32)
    with np.errstate(all="ignore"):  # infinities are refused with a sentence of their own
        sums = (ones @ rows.astype(np.float32, copy=False))[:, 0].astype(np.float64)
        return np.asarray(sums if np.isfinite(sums).all() else rows.sum(axis=1, dtype=np.float64))


class Moments:
    """`hessian` [groups, k, k] is the mean of x^T x over the rows so far, `mean` [groups, k] that of x. Of many columns
    it is [groups * blocks, width, width] (column_blocks.py)."""

    def __init__(self, groups: int, k: int) -> None:
        self.rows = 0
        self.blocks = blocks_of(groups, k)
        self._squares = np.zeros((groups * self.blocks.count, self.blocks.width, self.blocks.width))
        self._sums = np.zeros((groups, k))

    def add(self, rows: Array) -> None:
        """Rows [groups, m, k]."""
        found = rows.astype(np.float32, copy=False)
        self._sums += row_sums(found)
        self.rows += rows.shape[1]
        found = self.blocks.cut(found)
        self._squares += found.transpose(0, 2, 1) @ found

    def together(self, other: Moments) -> Moments:
        """Both as one."""
        made = Moments(*self._sums.shape)
        made.rows = self.rows + other.rows
        made._squares, made._sums = self._squares + other._squares, self._sums + other._sums
        return made

    @property
    def hessian(self) -> Array:
        return self._squares / max(self.rows, 1)

    @property
    def mean(self) -> Array:
        return self._sums / max(self.rows, 1)


class Met:
    """What the weights of an op are multiplied with: `stored` rows x, instead of those x' of the float model. `drift`,
    in the blocks of the hessian, is the mean of (x' - x)^T x, None where rows are those of the float model; `wanted`
    [groups, k] is the mean of x'."""

    def __init__(self, groups: int, k: int) -> None:
        self.stored = Moments(groups, k)
        self._drift: Array | None = None
        self._wanted = np.zeros((groups, k))

    def add(self, wide: Array, stored: Array) -> None:
        """Rows [groups, m, k] of the float model and as they are stored."""
        self.stored.add(stored)
        if stored is not wide:
            cut = self.stored.blocks.cut
            found = cut(wide - stored).transpose(0, 2, 1) @ cut(stored)
            self._drift = found.astype(np.float64) if self._drift is None else self._drift + found
        self._wanted += row_sums(wide)

    @property
    def drift(self) -> Array | None:
        return None if self._drift is None else self._drift / max(self.stored.rows, 1)

    @property
    def wanted(self) -> Array:
        return self._wanted / max(self.stored.rows, 1)


def row_means(ops: Collection[Op], stream: Iterable[Mapping[Value, Array]]) -> dict[Op, Array]:
    """The mean row [groups, k] of each operator, of operands as they come. UsageError where a number is not finite, or
    beyond LARGEST."""
    readers: dict[Value, list[Op]] = {}
    for op in ops:
        readers.setdefault(op.arg(0), []).append(op)
    sums: dict[Op, list[Array]] = {op: [] for op in ops}
    largest = dict.fromkeys(ops, 0.0)
    for found in stream:
        for value, array in found.items():
            for op in readers.get(value, ()):
                rows = operand_rows(op, array, MEAN_ROWS)
                sums[op].append(row_sums(rows) / rows.shape[1])
                largest[op] = max(largest[op], float(np.abs(rows).max(initial=0.0)))
    found_means = {op: np.mean(means, axis=0) for op, means in sums.items() if means}
    for op, mean in found_means.items():
        if not np.isfinite(mean).all():
            raise UsageError(
                f"on samples of --calib {op.label} reads infinities or NaN, which the model itself makes of them: "
                "ranges cannot be measured; leave such samples out"
            )
        if largest[op] > LARGEST:
            raise UsageError(
                f"on samples of --calib {op.label} reads numbers as large as {largest[op]:.3g}, whose squares are "
                f"beyond float32; legal are up to {LARGEST:g}: leave such samples out"
            )
    return found_means
