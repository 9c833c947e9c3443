"""Functions of one element: a table with an entry for each byte."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Op, Value
from edgec.ir.ops import OPS
from edgec.ir.ops.functions import PARAMETRIC, UNARY
from edgec.passes.form import Form
from edgec.passes.requant import Grid, Looked, NotInIntegers, table

Array = np.ndarray[Any, Any]
WITH_NUMBER = ("add", "div", "max", "min", "mul", "pow", "prelu", "sub")  # tables where one operand is a number


def looked_up(op: Op) -> int | None:
    """The operand of which the result is a function, element by element; None where there is no single one."""
    if op.kind in UNARY or op.kind in PARAMETRIC:
        return 0
    for i in (0, 1) if op.kind in WITH_NUMBER else ():
        number = op.arg(1 - i)
        varies = op.arg(i).const is None and op.arg(i).type.dims == op.result.type.dims
        if varies and number.const is not None and number.type.size == 1:
            return i
    return None


def _function(f: Form, i: int) -> Callable[[Array], Array]:
    """What the operator makes of numbers of its operand i."""
    if f.op.kind not in WITH_NUMBER:
        return lambda v: np.asarray(OPS[f.op.kind].evaluate([v], f.attrs)[0])
    return partial(_applied, f.op, f.build.graph.array(f.op.arg(1 - i)).reshape(()), i)


def passed_on(f: Form) -> tuple[Value, Looked] | None:
    """Bytes and what the operator makes of their numbers, for the next operator to go on with."""
    i = looked_up(f.op)
    value, grid = f.operands[i] if i is not None else (None, None)
    if i is None or value is None or grid is None:
        return None
    with np.errstate(all="ignore"):
        return value, Looked(grid.dtype, grid.scale, grid.zero, _function(f, i)(grid.numbers()))


def with_number(f: Form) -> Value | None:
    """An operator on bytes and one constant number is a table."""
    i = looked_up(f.op)
    if i is None:
        return None
    (x, grid), result = f.byte(i), f.target()
    result.bounds(str(f.attrs.get("act", "")))  # refuses what is no clamp
    return through_table(f.build, x, table(grid, _function(f, i), result))


def _applied(op: Op, constant: Array, i: int, numbers: Array) -> Array:
    """What the operator makes of these numbers as operand i and the constant as the other one."""
    operands = [constant, constant]
    operands[i] = numbers
    return np.asarray(OPS[op.kind].evaluate(operands, op.attrs)[0])


def number_form(f: Form) -> Value:
    made = with_number(f)
    if made is None:
        raise NotInIntegers("NO_INTEGER_FORM")
    return made


def unary_form(f: Form) -> Value:
    (x, grid), result = f.byte(0), f.target()
    return through_table(f.build, x, table(grid, _function(f, 0), result))


def through_table(b: Builder, x: Value, entries: Array) -> Value:
    """Entries for bytes; of what a table of bytes made, those of both."""
    before = x.op
    if before is not None and before.kind == "table" and before.arg(1).const is not None:
        inner = b.graph.array(before.arg(1))
        return b.op("table", before.arg(0), b.const(entries[inner.astype(np.int64) - np.iinfo(inner.dtype).min]))
    return b.op("table", x, b.const(entries))


def rescaled(b: Builder, x: Value, source: Grid, result: Grid) -> Value:
    """The same numbers on another grid."""
    return x if source == result else through_table(b, x, table(source, lambda v: v, result))
