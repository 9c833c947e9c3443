"""Casts: a float goes to an integer by truncation, to bool by != 0; integers wrap; `Emission.bind` rounds halves."""

from __future__ import annotations

from edgec.ir.graph import Op
from edgec.ir.types import FLOATS
from edgec.targets.coreml.emission import Emission, NoRoute, Route, dtype_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.integer import wrapped

# what a narrow dtype holds of others: nothing wraps on the way
HOLDS = {"i16": ("i8", "u8"), "u16": ("u8",)}


def _cast(e: Emission, op: Op) -> Var:
    x, to = e.made(op.arg(0)), str(op.attrs["to"])
    have = op.arg(0).type.dtype
    if to == "bool":
        return truth(e, x)
    if to in FLOATS:
        return e.cast(x, "f16" if to == "f16" else e.float)
    y = e.cast(x, "i32")
    return y if have in (to, "bool", *HOLDS.get(to, ())) else wrapped(e, y, to)


def truth(e: Emission, x: Var) -> Var:
    """`x` != 0."""
    dtype = dtype_of(x)
    return x if dtype == "bool" else e.mil("not_equal", x=x, y=e.const(0, dtype))


def _bitcast(e: Emission, op: Op) -> Var:
    raise NoRoute(f"reads the bits of {op.arg(0).type.dtype} as {op.attrs['to']}, for which Core ML has no operator")


ROUTES: dict[str, Route] = {"cast": _cast, "bitcast": _bitcast}
