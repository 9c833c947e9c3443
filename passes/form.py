"""What the integer form of an operator is made of: its operands as bytes on grids, and the grid of its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Op, Value
from edgec.ir.types import DTYPES
from edgec.passes.requant import Grid, NotInIntegers

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Form:
    """An operator with its operands: for each, its bytes and their grid, or the float value and None."""

    op: Op
    build: Builder
    operands: Sequence[tuple[Value | None, Grid | None]]
    result: Grid | None  # None: the result is a plain float tensor

    @property
    def attrs(self) -> Any:
        return self.op.attrs

    def byte(self, i: int, grid_of_constant: Grid | None = None) -> tuple[Value, Grid]:
        """Operand i as bytes; a constant of floats on a grid of its own, or on the given one."""
        value, grid = self.operands[i] if i < len(self.operands) else (None, None)
        if value is not None and grid is None and value.const is not None and value.type == value.type.plain:
            array = self.build.graph.array(value)
            if array.dtype == np.float32 and np.isfinite(array).all():
                grid = grid_of_constant or covering(array, self.target().dtype)
                value = self.build.const(grid.encode(array))
        if value is None or grid is None:
            plain = value is not None and value.const is None and value.type.dtype == "f32"
            raise NotInIntegers("OPERAND_IN_FLOATS" if plain else "NO_INTEGER_FORM")
        return value, grid

    def target(self) -> Grid:
        if self.result is None:
            raise NotInIntegers("RESULT_IN_FLOATS")
        return self.result


def covering(array: Array, dtype: str) -> Grid:
    """A grid over all that an array has, and 0."""
    lo, hi = float(array.min(initial=0.0)), float(array.max(initial=0.0))
    scale, least = float(np.float32((hi - lo) / 255 or 1.0)), Grid(dtype, 1.0, 0).least
    return Grid(dtype, scale, int(np.clip(round(least - lo / scale), least, least + 255)))


def clamped(grid: Grid, act: str) -> dict[str, Any]:
    lo, hi = grid.bounds(act)
    return {"lo": lo, "hi": hi, "to": grid.dtype}


def numbers_of(b: Builder, grid: Grid) -> tuple[Value, Value]:
    """Scale and zero point as constants."""
    return b.const(np.array(grid.scale, np.float32)), b.const(np.array(grid.zero, DTYPES[grid.dtype]))
