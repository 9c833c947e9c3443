"""Convolutions of integers, which MIL's conv does not take: a product of matrices for each tap of the kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, NoRoute, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.attributes import ints
from edgec.targets.coreml.routes.integer import wrapped
from edgec.targets.coreml.routes.shape import joined, sliced
from edgec.targets.coreml.routes.windows import cropped


def _conv(e: Emission, op: Op) -> Var:
    """The sum over taps of weights [groups, O/g, C/g] times the operand's elements [n, groups, C/g, out]."""
    a: Any = op.attrs
    assert a["layout"] == "nchw", op
    if a["act"]:
        raise NoRoute(f"of integers has the activation {a['act']}, which has no form in Core ML")
    x, pads = cropped(e, e.operand(op, 0), ints(a["pads"]))
    n, channels = (int(d) for d in x.shape[:2])
    (o, per_group, *kernel), out = op.arg(1).type.dims, op.result.type.dims[2:]
    groups, r = a["groups"], len(out)
    for axis in range(r):
        x = _with_zeros(e, x, 2 + axis, pads[axis], pads[r + axis])
    taps = e.mil("reshape", x=e.operand(op, 1), shape=[groups, o // groups, per_group, math.prod(kernel)])
    total = None
    for number, tap in enumerate(np.ndindex(*kernel)):
        starts = [0, 0, *(int(t) * int(d) for t, d in zip(tap, a["dilations"], strict=True))]
        view = sliced(e, x, starts, [n, channels, *out], [1, 1, *ints(a["strides"])])
        flat = e.mil("reshape", x=view, shape=[n, groups, per_group, math.prod(out)])
        weight = sliced(e, taps, [0, 0, 0, number], [groups, o // groups, per_group, 1], [1] * 4)
        weight = e.mil("reshape", x=weight, shape=[1, groups, o // groups, per_group])
        product = e.mil("matmul", x=weight, y=flat)
        total = product if total is None else e.mil("add", x=total, y=product)
    y = e.mil("reshape", x=total, shape=list(op.result.type.dims))
    if (bias := e.optional(op, 2)) is not None:
        y = e.mil("add", x=y, y=e.mil("reshape", x=bias, shape=[1, o] + [1] * r))
    if (added := e.optional(op, 3)) is not None:
        y = e.mil("add", x=y, y=added)
    return wrapped(e, y, op.result.type.dtype)


def _with_zeros(e: Emission, x: Var, axis: int, before: int, after: int) -> Var:
    """MIL's pad takes floats alone."""
    sizes = [int(d) for d in x.shape]
    sides = [
        e.const(np.zeros((*sizes[:axis], count, *sizes[axis + 1 :]), np.int32)) if count else None
        for count in (before, after)
    ]
    return joined(e, [v for v in (sides[0], x, sides[1]) if v is not None], axis)


ROUTES: dict[str, Route] = {"conv": _conv}
