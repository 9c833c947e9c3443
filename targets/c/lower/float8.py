"""Floats as bytes in memory and back (kernels/float8.h)."""

from __future__ import annotations

from typing import Any

from edgec.ir.graph import Op
from edgec.targets.c.coded import FORMS
from edgec.targets.c.lower.context import Lowering, LowerOp
from edgec.targets.c.lower.elementwise import CHUNK


def _to_float8(op: Op, ctx: Lowering) -> None:
    attrs: Any = op.attrs
    form, n = FORMS[attrs["format"]], op.result.type.size
    if n:
        ctx.call(
            "float8.h", f"edgec_to_{form.name}", ctx.read(op.arg(0)), ctx.write(op.result), n, attrs["scale"],
            tasks=-(-n // CHUNK), instances=(f"EDGEC_FLOAT8({form.name})",),
        )  # fmt: skip


def _from_float8(op: Op, ctx: Lowering) -> None:
    attrs: Any = op.attrs
    form, n = FORMS[attrs["format"]], op.result.type.size
    if n:
        ctx.call(
            "float8.h", f"edgec_from_{form.name}", ctx.read(op.arg(0)), ctx.write(op.result), n,
            attrs["scale"] * form.factor, tasks=-(-n // CHUNK), instances=(f"EDGEC_FLOAT8({form.name})",),
        )  # fmt: skip


FLOAT8: dict[str, LowerOp] = {"to_float8": _to_float8, "from_float8": _from_float8}
