"""The description of a model (ModelDescription in Model.proto): what apps and Xcode read of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgec.targets.apple.features import Feature, Interface
from edgec.targets.apple.metadata import Metadata
from edgec.targets.apple.sizes import Enumerated, Ranged, Sizes
from edgec.targets.coreml.mil import feature_types, model_messages

STORED = {"f32": "FLOAT32", "f16": "FLOAT16", "i32": "INT32"}
COLORS = {"rgb": "RGB", "bgr": "BGR", "gray": "GRAYSCALE"}


def description_of(interfaces: Sequence[Interface], default: str, metadata: Metadata) -> Any:
    """Several functions are listed by name; the only one of a package is the model itself."""
    made = model_messages.ModelDescription()
    if len(interfaces) == 1:
        _fill(made, interfaces[0])
    else:
        for interface in interfaces:
            _fill(made.functions.add(name=interface.function), interface)
        made.defaultFunctionName = default
    _metadata(made.metadata, metadata)
    return made


def _metadata(message: Any, metadata: Metadata) -> None:
    message.author = metadata.author
    message.license = metadata.license
    message.versionString = metadata.version
    message.shortDescription = metadata.description
    for key in sorted(metadata.user):
        message.userDefined[key] = metadata.user[key]


def _fill(message: Any, interface: Interface) -> None:
    """A ModelDescription or a FunctionDescription: their fields have the same names."""
    for feature in interface.inputs:
        added = message.input.add(name=feature.feature, shortDescription=_text(feature, "input"))
        _input(added.type, feature)
    for feature in interface.states:
        added = message.state.add(name=feature.feature, shortDescription=_text(feature, "state"))
        _array(added.type.stateType.arrayType, feature)
    arrays = interface.outputs
    if interface.classifier is not None:
        classifier, probabilities, *rest = interface.classifier, *interface.outputs
        added = message.output.add(name=classifier.label, shortDescription="the most likely label")
        added.type.stringType.SetInParent()
        added = message.output.add(
            name=classifier.probabilities, shortDescription=f"'{probabilities.name}' of the model, by label"
        )
        added.type.dictionaryType.stringKeyType.SetInParent()
        message.predictedFeatureName = classifier.label
        message.predictedProbabilitiesName = classifier.probabilities
        arrays = tuple(rest)
    for feature in arrays:
        added = message.output.add(name=feature.feature, shortDescription=_text(feature, "output"))
        _output(added.type.multiArrayType, feature)


def _input(type: Any, feature: Feature) -> None:
    if not feature.color:
        _array(type.multiArrayType, feature)
        if feature.sizes is not None:
            _shapes(type.multiArrayType, feature.sizes)
        return
    image = type.imageType
    image.height, image.width = feature.shape[2:]
    image.colorSpace = feature_types.ImageFeatureType.ColorSpace.Value(COLORS[feature.color])
    if isinstance(feature.sizes, Enumerated):
        for shape in feature.sizes.shapes:
            image.enumeratedSizes.sizes.add(height=shape[2], width=shape[3])
    elif isinstance(feature.sizes, Ranged):
        rows, columns = zip(feature.sizes.low[2:], feature.sizes.high[2:], strict=True)
        image.imageSizeRange.heightRange.lowerBound, image.imageSizeRange.heightRange.upperBound = rows
        image.imageSizeRange.widthRange.lowerBound, image.imageSizeRange.widthRange.upperBound = columns


def _array(array: Any, feature: Feature) -> None:
    """Of an input with several shapes, the one that it has when nobody asks."""
    array.dataType = feature_types.ArrayFeatureType.ArrayDataType.Value(STORED[feature.stored])
    array.shape.extend(feature.shape)


def _output(array: Any, feature: Feature) -> None:
    """Without a shape where that follows the inputs'."""
    _array(array, feature)
    if feature.sizes is not None:
        array.ClearField("shape")


def _shapes(array: Any, sizes: Sizes) -> None:
    if isinstance(sizes, Enumerated):
        for shape in sizes.shapes:
            array.enumeratedShapes.shapes.add(shape=shape)
    else:
        for low, high in zip(sizes.low, sizes.high, strict=True):
            array.shapeRange.sizeRanges.add(lowerBound=low, upperBound=high)


def _text(feature: Feature, what: str) -> str:
    """Whose feature it is in the model, and as what."""
    shown = f"'{feature.name}' of the model, {feature.dtype}{list(feature.shape)}"
    if feature.sizes is not None:
        shown += f" and {len(feature.sizes.shapes) - 1} other shapes"
    if feature.color:
        return f"a picture: {shown} in {feature.color} order, 0 to 255"
    if what == "state":
        return f"state {shown}; zeros at first"
    if feature.dtype in ("i64", "u64", "u32"):
        return f"{shown}; 32 bits here"
    return shown
