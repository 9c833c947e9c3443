"""Casts to and from element types of 8 bits and fewer: from them by a table of all codes, to them by expressions."""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.ops.cast import cast
from edgec.ir.types import DTYPES, NARROW_FLOATS, bits_of
from edgec.targets.c.lower.context import Lowering

CHUNK = 4096  # EDGEC_MAP_CHUNK
# mantissa, bias, the sign's bit, the code of the largest number, of those beyond it without saturation, of a NaN
_FORMS = {
    "f8e4m3fn": (3, 7, 0x80, 0x7E, 0x7F, 0x7F), "f8e4m3fnuz": (3, 8, 0x80, 0x7F, 0x80, 0x80),
    "f8e5m2": (2, 15, 0x80, 0x7B, 0x7C, 0x7E), "f8e5m2fnuz": (2, 16, 0x80, 0x7F, 0x80, 0x80),
    "f4e2m1": (1, 1, 8, 7, 7, 0),
}  # fmt: skip
_UP = {"up": 1, "nearest": 1 << 22, "down": 1 << 23}


def from_narrow(op: Op, ctx: Lowering) -> None:
    x, y = op.arg(0), op.result
    n, size, source = y.type.size, y.type.numpy.itemsize, x.type.dtype
    if not n:
        return
    # bits above an element's own mean nothing
    codes = (np.arange(256) & (1 << bits_of(source)) - 1).astype(np.uint8)
    found = cast(codes.view(DTYPES[source]), **op.attrs)  # type: ignore[arg-type]
    name, ctype = ("table_bytes", "uint8_t") if size == 1 else (f"table_{8 * size}", f"uint{8 * size}_t")
    ctx.call(
        "qtable.h", f"edgec_{name}", ctx.read(x), ctx.pack(found, ctype), ctx.write(y, ctype), n, 0,
        tasks=-(-n // CHUNK), inplace=size == 1, instances=() if size == 1 else (f"EDGEC_TABLE({name}, {ctype})",),
    )  # fmt: skip


def to_narrow(number: str, whole: str, op: Op) -> str:
    """The expression of a code, of a number as a float and as an integer of 64 bits."""
    to, saturate = op.result.type.dtype, bool(op.attrs["saturate"])
    if to not in NARROW_FLOATS:
        return f"({whole}) & {(1 << bits_of(to)) - 1}"
    if to == "f8e8m0":
        return f"edgec_power_of_two({number}, {_UP[str(op.attrs['round_mode'])]}, {int(saturate)})"
    mantissa, bias, sign, most, beyond, nan = _FORMS[to]
    return f"edgec_small_float({number}, {mantissa}, {bias}, {sign}, {most}, {most if saturate else beyond}, {nan})"
