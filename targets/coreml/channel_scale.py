"""Weights of a product with a scale for each result channel, where a scale over a table is no form (below iOS 26).

y = conv(x, scale * table[i])   ->   y = conv(x, table'[i]) * scale'

The table is multiplied by the power of two that the largest scale does not exceed, so that what lies between the
product and the scale is hardly larger than the result: halves end at 65504, and begin with 2^-24, which the least
number of a table must not fall below. Scales that halves do not have multiply in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.types import Float8, Palette, Scale
from edgec.targets.coreml.compressed import BYTES, NESTED, WIDE, are_halves, looked_up, numbers_of_bytes, table_of
from edgec.targets.coreml.mil import Var

if TYPE_CHECKING:
    from edgec.targets.coreml.emission import Emission

Array = np.ndarray[Any, Any]
LEAST_HALF = 2.0**-24


def weights(e: Emission, op: Op, channels: int) -> tuple[Var, Array | None]:
    """Operand 1 as a variable, and what the product is to be multiplied with, a number a result channel, which are
    along axis `channels` of the operand; None where that is part of the weights."""
    value = op.arg(1)
    if value.const is None or e.deployment.number >= NESTED or e.deployment.number < 16:
        return e.operand(op, 1), None
    outer = value.type.encodings[0] if value.type.encodings else None
    if not isinstance(outer, Scale | Float8) or outer.axis != channels or outer.group:
        return e.operand(op, 1), None
    stored, scale = e.graph.stored(value), e.graph.module.constants[outer.scale]
    if isinstance(outer, Float8):
        palette, table = BYTES, numbers_of_bytes(outer, stored)
    else:
        inner = value.type.encodings[1]
        assert isinstance(inner, Palette)
        palette, table = inner, table_of(e, inner)
    unit = np.exp2(np.ceil(np.log2(np.abs(scale).max())))
    if e.float == "f16" and np.any(table):
        unit = np.maximum(unit, np.exp2(np.ceil(np.log2(LEAST_HALF / np.abs(table[table != 0]).min()))))
    unit = unit.astype(np.float32)
    return looked_up(e, stored, palette, table * unit, value.type, e.float), scale / unit


def scaled(e: Emission, y: Var, scale: Array | None, behind: int) -> Var:
    """y times the scale of each channel, which have `behind` axes after theirs."""
    if scale is None:
        return y
    wide = e.float if e.float == "f32" or are_halves(scale) else "f32"
    if wide != e.float:
        e.note(WIDE)
    made = e.mil("mul", x=e.cast(y, wide), y=e.const(scale.reshape(-1, *[1] * behind), wide))
    return e.cast(made, e.float)
