"""How each operator of the IR is said in MIL, by family."""

from __future__ import annotations

from edgec.ir.graph import Op
from edgec.ir.types import INTEGERS
from edgec.targets.coreml.emission import Route
from edgec.targets.coreml.routes import (
    activation,
    attention,
    bits,
    cast,
    conv,
    elementwise,
    index,
    integer,
    integer_conv,
    matmul,
    norm,
    pool,
    quantised,
    recurrent,
    reduce,
    resize,
    shape,
)

ROUTES: dict[str, Route] = {
    kind: route
    for family in (
        elementwise, activation, conv, pool, matmul, norm, attention, reduce, resize, shape, index, cast, quantised,
        recurrent,
    )
    for kind, route in family.ROUTES.items()
}
# what means something else for integers: it wraps, truncates or has no operator
ON_INTEGERS: dict[str, Route] = {**integer.ROUTES, **integer_conv.ROUTES, **bits.ROUTES}


def route_of(op: Op) -> Route | None:
    """How an operator is said, or None where it has no form."""
    first = op.inputs[0] if op.inputs else None
    if first is not None and first.type.dtype in INTEGERS and op.kind in ON_INTEGERS:
        return ON_INTEGERS[op.kind]
    return ROUTES.get(op.kind)
