"""How each operator of the IR is said in MIL, by family."""

from __future__ import annotations

from edgec.targets.coreml.emission import Route
from edgec.targets.coreml.routes import (
    activation,
    attention,
    conv,
    elementwise,
    matmul,
    norm,
    pool,
    reduce,
    resize,
    shape,
)

ROUTES: dict[str, Route] = {
    kind: route
    for family in (elementwise, activation, conv, pool, matmul, norm, attention, reduce, resize, shape)
    for kind, route in family.ROUTES.items()
}
