"""8-bit floats in memory: what `lower_float8` makes of values that are encoded as such. Arithmetic is float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgec.ir.encodings import FLOAT8, nearest_float8
from edgec.ir.errors import IRError
from edgec.ir.ops import row_rules
from edgec.ir.ops.operands import operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.types import Type

Array = np.ndarray[Any, Any]
MOST = 2.0**100  # a scale, so that nothing over- or underflows for what decoding leaves out


def _check(kind: str, a: Any) -> None:
    if a["format"] not in FLOAT8:
        raise IRError(f"{kind}: there is no 8-bit float {a['format']}; legal: {', '.join(FLOAT8)}")
    if not MOST**-1 <= a["scale"] <= MOST or float(np.float32(a["scale"])) != a["scale"]:
        raise IRError(f"{kind}: the scale {a['scale']} is no float from 2^-100 to 2^100")


def _infer(kind: str, takes: str, makes: str) -> Callable[[Sequence[Type | None], Any], list[Type]]:
    def infer(types: Sequence[Type | None], a: Any) -> list[Type]:
        x = operand(types, 0, kind)
        _check(kind, a)
        if x.dtype != takes:
            raise IRError(f"{kind} takes {takes}, not {x}")
        return [Type(makes, x.shape)]

    return infer


def _evaluate_to(v: Sequence[Any], a: Any) -> list[Array]:
    return [nearest_float8(v[0], np.float32(a["scale"]), a["format"])]  # type: ignore[arg-type]


def _evaluate_from(v: Sequence[Any], a: Any) -> list[Array]:
    return [v[0].view(FLOAT8[a["format"]]).astype(np.float32) * np.float32(a["scale"])]


_FORM: dict[str, Any] = {"format": REQUIRED, "scale": REQUIRED}

_infer_to, _infer_from = _infer("to_float8", "f32", "u8"), _infer("from_float8", "u8", "f32")

ROWS: list[OpRow] = [
    OpRow("to_float8", "integer", (1, 1), _infer_to, _evaluate_to, _FORM, row_rules.own_row),
    OpRow("from_float8", "integer", (1, 1), _infer_from, _evaluate_from, _FORM, row_rules.own_row),
]
