"""What a convolution or matmul multiplies where that is narrower than what it adds: bf16, and codes of 8-bit floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.encodings import FLOAT8
from edgec.ir.errors import IRError
from edgec.ir.ops.row import Attrs
from edgec.ir.types import Type

Array = np.ndarray[Any, Any]

PRODUCTS: dict[str, Any] = {"to": "", "format": "", "scale": 1.0}  # attributes of conv and matmul


def check_products(kind: str, types: Sequence[Type | None], attrs: Attrs) -> str:
    """The result's dtype where `to` says it: products of bf16 are added in float32, as are a bias and a residual, and
    rounded once to what is stored. With a `format`, the first operand is codes of that 8-bit float, times `scale`, and
    weights are real numbers, however they are stored. Empty: the operands' dtype."""
    to, format = str(attrs["to"]), str(attrs["format"])
    found = ["" if t is None else t.dtype for t in types]
    if format:
        if format not in FLOAT8 or to != "f32" or found[:2] != ["u8", "f32"] or not set(found[2:]) <= {"", "f32"}:
            raise IRError(
                f"{kind} of {format} of {', '.join(d for d in found if d)}: legal are u8, f32 and what is added to "
                f"them, in f32, to f32, in {', '.join(FLOAT8)}"
            )
        return to
    if not to:
        return ""
    if to not in ("f32", "bf16") or found[:2] != ["bf16", "bf16"] or not set(found[2:]) <= {"", "f32"}:
        raise IRError(
            f"{kind} to {to} of {', '.join(d for d in found if d)}: legal are bf16, bf16 and what is added to them, in "
            f"f32, to f32 or bf16"
        )
    return to


def left_operand(x: Array, attrs: Any) -> Array:
    """The numbers that a product reads, as they are or as codes (check_products)."""
    if not attrs["format"]:
        return x
    return np.asarray(x.view(FLOAT8[attrs["format"]]).astype(np.float32) * np.float32(attrs["scale"]))
