"""`--image NAME:FORM` for Apple's formats: apps give pixels, and the model gets 0 to 255, channels first.

The order of channels in memory is the picture's own business, which the system converts into the one that the package
asks for: the model's. So a form says `rgb8` or `gray8`, `model=` chooses rgb or bgr, and shift and scale stand inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgec.image import Image, channel_axis, prepared
from edgec.ir.build import Builder
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Type

Array = np.ndarray[Any, Any]


def use_pictures(graph: Graph, images: Mapping[str, Image]) -> dict[str, str]:
    """Inputs become pictures [1, C, H, W] of 0 to 255; the order of channels that each asks for (rgb, bgr, gray).
    UsageError where an input cannot be one."""
    return {name: _use_picture(graph, name, image) for name, image in images.items()}


def _use_picture(graph: Graph, name: str, image: Image) -> str:
    value = next((v for v in graph.inputs if v.name == name), None)
    if value is None:
        names = ", ".join(v.name for v in graph.inputs)
        raise UsageError(f"--image {name}: the model has no such input; it has {names}")
    if image.format == "bgr8" or image.layout == "nchw":
        raise UsageError(
            f"--image {name}: Core ML converts pictures from what they are in memory; write rgb8 or gray8, and "
            "model=bgr where the model was trained with that order"
        )
    axis = channel_axis(name, image, value.type)
    batch, (height, width) = value.type.dims[0], [d for i, d in enumerate(value.type.dims) if i not in (0, axis)]
    if batch != 1:
        raise UsageError(f"--image {name}: pictures come one at a time, and the input is {value.type}")
    ops, graph.ops = graph.ops, []
    planes = Image(image.format, "nchw", image.mean, image.std, swapped=False)  # in the model's order already
    picture = Value(name, Type(value.type.dtype, (1, image.channels, height, width)))
    graph.inputs[graph.inputs.index(value)] = picture
    made = prepared(Builder(graph, source=f"--image {name}"), picture, planes, value.type, axis)
    graph.ops += ops
    graph.replace(value, made)
    if image.channels == 1:
        return "gray"
    return "bgr" if image.swapped else "rgb"


def planes_of(image: Image, frame: Array, type: Type) -> Array:
    """What a graph's input gets of a frame u8 [1, H, W, C] in the order R, G, B."""
    channels = frame[..., ::-1] if image.swapped else frame
    return np.ascontiguousarray(np.moveaxis(channels, 3, 1)).astype(type.numpy)
