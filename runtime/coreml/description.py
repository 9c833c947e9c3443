"""What a model says of itself to its caller: ModelDescription of Model.proto and the types of FeatureTypes.proto."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgec.runtime.coreml.datatypes import BY_NAME, FP32, DataType
from edgec.runtime.coreml.wire import Message, PackageError

ARRAY_TYPES = {65568: "fp32", 65600: "fp64", 131104: "int32", 131080: "int8", 65552: "fp16"}
COLORS = {10: "grayscale", 20: "rgb", 30: "bgr", 40: "grayscale_fp16"}


@dataclass(frozen=True)
class Range:
    """Sizes that a dimension may have; `upper` None: any."""

    lower: int
    upper: int | None

    def __contains__(self, size: int) -> bool:
        return self.lower <= size and (self.upper is None or size <= self.upper)


@dataclass(frozen=True)
class ArrayFeature:
    """`shape` is the default; an output may have none. At most one of `shapes` and `ranges` is given.
    `default` is what an optional input is filled with when it is left out."""

    dtype: DataType
    shape: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[Range, ...] = ()
    default: float | None = None

    def takes(self, shape: tuple[int, ...]) -> bool:
        if self.shapes:
            return shape in self.shapes or shape == self.shape
        if self.ranges:
            return len(shape) == len(self.ranges) and all(s in r for s, r in zip(shape, self.ranges, strict=True))
        return shape == self.shape

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class ImageFeature:
    """A picture: its caller gives u8 [height, width, channels], grayscale without the last axis (fp16 where `color`
    says so). `sizes` are (height, width); at most one of `sizes` and `ranges` is given."""

    color: str
    height: int
    width: int
    sizes: tuple[tuple[int, int], ...] = ()
    ranges: tuple[Range, ...] = ()

    @property
    def channels(self) -> int:
        return 3 if self.color in ("rgb", "bgr") else 1

    def takes(self, height: int, width: int) -> bool:
        if self.sizes:
            return (height, width) in self.sizes or (height, width) == (self.height, self.width)
        if self.ranges:
            return height in self.ranges[0] and width in self.ranges[1]
        return (height, width) == (self.height, self.width)

    def __str__(self) -> str:
        return f"{self.color} image {self.height}x{self.width}"


@dataclass(frozen=True)
class DictionaryFeature:
    key: str  # int64 or string

    def __str__(self) -> str:
        return f"dictionary from {self.key} to double"


@dataclass(frozen=True)
class ScalarFeature:
    kind: str  # int64, double or string

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True)
class StateFeature:
    array: ArrayFeature

    def __str__(self) -> str:
        return f"state of {self.array}"


FeatureType = ArrayFeature | ImageFeature | DictionaryFeature | ScalarFeature | StateFeature


@dataclass(frozen=True)
class Feature:
    name: str
    type: FeatureType
    optional: bool
    text: str


@dataclass(frozen=True)
class Interface:
    """One function as its caller sees it."""

    name: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    states: tuple[Feature, ...]
    predicted: str
    probabilities: str


@dataclass(frozen=True)
class Description:
    """`functions` has one interface when the package has no list of functions; `several` says that it has one."""

    functions: tuple[Interface, ...]
    default: str
    several: bool
    metadata: dict[str, str]

    def function(self, name: str | None) -> Interface:
        wanted = name or self.default
        for interface in self.functions:
            if interface.name == wanted:
                return interface
        names = ", ".join(f"'{f.name}'" for f in self.functions)
        raise PackageError(f"the package has no function '{wanted}'; it has {names}")


def description(message: Message) -> Description:
    """ModelDescription; a package with one function names it nowhere, and its function is `main`."""
    metadata = _metadata(message.message(100))
    top = Interface(
        "main",
        _features(message, 1),
        _features(message, 10),
        _features(message, 13),
        message.text(11),
        message.text(12),
    )
    listed = message.messages(20)
    if not listed:
        return Description(
            (replace(top, name=message.text(21) or "main"),), message.text(21) or "main", False, metadata
        )
    functions = tuple(
        Interface(m.text(1), _features(m, 2), _features(m, 3), _features(m, 6), m.text(4), m.text(5)) for m in listed
    )
    return Description(functions, message.text(21), True, metadata)


def _metadata(message: Message | None) -> dict[str, str]:
    if message is None:
        return {}
    found = {
        key: message.text(n) for n, key in enumerate(("shortDescription", "versionString", "author", "license"), 1)
    }
    for entry in message.messages(100):
        found[entry.text(1)] = entry.text(2)
    return {key: text for key, text in found.items() if text}


def _features(message: Message, number: int) -> tuple[Feature, ...]:
    return tuple(_feature(m) for m in message.messages(number))


def _feature(message: Message) -> Feature:
    name = message.text(1)
    kind = message.message(3)
    if kind is None:
        raise message.budget.error(f"the description of '{name}' has no type")
    return Feature(name, _feature_type(kind, name), bool(kind.integer(1000)), message.text(2))


def _feature_type(message: Message, name: str) -> FeatureType:
    if (array := message.message(5)) is not None:
        return _array(array, name)
    if (image := message.message(4)) is not None:
        return _image(image, name)
    if (pairs := message.message(6)) is not None:
        return DictionaryFeature("int64" if pairs.has(1) else "string")
    if (state := message.message(8)) is not None:
        inner = state.message(1)
        if inner is None:
            raise message.budget.error(f"the state '{name}' has no type")
        return StateFeature(_array(inner, name))
    for number, kind in ((1, "int64"), (2, "double"), (3, "string")):
        if message.has(number):
            return ScalarFeature(kind)
    raise PackageError(f"'{name}' is a sequence or of an unknown type, which ML programs do not have")


def _array(message: Message, name: str) -> ArrayFeature:
    number = message.integer(2)
    if number == 0 and not message.has(1):  # an output without a description of its type
        return ArrayFeature(FP32, ())
    if number not in ARRAY_TYPES:
        raise message.budget.error(f"'{name}' has the element type {number}, and there is no such type")
    shape = tuple(message.integers(1))
    if any(size < 0 for size in shape):
        raise message.budget.error(f"'{name}' has a negative dimension: {list(shape)}")
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[Range, ...] = ()
    if (enumerated := message.message(21)) is not None:
        shapes = tuple(tuple(m.integers(1)) for m in enumerated.messages(1))
    if (ranged := message.message(31)) is not None:
        ranges = tuple(_range(m) for m in ranged.messages(1))
    default: float | None = None
    if message.has(41):
        default = float(np.int32(message.integer(41)))
    elif message.has(51) or message.has(61):
        default = message.real(51 if message.has(51) else 61)
    return ArrayFeature(BY_NAME[ARRAY_TYPES[number]], shape, shapes, ranges, default)


def _image(message: Message, name: str) -> ImageFeature:
    color = message.integer(3)
    if color not in COLORS:
        raise message.budget.error(f"the image '{name}' has the color space {color}, and there is no such space")
    sizes: tuple[tuple[int, int], ...] = ()
    ranges: tuple[Range, ...] = ()
    if (enumerated := message.message(21)) is not None:
        sizes = tuple((m.integer(2), m.integer(1)) for m in enumerated.messages(1))
    if (ranged := message.message(31)) is not None:
        width, height = ranged.message(1), ranged.message(2)
        if width is None or height is None:
            raise message.budget.error(f"the image '{name}' has a range of sizes without both directions")
        ranges = (_range(height), _range(width))
    return ImageFeature(COLORS[color], message.integer(2), message.integer(1), sizes, ranges)


def _range(message: Message) -> Range:
    upper = message.integer(2)
    return Range(message.integer(1), None if upper < 0 else upper)
