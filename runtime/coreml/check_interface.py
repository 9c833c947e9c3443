"""Checks of a description against the function that it describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgec.runtime.coreml.description import (
    ArrayFeature,
    DictionaryFeature,
    Feature,
    ImageFeature,
    Interface,
    ScalarFeature,
    StateFeature,
)
from edgec.runtime.coreml.program import DictionaryType, Function, Operation, StateType, TensorType, ValueType


def check_interface(interface: Interface, function: Function) -> Iterator[str]:
    """Where names, types and shapes of the two differ, a sentence each."""
    inputs = {n.name: n.type for n in function.inputs if not isinstance(n.type, StateType)}
    states = {n.name: n.type for n in function.inputs if isinstance(n.type, StateType)}
    made = _types(function)
    outputs = {name: made[name] for name in function.block.outputs if name in made}
    yield from _sides("input", interface.inputs, inputs, function)
    yield from _sides("state", interface.states, states, function)
    yield from _sides("output", interface.outputs, outputs, function)
    yield from _labels(interface, function)


def _types(function: Function) -> dict[str, ValueType]:
    found = {n.name: n.type for n in function.inputs}
    found.update((n.name, n.type) for op in function.block.operations for n in op.outputs)
    return found


def _sides(
    what: str, features: Sequence[Feature], declared: Mapping[str, ValueType], function: Function
) -> Iterator[str]:
    names = [feature.name for feature in features]
    if len(set(names)) != len(names):
        yield f"an {what} is described twice: {', '.join(names)}"
    for name in declared:
        if name not in names:
            yield f"the function '{function.name}' has the {what} '{name}', which is not described"
    for feature in features:
        if feature.name not in declared:
            yield f"the {what} '{feature.name}' is described, but the function '{function.name}' has none of that name"
            continue
        kind = declared[feature.name]
        if isinstance(kind, StateType) and isinstance(feature.type, StateFeature):
            wrong = _array(feature.type.array, kind.wrapped, what)
        else:
            wrong = _feature(feature, kind, what)
        if wrong:
            yield f"the {what} '{feature.name}' is described as {feature.type}, and the program has {kind}: {wrong}"


def _feature(feature: Feature, kind: ValueType, what: str) -> str | None:
    """What contradicts, in words."""
    described = feature.type
    if isinstance(described, ArrayFeature):
        return _array(described, kind, what)
    if isinstance(described, ImageFeature):
        return _image(described, kind)
    if isinstance(described, DictionaryFeature):
        key = kind.key if isinstance(kind, DictionaryType) else None
        fits = isinstance(key, TensorType) and key.dtype.name == described.key
        return None if fits else "the kinds differ"
    if isinstance(described, ScalarFeature):
        fits = isinstance(kind, TensorType) and kind.dims == () and kind.dtype.name == described.kind
        return None if fits else "the kinds differ"
    return "the kinds differ"


def _array(described: ArrayFeature, kind: ValueType, what: str) -> str | None:
    if not isinstance(kind, TensorType):
        return "the kinds differ"
    if described.dtype is not kind.dtype:
        return "the element types differ"
    if what == "output" and not described.shape:
        return None  # flexible outputs are described without a shape
    dims = kind.dims or (1,)  # a scalar is described as [1]
    if len(described.shape) != len(dims):
        return "the ranks differ"
    if any(d is not None and d != s for d, s in zip(dims, described.shape, strict=True)):
        return "the shapes differ"
    if what == "output":
        return None
    if described.shapes and any(len(s) != len(dims) for s in described.shapes):
        return "an enumerated shape has another rank"
    if described.ranges and len(described.ranges) != len(dims):
        return "the ranges have another rank"
    for axis, dim in enumerate(dims):
        sizes = {s[axis] for s in described.shapes} | {described.shape[axis]}
        spread = described.ranges[axis] if described.ranges else None
        flexible = len(sizes) > 1 or (spread is not None and spread.lower != spread.upper)
        if spread is not None and described.shape[axis] not in spread:
            return f"axis {axis} of the default lies outside of its range"
        if flexible and dim is not None:
            return f"axis {axis} is described as flexible and is {dim} in the program"
        if not flexible and dim is None:
            return f"axis {axis} is described as fixed and is flexible in the program"
    return None


def _image(described: ImageFeature, kind: ValueType) -> str | None:
    if not isinstance(kind, TensorType) or kind.dtype.name not in ("fp16", "fp32") or len(kind.dims) != 4:
        return "a picture is a tensor of rank 4 of fp16 or fp32"
    sizes = (1, described.channels, described.height, described.width)
    flexible = bool(described.sizes or described.ranges)
    for axis, (dim, size) in enumerate(zip(kind.dims, sizes, strict=True)):
        if dim != size and not (dim is None and axis >= 2 and flexible):
            return "the shapes differ"
    if flexible and None not in kind.dims[2:]:
        return "the sizes are described as flexible and are fixed in the program"
    return None


def _labels(interface: Interface, function: Function) -> Iterator[str]:
    """A classifier says which outputs are its label and its probabilities."""
    classifiers: list[Operation] = [op for op in function.block.operations if op.type == "classify"]
    if not classifiers:
        if interface.predicted or interface.probabilities:
            yield f"'{interface.predicted}' is described as a label, but the program does not classify"
        return
    if len(classifiers) > 1:
        yield "the program classifies twice"
    made = [named.name for named in classifiers[0].outputs]
    if [interface.predicted, interface.probabilities] != made:
        yield (
            f"label and probabilities are described as '{interface.predicted}' and '{interface.probabilities}', "
            f"and the program has {' and '.join(map(repr, made)) or 'none'}"
        )
