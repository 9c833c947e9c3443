"""The interface of a package: features by names that Core ML takes, in dtypes that its arrays have.

Core ML's arrays hold float32, int32 and, from iOS 16 on, float16. What the model has beside these is cast inside.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from edgec.ir.errors import UnsupportedError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import INTEGERS
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.coreml.emission import Emission
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import MOST_RANK


@dataclass(frozen=True)
class Feature:
    """`name` is the model's, `feature` the package's; `dtype` the model's, `stored` the array's (f32, f16, i32).
    A scalar is an array of one element: Core ML's arrays have at least one dimension."""

    name: str
    feature: str
    dtype: str
    stored: str
    shape: tuple[int, ...]


def features_of(graph: Graph, deployment: Deployment) -> tuple[tuple[Feature, ...], tuple[Feature, ...]]:
    """Inputs and outputs of a graph. UnsupportedError names all that Core ML cannot hold."""
    taken: set[str] = set()
    refused: list[str] = []
    inputs = tuple(_feature("input", v.name, v, deployment, taken, refused) for v in graph.inputs)
    outputs = tuple(_feature("output", name, v, deployment, taken, refused) for name, v in graph.outputs)
    if refused:
        raise UnsupportedError(refused)
    return inputs, outputs


def _feature(
    what: str, name: str, value: Value, deployment: Deployment, taken: set[str], refused: list[str]
) -> Feature:
    type = value.type
    if type.rank > MOST_RANK:
        refused.append(f"{what} '{name}' has {type.rank} dimensions, and Core ML's arrays have at most {MOST_RANK}")
    if not type.size:
        refused.append(f"{what} '{name}' is {type}, and Core ML has no empty arrays")
    dtype = type.dtype
    if dtype in ("f64", "bf16"):
        refused.append(f"{what} '{name}' is {type}, and Core ML has no {dtype}")
    half = "f16" if deployment.number >= 16 else "f32"
    stored = "i32" if dtype in INTEGERS or dtype == "bool" else half if dtype == "f16" else "f32"
    return Feature(name, feature_name(name, taken), dtype, stored, type.dims or (1,))


def feature_name(name: str, taken: Collection[str] | set[str]) -> str:
    """A letter or _ first, then letters, digits and _; no name twice. `taken` grows by it."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    plain = plain if re.match(r"[A-Za-z_]", plain) else f"_{plain}"
    found, number = plain, 1
    while found in taken:
        found, number = f"{plain}_{number}", number + 1
    assert isinstance(taken, set)
    taken.add(found)
    return found


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
