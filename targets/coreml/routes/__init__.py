"""How each operator of the IR is said in MIL, by family."""

from __future__ import annotations

from edgec.targets.coreml.emission import Route
from edgec.targets.coreml.routes import conv, elementwise, matmul, reduce, shape

ROUTES: dict[str, Route] = {
    kind: route for family in (elementwise, conv, matmul, reduce, shape) for kind, route in family.ROUTES.items()
}
