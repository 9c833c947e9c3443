"""The interface of a model as apps see it: features by name (arrays, pictures, states) and a classifier's labels.

Apple's arrays hold float32, int32 and, on newer systems, float16, in one to five dimensions. What the model has beside
these is cast inside of what is emitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgec.ir.errors import UnsupportedError, UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import INTEGERS, NARROW
from edgec.targets.apple.labels import Classifier, classifier_of
from edgec.targets.apple.metadata import Metadata
from edgec.targets.apple.sizes import Sizes

MOST_RANK = 5
LACKS = frozenset({"f64", "bf16"}) | NARROW  # element types that neither arrays nor operators have
COLORS = {"rgb": 3, "bgr": 3, "gray": 1}


@dataclass(frozen=True)
class Feature:
    """`name` is the model's, `feature` the package's; `dtype` the model's, `stored` the array's (f32, f16, i32).
    A scalar is an array of one element, since arrays have a dimension at least. `color` says of a picture which order
    of channels the model gets (rgb, bgr, gray); apps give pixels, and the model gets 0 to 255 as [1, C, H, W].
    `sizes` are the shapes that an input may have beside its own one, `shape`."""

    name: str
    feature: str
    dtype: str
    stored: str
    shape: tuple[int, ...]
    color: str = ""
    scalar: bool = False
    sizes: Sizes | None = None


@dataclass(frozen=True)
class Interface:
    """One function. A state is neither input nor output. With a classifier, the first output leaves as a label and a
    dictionary of probabilities; `outputs` has it all the same, and the dictionary's name as its feature."""

    function: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    states: tuple[Feature, ...] = ()
    classifier: Classifier | None = None


@dataclass(frozen=True)
class Presentation:
    """What a package says beside what it computes. `colors` makes inputs pictures; `default` is the function that apps
    get when they name none (empty: the first)."""

    metadata: Metadata = field(default_factory=Metadata)
    labels: tuple[str, ...] = ()
    colors: Mapping[str, str] = field(default_factory=dict)
    default: str = ""


@dataclass(frozen=True)
class Arrays:
    """What a format's arrays are: whether they may be of halves, and whether there are states (halves in any case).
    `format` is its name for people."""

    format: str
    halves: bool
    states: bool


def interface_of(graph: Graph, arrays: Arrays, presentation: Presentation, function: str = "main") -> Interface:
    """Inputs, outputs and states of a graph; where the format has no states they come in and leave like the others.
    UnsupportedError names all that cannot be held, UsageError what was asked for and does not fit."""
    taken: set[str] = set()
    refused: list[str] = []
    kept = {s.input for s in graph.states} if arrays.states else set()

    def feature(what: str, name: str, value: Value) -> Feature:
        refused.extend(_refusals(what, name, value, arrays.format))
        return _feature(name, value, arrays, taken)

    inputs = [feature("input", v.name, v) for v in graph.inputs if v not in kept]
    states = [feature("state", v.name, v) for v in graph.inputs if v in kept]
    leaving = [*graph.outputs, *(() if arrays.states else ((f"{s.input.name}_next", s.output) for s in graph.states))]
    outputs = [feature("output", name, value) for name, value in leaving]
    if not outputs:
        refused.append("nothing leaves but states, and a model must have an output")
    if refused:
        raise UnsupportedError(refused)
    unknown = [name for name in presentation.colors if name not in {f.name for f in inputs}]
    if unknown:
        raise UsageError(f"the model has no input '{unknown[0]}' that could be a picture")
    inputs = [_picture(f, presentation.colors[f.name]) if f.name in presentation.colors else f for f in inputs]
    classifier = None
    if presentation.labels:
        classifier = classifier_of(presentation.labels, outputs[0].name, outputs[0].shape, outputs[0].dtype, taken)
        outputs[0] = replace(outputs[0], feature=classifier.probabilities, stored="f32")
    halved = tuple(replace(f, stored="f16") for f in states)
    return Interface(function, tuple(inputs), tuple(outputs), halved, classifier)


def _refusals(what: str, name: str, value: Value, format: str) -> list[str]:
    type = value.type
    found = []
    if type.rank > MOST_RANK:
        found.append(f"{what} '{name}' has {type.rank} dimensions, and {format}'s arrays have at most {MOST_RANK}")
    if not type.size:
        found.append(f"{what} '{name}' is {type}, and {format} has no empty arrays")
    if type.dtype in LACKS:
        found.append(f"{what} '{name}' is {type}, and {format} has no {type.dtype}")
    if what == "state" and type.dtype not in ("f32", "f16"):
        found.append(f"state '{name}' is {type}, and {format}'s states hold float16 only")
    return found


def _feature(name: str, value: Value, arrays: Arrays, taken: set[str]) -> Feature:
    dtype = value.type.dtype
    half = "f16" if arrays.halves else "f32"
    stored = "i32" if dtype in INTEGERS or dtype == "bool" else half if dtype == "f16" else "f32"
    dims = value.type.dims
    return Feature(name, feature_name(name, taken), dtype, stored, dims or (1,), scalar=not dims)


def _picture(feature: Feature, color: str) -> Feature:
    """Its array is float32 of 0 to 255, whatever the model's floats are."""
    channels = COLORS[color]
    if len(feature.shape) != 4 or feature.shape[:2] != (1, channels) or feature.dtype not in ("f32", "f16"):
        raise UsageError(
            f"input '{feature.name}' {feature.dtype}{list(feature.shape)} cannot be a picture: one of {color} has the "
            f"shape [1, {channels}, height, width]"
        )
    return replace(feature, stored="f32", color=color)


def feature_name(name: str, taken: set[str]) -> str:
    """A letter or _ first, then letters, digits and _; no name twice. `taken` grows by it."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    plain = plain if re.match(r"[A-Za-z_]", plain) else f"_{plain}"
    found, number = plain, 1
    while found in taken:
        found, number = f"{plain}_{number}", number + 1
    taken.add(found)
    return found


def at_shape(interface: Interface, number: int) -> Interface:
    """The interface with the shapes that the inputs have at one of their sizes, by its number among them."""
    return replace(
        interface,
        inputs=tuple(_at(f, number) for f in interface.inputs),
        outputs=tuple(_at(f, number) for f in interface.outputs),
    )


def _at(feature: Feature, number: int) -> Feature:
    shapes = () if feature.sizes is None else feature.sizes.shapes
    return replace(feature, shape=shapes[number]) if shapes else feature
