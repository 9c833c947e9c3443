"""Pictures as inputs: what an app's pixels become in the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coreml_package import opened, packaged

from edgec.image import parse_image, prepare
from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.copying import copy_module
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type
from edgec.passes import COREML
from edgec.picture import use_pictures
from edgec.pipeline import run_pipeline
from edgec.runtime.coreml.description import ImageFeature
from edgec.runtime.coreml.runner import to_planes

FORMS = {
    "rgb": "rgb8,mean=0.485/0.456/0.406,std=0.229/0.224/0.225",
    "bgr": "rgb8,range=255,mean=103.9/116.8/123.7,model=bgr",
    "gray": "gray8,mean=0.286,std=0.353",
}


def network(channels: int, last: bool, pads: int, size: tuple[int, int] = (6, 10)) -> Graph:
    """A convolution 3x3 over the input `x`, channels first or last."""
    graph, rng = Graph(Module()), np.random.default_rng(3)
    build = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, *size, channels) if last else (1, channels, *size)))
    planes = build.op("transpose", x, perm=(0, 3, 1, 2)) if last else x
    w, b = build.const(rng.standard_normal((4, channels, 3, 3)), "f32"), build.const(rng.standard_normal(4), "f32")
    y = build.op("conv", planes, w, b, strides=(1, 1), pads=(pads,) * 4, dilations=(1, 1), layout="nchw")
    graph.outputs = [("y", y)]
    return graph


@pytest.mark.parametrize("pads", [0, 1])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("color", FORMS)
def test_pixels(color: str, last: bool, pads: int, tmp_path: Path) -> None:
    image = parse_image("x", FORMS[color])
    graph = network(image.channels, last, pads)
    original = copy_module(graph.module)[0].entries["main"]
    colors = use_pictures(graph, {"x": image})
    run_pipeline(graph.module, COREML)
    _, package = packaged(graph.module, tmp_path, colors=colors)
    evaluator = opened(package)
    feature = evaluator.interface.inputs[0].type
    assert isinstance(feature, ImageFeature)
    assert (feature.color, feature.height, feature.width) == ({"gray": "grayscale"}.get(color, color), 6, 10)
    pixels = np.random.default_rng(1).integers(0, 256, (6, 10, 3) if image.channels == 3 else (6, 10), np.uint8)
    found = evaluator.run({"x": to_planes(pixels, feature)})["y"]
    frame = pixels.reshape(1, 6, 10, image.channels)
    floats = prepare(image, frame, original.inputs[0].type, 3 if last else 1)
    right = interp.run(original, {"x": floats})["y"]
    np.testing.assert_allclose(found, right, atol=2e-5 * np.abs(right).max())


def test_the_scale_is_in_the_convolution(tmp_path: Path) -> None:
    """What is left of the preparation is the shift, which the padding keeps outside."""
    graph = network(3, last=False, pads=1)
    colors = use_pictures(graph, {"x": parse_image("x", FORMS["rgb"])})
    run_pipeline(graph.module, COREML)
    assert [op.kind for op in graph.ops] == ["add", "conv"]
    emitted, _ = packaged(graph.module, tmp_path, halves=True, colors=colors)
    assert (emitted.inputs[0].stored, emitted.inputs[0].color) == ("f32", "rgb")


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ("bgr8", "Core ML converts pictures from what they are in memory; write rgb8"),
        ("rgb8,nchw", "Core ML converts pictures from what they are in memory"),
        ("gray8", "gray8 needs a float input of 4 dimensions with 1 channel"),
    ],
)
def test_forms_that_pictures_do_not_have(form: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        use_pictures(network(3, False, 0), {"x": parse_image("x", form)})


def test_one_picture_at_a_time() -> None:
    graph = Graph(Module())
    graph.outputs = [("y", graph.add_input("x", Type("f32", (2, 3, 4, 4))))]
    with pytest.raises(UsageError, match="pictures come one at a time"):
        use_pictures(graph, {"x": parse_image("x", "rgb8")})
    with pytest.raises(UsageError, match="the model has no such input; it has x"):
        use_pictures(graph, {"z": parse_image("z", "rgb8")})
