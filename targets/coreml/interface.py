"""Where arrays of the interface become values of the graph, and back."""

from __future__ import annotations

from edgec.ir.graph import Value
from edgec.targets.apple.features import Feature
from edgec.targets.coreml.emission import Emission
from edgec.targets.coreml.mil import Var


def from_interface(e: Emission, x: Var, value: Value) -> Var:
    """An input's array as the graph's value, in the dtype in which it came (bools are made from integers)."""
    if not value.type.shape:
        x = e.mil("squeeze", x=x, axes=[0])
    return e.cast(x, "bool") if value.type.dtype == "bool" else x


def to_interface(e: Emission, x: Var, feature: Feature) -> Var:
    """A value as the array that leaves; a new variable in any case, since it takes the feature's name."""
    cast = e.cast(x, feature.stored)
    if tuple(cast.shape) != feature.shape:
        return e.mil("reshape", x=cast, shape=list(feature.shape))
    return e.mil("identity", x=cast) if cast is x else cast
