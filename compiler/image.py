"""`--image NAME:FORM`: an input becomes the camera's frame of bytes, and what prepares it becomes part of the model.

FORM is `rgb8`, `bgr8` or `gray8` (what the frame holds), then, after commas and in any order:
  nhwc | nchw        how the frame lies in memory [default: nhwc]
  mean=R/G/B std=…   the model sees (pixel - mean) / std, one number for all channels or one each, in the order of the
                     model's channels [default: 0 and 1]
  range=1 | 255      the scale of pixel, mean and std: 1 divides the bytes by 255 first [default: 1]
  model=rgb | bgr    the order of channels that the model was trained with [default: rgb]

The rewrite puts cast, shift, scale and channel order in front of the graph; the pass fold_input_affine moves what
may be moved into the first convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import FLOATS, Type

Array = np.ndarray[Any, Any]

CHANNELS = {"rgb8": 3, "bgr8": 3, "gray8": 1}
LAYOUTS = ("nhwc", "nchw")
LEGAL = "rgb8, bgr8 or gray8, then nhwc or nchw, mean=, std=, range=1 or 255, model=rgb or bgr"


@dataclass(frozen=True)
class Image:
    """A camera frame as an input; `mean` and `std` are in bytes' scale (0 … 255), one number a channel of the model."""

    format: str
    layout: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    swapped: bool  # the frame's channels stand in the other order than the model's

    @property
    def channels(self) -> int:
        return CHANNELS[self.format]

    def frame(self, dims: tuple[int, ...], axis: int) -> Type:
        """Type of the frame for a model's input of shape `dims` with channels at `axis`."""
        n, (h, w) = dims[0], [d for i, d in enumerate(dims) if i not in (0, axis)]
        return Type("u8", (n, h, w, self.channels) if self.layout == "nhwc" else (n, self.channels, h, w))


def parse_image(name: str, form: str) -> Image:
    """UsageError with one sentence when the form is not legal."""
    shown = f"--image {name}:{form}"
    kind, *rest = form.split(",")
    if kind not in CHANNELS:
        raise UsageError(f"{shown}: a frame cannot be '{kind}'; legal: {LEGAL}")
    layout = "nhwc"
    values: dict[str, str] = {}
    for item in rest:
        key, equals, value = item.partition("=")
        if not equals and item in LAYOUTS:
            layout = item
        elif key in ("mean", "std", "range", "model") and equals and key not in values:
            values[key] = value
        else:
            raise UsageError(f"{shown}: '{item}' is not a part of it; legal: {LEGAL}")
    top = values.get("range", "1")
    if top not in ("1", "255"):
        raise UsageError(f"{shown}: range={top} is not legal; write range=1 (bytes are divided by 255) or range=255")
    order = values.get("model", "rgb")
    if order not in ("rgb", "bgr"):
        raise UsageError(f"{shown}: model={order} is not legal; write model=rgb or model=bgr")
    count = CHANNELS[kind]
    mean = _numbers(shown, "mean", values.get("mean", "0"), count)
    std = _numbers(shown, "std", values.get("std", "1"), count)
    if min(std) <= 0.0:
        raise UsageError(f"{shown}: std={values['std']} is not legal; every number must be above 0")
    if "range" not in values and max(map(abs, (*mean, *std))) > 1.0:
        raise UsageError(f"{shown}: mean or std is above 1; add range=255 when they are for bytes, else range=1")
    scale = 255.0 if top == "1" else 1.0
    return Image(
        kind, layout, tuple(m * scale for m in mean), tuple(s * scale for s in std),
        swapped=count == 3 and kind != f"{order}8",
    )  # fmt: skip


def _numbers(shown: str, key: str, text: str, channels: int) -> tuple[float, ...]:
    try:
        found = tuple(float(t) for t in text.split("/"))
    except ValueError:
        raise UsageError(f"{shown}: {key}={text} is not legal; write numbers as 0.485/0.456/0.406") from None
    if len(found) not in (1, channels) or not np.all(np.isfinite(found)):
        raise UsageError(f"{shown}: {key} needs one finite number, or one for each of the {channels} channels")
    return found * channels if len(found) == 1 else found


def use_images(graph: Graph, images: Mapping[str, Image]) -> None:
    """Give the graph frames as inputs; UsageError when an input cannot be one."""
    for name, image in images.items():
        value = next((v for v in graph.inputs if v.name == name), None)
        if value is None:
            names = ", ".join(v.name for v in graph.inputs)
            raise UsageError(f"--image {name}: the model has no such input; it has {names}")
        axis = channel_axis(name, image, value.type)
        ops, graph.ops = graph.ops, []
        frame = Value(name, image.frame(value.type.dims, axis))
        graph.inputs[graph.inputs.index(value)] = frame
        made = prepared(Builder(graph, source=f"--image {name}"), frame, image, value.type, axis)
        graph.ops += ops
        graph.replace(value, made)


def channel_axis(name: str, image: Image, type: Type) -> int:
    """Where the model has its channels: axis 1 as in ONNX, or the last one; UsageError when it takes no such image."""
    if type.rank == 4 and type.dtype in FLOATS:
        if type.dims[1] == image.channels:
            return 1
        if type.dims[3] == image.channels:
            return 3
    raise UsageError(
        f"--image {name}: {image.format} needs a float input of 4 dimensions with {image.channels} "
        f"channel{'s' if image.channels > 1 else ''}, and '{name}' is {type}"
    )


def prepared(b: Builder, frame: Value, image: Image, type: Type, axis: int) -> Value:
    """What the model sees of a frame. The channel order comes last: nearest to the convolution that may take it in."""
    x = frame
    if image.layout == "nhwc" and axis == 1:
        x = b.op("transpose", x, perm=(0, 3, 1, 2))
    elif image.layout == "nchw" and axis == 3:
        x = b.op("transpose", x, perm=(0, 2, 3, 1))
    x = b.op("cast", x, to=type.dtype)
    step = -1 if image.swapped else 1
    shape = (image.channels, 1, 1) if axis == 1 else (image.channels,)
    mean = np.array(image.mean[::step]).reshape(shape)
    std = np.array(image.std[::step]).reshape(shape)
    if np.any(mean):
        x = b.op("add", x, b.const(-mean, type.dtype))
    if np.any(std != 1.0):
        x = b.op("mul", x, b.const(1.0 / std, type.dtype))
    if image.swapped:
        x = b.op("gather", x, b.const(np.arange(image.channels)[::-1], "i64"), axis=axis)
    return x


def prepare(image: Image, frame: Array, type: Type, axis: int) -> Array:
    """The same in numpy, in double precision: what the reference is fed with. `type` is the model's own input."""
    x = frame.astype(np.float64)
    x = np.moveaxis(x, 3 if image.layout == "nhwc" else 1, -1)
    if image.swapped:
        x = x[..., ::-1]
    x = (x - np.array(image.mean)) / np.array(image.std)
    return np.ascontiguousarray(np.moveaxis(x, -1, axis).astype(type.numpy))
