"""Results with an encoding: what is left of them once they are stored as integers of few bits.

%1: f32[…] quant<i8, scale=#s, zero=#z> = conv %0, #w   ->   y = dequantize(quantize(conv(x, w)))

From iOS 17 on these two are operators, which the Neural Engine joins with what stands beside them where weights are
int8, too (W8A8). Where halves do not have the scale exactly, both work on float32, between casts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.types import DTYPES, Quant
from edgec.targets.coreml.compressed import WIDE, are_halves, scales_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import MOST_RANK
from edgec.targets.coreml.refusal import NoRoute

if TYPE_CHECKING:
    from edgec.targets.coreml.emission import Emission

BYTES = {"i8": "int8", "u8": "uint8"}
# what makes no numbers that its operands are not
MOVES = frozenset({"concat", "encode", "gather", "max_pool", "reshape", "slice", "transpose"})


def as_stored(e: Emission, op: Op, value: Value, y: Var) -> Var:
    """A result as those who read it see it."""
    if not value.type.encodings or _moved(op, value) or _clamped_next(e, value):
        return y
    (encoding,) = value.type.encodings
    if not isinstance(encoding, Quant):
        raise NoRoute("makes 8-bit floats, for which Core ML has no type")
    if encoding.axis is not None and value.type.rank > MOST_RANK:
        raise NoRoute(f"makes integers with scales along an axis of {value.type.rank}; Core ML has {MOST_RANK}")
    wide = "f16" if e.float == "f16" and are_halves(e.graph.module.constants[encoding.scale]) else "f32"
    if wide != e.float:
        e.note(WIDE)
    y = e.cast(y, wide)
    y = _by_operators(e, encoding, y, wide) if _has_operators(e, encoding, value) else _by_hand(e, encoding, value, y)
    return e.cast(y, e.float)


def _moved(op: Op, value: Value) -> bool:
    """Whether all that it is made of is stored so already."""
    return op.kind in MOVES and all(
        v.type.encodings == value.type.encodings for v in op.inputs[: 1 if op.kind == "gather" else None] if v
    )


def _clamped_next(e: Emission, value: Value) -> bool:
    """Whether all that is read of it is its relu, which is stored alike: relu and rounding may change places, since 0
    is one of the numbers, and a relu behind a convolution is part of it on the Neural Engine."""
    readers = e.readers.get(value, [])
    return bool(readers) and all(r.kind == "relu" and r.result.type == value.type for r in readers)


def _has_operators(e: Emission, encoding: Quant, value: Value) -> bool:
    return e.deployment.number >= 17 and encoding.format in BYTES and not encoding.group and value.type.rank > 0


def _by_operators(e: Emission, encoding: Quant, y: Var, dtype: str) -> Var:
    constants = e.graph.module.constants
    grid = {
        "scale": e.as_dtype(constants[encoding.scale], dtype),
        "zero_point": constants[encoding.zero][()],
        "axis": None if encoding.axis is None else np.int32(encoding.axis),
    }
    steps = e.mil("quantize", input=y, output_dtype=BYTES[encoding.format], **grid)
    made: Var = e.mil("dequantize", input=steps, **grid)
    return made


def _by_hand(e: Emission, encoding: Quant, value: Value, y: Var) -> Var:
    """The same in real numbers: the integers lie between bounds that depend on the zero point."""
    info = np.iinfo(DTYPES[encoding.stored])
    low, high = (-8, 7) if encoding.format == "i4" else (int(info.min), int(info.max))
    constants = e.graph.module.constants
    scale, zero = constants[encoding.scale], constants[encoding.zero].astype(np.float32)
    if encoding.axis is not None:
        scale = scales_of(e, encoding, value.type)
        zero = scales_of(e, encoding, value.type, encoding.zero).astype(np.float32)
    steps = e.mil("round", x=e.mil("real_div", x=e.cast(y, "f32"), y=e.const(scale, "f32")))
    above = e.mil("maximum", x=steps, y=e.const(low - zero, "f32"))
    within = e.mil("minimum", x=above, y=e.const(high - zero, "f32"))
    made: Var = e.mil("mul", x=within, y=e.const(scale, "f32"))
    return made
