"""Reductions and running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, NoRoute, Route, dtype_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import MOST_RANK, along, grouped, held, reshaped
from edgec.targets.coreml.routes.attributes import ints
from edgec.targets.coreml.routes.cast import truth
from edgec.targets.coreml.routes.integer import wrapped


def _reduce(kind: str) -> Route:
    """Bools, of which there are the largest and the smallest, are reduced as integers."""

    def route(e: Emission, op: Op) -> Var:
        bools = op.result.type.dtype == "bool"
        x, axes = _numbers(e, op), ints(op.attrs["axes"])
        keep, dims = bool(op.attrs["keepdims"]), op.arg(0).type.dims
        if len(dims) > MOST_RANK:
            dims, axes = grouped(dims, axes)
            if len(dims) > MOST_RANK:
                raise NoRoute(f"of {op.arg(0).type} along {op.attrs['axes']} has more than {MOST_RANK} axes")
            x, keep = reshaped(e, x, dims), False
        y = e.mil(kind, x=x, axes=axes, keep_dims=keep) if axes else x
        y = reshaped(e, y, held(op.result.type.dims))
        return e.cast(y, "bool") if bools else wrapped(e, y, op.result.type.dtype)

    return route


def _numbers(e: Emission, op: Op) -> Var:
    """Operand 0, bools as integers."""
    return e.held(op.arg(0), "i32" if op.arg(0).type.dtype == "bool" else None)


def _arg(extreme: str) -> Route:
    """Which of several equal elements MIL's argmax finds is left open. Here the place of an element that is not the
    extreme is moved beyond the axis, and the first or the last place is what is left."""

    def route(e: Emission, op: Op) -> Var:
        a: Any = op.attrs
        x, axis = along(e, _numbers(e, op), op.arg(0).type.dims, a["axis"])
        n = int(x.shape[axis])
        found = e.mil(extreme, x=x, axes=[axis], keep_dims=True)
        other = e.cast(e.mil("not_equal", x=x, y=found), "i32")
        places = np.arange(n).reshape([-1 if i == axis else 1 for i in range(len(x.shape))])
        moved = e.mil("mul", x=other, y=e.const(-n if a["last"] else n))
        kind = "reduce_max" if a["last"] else "reduce_min"
        found = e.mil(kind, x=e.mil("add", x=moved, y=e.const(places)), axes=[axis], keep_dims=bool(a["keepdims"]))
        return reshaped(e, found, held(op.result.type.dims))

    return route


def _cumsum(e: Emission, op: Op) -> Var:
    """In float32: a running sum in halves stops growing at 2048 times what is added."""
    a: Any = op.attrs
    x, axis = along(e, _numbers(e, op), op.arg(0).type.dims, a["axis"])
    dtype = "bool" if op.result.type.dtype == "bool" else dtype_of(x)
    wide = e.cast(x, "f32") if dtype == "f16" else x
    y = e.mil("cumsum", x=wide, axis=axis, exclusive=bool(a["exclusive"]), reverse=bool(a["reverse"]))
    y = truth(e, y) if dtype == "bool" else wrapped(e, e.cast(y, dtype), op.result.type.dtype)
    return reshaped(e, y, held(op.result.type.dims))


ROUTES: dict[str, Route] = {
    **{f"reduce_{kind}": _reduce(f"reduce_{kind}") for kind in ("sum", "mean", "max", "min", "prod")},
    "argmax": _arg("reduce_max"),
    "argmin": _arg("reduce_min"),
    "cumsum": _cumsum,
}
