"""Element-wise operators: unary, binary with numpy broadcasting, where, cast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgec.ir.ops import row_rules
from edgec.ir.ops.activation import activate, check_activation
from edgec.ir.ops.cast import cast, infer_bitcast, infer_cast
from edgec.ir.ops.functions import BINARY, BOOL, COMPARE, NUMBERS, PARAMETRIC, UNARY, wide
from edgec.ir.ops.operands import broadcast, operand, same_dtype
from edgec.ir.ops.row import REQUIRED, Attrs, OpRow
from edgec.ir.types import DTYPES, FLOATS, INTEGERS, SIGNED, WIDE, Type

Array = np.ndarray[Any, Any]


def _rounded(function: Callable[..., Array]) -> Callable[[Sequence[Any], Any], list[Array]]:
    def evaluate(arrays: Sequence[Any], _: Any) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(*map(wide, arrays))).astype(arrays[0].dtype, copy=False)]

    return evaluate


def _unary(kind: str) -> OpRow:
    legal, function = UNARY[kind]

    def infer(types: Sequence[Type | None], _: Attrs) -> list[Type]:
        x = operand(types, 0, kind)
        same_dtype(kind, legal, x)
        return [x]

    return OpRow(kind, "elementwise", (1, 1), infer, _rounded(function), rows=row_rules.elementwise)


def _parametric(kind: str) -> OpRow:
    attrs, function = PARAMETRIC[kind]
    legal = NUMBERS if kind == "clip" else FLOATS

    def infer(types: Sequence[Type | None], _: Attrs) -> list[Type]:
        x = operand(types, 0, kind)
        same_dtype(kind, legal, x)
        return [x]

    def evaluate(arrays: Sequence[Any], a: Any) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(wide(arrays[0]), a)).astype(arrays[0].dtype, copy=False)]

    return OpRow(kind, "elementwise", (1, 1), infer, evaluate, attrs, rows=row_rules.elementwise)


def _binary(kind: str) -> OpRow:
    legal, function = BINARY[kind]
    attrs: Any = {"act": ""} if kind == "add" else {}

    def infer(types: Sequence[Type | None], a: Attrs) -> list[Type]:
        x, y = operand(types, 0, kind), operand(types, 1, kind)
        same_dtype(kind, legal, x, y)
        if kind == "add":
            check_activation(kind, a)
        return [Type(x.dtype, broadcast(kind, x, y))]

    plain = _rounded(function)

    def evaluate(arrays: Sequence[Any], a: Any) -> list[Array]:
        result = plain(arrays, a)[0]
        if a.get("act"):
            with np.errstate(all="ignore"):
                return [activate(wide(result), a["act"]).astype(result.dtype, copy=False)]
        return [result]

    return OpRow(kind, "elementwise", (2, 2), infer, evaluate, attrs, rows=row_rules.elementwise)


def _compare(kind: str) -> OpRow:
    function = COMPARE[kind]

    def infer(types: Sequence[Type | None], _: Attrs) -> list[Type]:
        x, y = operand(types, 0, kind), operand(types, 1, kind)
        same_dtype(kind, WIDE, x, y)
        return [Type("bool", broadcast(kind, x, y))]

    return OpRow(
        kind, "elementwise", (2, 2), infer, lambda v, _: [np.asarray(function(wide(v[0]), wide(v[1])))],
        rows=row_rules.elementwise,
    )


def _infer_where(types: Sequence[Type | None], _: Attrs) -> list[Type]:
    cond, a, b = (operand(types, i, "where") for i in range(3))
    same_dtype("where", BOOL, cond)
    same_dtype("where", frozenset(DTYPES), a, b)
    return [Type(a.dtype, broadcast("where", cond, a, b))]


def _infer_test(kind: str) -> Callable[[Sequence[Type | None], Attrs], list[Type]]:
    def infer(types: Sequence[Type | None], _: Attrs) -> list[Type]:
        x = operand(types, 0, kind)
        same_dtype(kind, FLOATS, x)
        return [Type("bool", x.shape)]

    return infer


def _is_inf(v: Sequence[Any], a: Any) -> list[Array]:
    x = wide(v[0])
    return [np.asarray((x == np.inf) & a["positive"] | (x == -np.inf) & a["negative"])]


ROWS: list[OpRow] = [
    *map(_unary, UNARY),
    *map(_parametric, PARAMETRIC),
    *map(_binary, BINARY),
    *map(_compare, COMPARE),
    OpRow(
        "where", "elementwise", (3, 3), _infer_where, lambda v, _: [np.asarray(np.where(v[0], v[1], v[2]))],
        rows=row_rules.elementwise,
    ),
    OpRow(
        "cast", "elementwise", (1, 1), infer_cast, lambda v, a: [cast(v[0], **a)],
        {"to": REQUIRED, "saturate": True, "round_mode": "up"}, row_rules.elementwise,
    ),
    OpRow(
        "bitcast",
        "elementwise",
        (1, 1),
        infer_bitcast,
        lambda v, a: [v[0].view(DTYPES[a["to"]])],
        {"to": REQUIRED},
        row_rules.elementwise,
    ),
    OpRow(
        "is_nan", "elementwise", (1, 1), _infer_test("is_nan"), lambda v, _: [np.asarray(wide(v[0]) != wide(v[0]))],
        rows=row_rules.elementwise,
    ),
    OpRow(
        "is_inf", "elementwise", (1, 1), _infer_test("is_inf"), _is_inf, {"positive": True, "negative": True},
        row_rules.elementwise,
    ),
]
assert SIGNED <= INTEGERS
