"""Inputs of several shapes: one program for all of them, or a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coreml_package import opened, written

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.errors import UnsupportedError, UsageError
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import Type
from edgec.runtime.coreml.description import ArrayFeature, ImageFeature
from edgec.states import make_states
from edgec.targets.apple.features import Presentation
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.flexible import emit_flexible

Body = Callable[[Builder, Value], Value]
CONV: dict[str, Any] = {"strides": (2, 2), "pads": (1, 1, 1, 1), "dilations": (1, 1), "layout": "nchw"}


def module_of(body: Body, shapes: Sequence[tuple[int, ...]]) -> Module:
    module = Module()
    for shape in shapes:
        graph = Graph(module, "x".join(map(str, shape)))
        x = graph.add_input("x", Type("f32", shape))
        graph.outputs = [("y", body(Builder(graph), x))]
    return module


def image_body(b: Builder, x: Value) -> Value:
    """A convolution, its places as tokens, a part of their channels, a product."""
    rng = np.random.default_rng(3)
    w, v = b.const(rng.standard_normal((4, 3, 3, 3)), "f32"), b.const(rng.standard_normal((3, 5)), "f32")
    y = b.op("conv", x, w, **CONV)
    n, c, height, width = y.type.dims
    tokens = b.op("transpose", b.op("reshape", y, shape=(n, c, height * width)), perm=(0, 2, 1))
    part = b.op("slice", tokens, starts=(0, 0, 1), stops=(n, height * width, 4), steps=(1, 1, 1))
    return b.op("softmax", b.op("matmul", part, v), axis=1)


def made(body: Body, shapes: Sequence[tuple[int, ...]], name: str = "", ranged: bool = False, **presented: Any) -> Any:
    """The module and what was emitted of it."""
    module = module_of(body, shapes)
    return module, emit_flexible(module, choose(name), False, (), Presentation(**presented), ranged)


def check(module: Module, package: Path) -> None:
    """The package gives what each entry means."""
    evaluator = opened(package)
    for graph in module.entries.values():
        x = np.random.default_rng(1).standard_normal(graph.inputs[0].type.dims).astype(np.float32)
        right = interp.run(graph, {"x": x})["y"]
        found = evaluator.run({"x": x})["y"]
        assert found.shape == right.shape
        np.testing.assert_allclose(found, right, atol=1e-5 * np.abs(right).max())


@pytest.mark.parametrize("name", ["ios15", "ios18"])
def test_shapes_one_by_one(name: str, tmp_path: Path) -> None:
    shapes = ((1, 3, 8, 8), (1, 3, 8, 12), (1, 3, 15, 9))
    module, emitted = made(image_body, shapes, name)
    package = written(emitted, tmp_path)
    check(module, package)
    interface = opened(package).interface
    kind = interface.inputs[0].type
    assert isinstance(kind, ArrayFeature)
    assert (kind.shape, kind.shapes) == (shapes[0], shapes)
    out = interface.outputs[0].type
    assert isinstance(out, ArrayFeature)
    assert out.shape == ()


def test_a_range(tmp_path: Path) -> None:
    module, emitted = made(image_body, [(1, 3, 8, width) for width in range(5, 12)], ranged=True)
    package = written(emitted, tmp_path)
    check(module, package)
    kind = opened(package).interface.inputs[0].type
    assert isinstance(kind, ArrayFeature)
    assert [(r.lower, r.upper) for r in kind.ranges] == [(1, 1), (3, 3), (8, 8), (5, 11)]


def test_pictures_of_several_sizes(tmp_path: Path) -> None:
    shapes = ((1, 3, 8, 8), (1, 3, 8, 12))
    module, emitted = made(image_body, shapes, colors={"x": "rgb"})
    package = written(emitted, tmp_path)
    check(module, package)
    kind = opened(package).interface.inputs[0].type
    assert isinstance(kind, ImageFeature)
    assert (kind.color, kind.sizes) == ("rgb", ((8, 8), (8, 12)))


def positions(b: Builder, x: Value) -> Value:
    """Adds numbers that depend on how many there are, but are as many for each shape."""
    steps = np.linspace(0.0, 1.0 / x.type.dims[0], 16)
    return b.op("add", x, b.const(steps, "f32"))


def test_constants_that_follow_the_shape() -> None:
    with pytest.raises(UnsupportedError, match=r"'y' of add \(add\) is another one for 3x16 than for 2x16"):
        made(positions, [(2, 16), (3, 16)])


def test_small_constants_that_follow_the_shape() -> None:
    def scaled(b: Builder, x: Value) -> Value:
        return b.op("mul", x, b.const(1.0 / x.type.dims[0], "f32"))

    with pytest.raises(UnsupportedError, match=r"'y' of mul \(mul\) is another one for 3x4 than for 2x4"):
        made(scaled, [(2, 4), (3, 4)])


def test_operators_that_follow_the_shape() -> None:
    def odd(b: Builder, x: Value) -> Value:
        return b.op("relu" if x.type.dims[0] % 2 else "tanh", x)

    with pytest.raises(UnsupportedError, match=r"tanh \(tanh\) is another operator for 3x4 than for 2x4"):
        made(odd, [(2, 4), (3, 4)])


def test_windows_that_follow_the_shape() -> None:
    """Padding as `SAME_UPPER` makes it: of another side for odd lengths."""

    def same(b: Builder, x: Value) -> Value:
        pads = (0, 0, 1, 1) if x.type.dims[3] % 2 == 0 else (1, 1, 1, 1)
        return b.op("conv", x, b.const(np.ones((2, 3, 3, 3)), "f32"), **{**CONV, "pads": pads})

    with pytest.raises(UnsupportedError, match=r"'pad' of conv \(conv\) is another one for 1x3x8x9 than for 1x3x8x8"):
        made(same, [(1, 3, 8, 8), (1, 3, 8, 9)])


def test_two_lengths_in_one_reshape() -> None:
    def halved(b: Builder, x: Value) -> Value:
        return b.op("reshape", x, shape=(8, 2) if x.type.dims == (2, 8) else (6, 4))

    with pytest.raises(UnsupportedError, match=r"'shape' of reshape"):
        made(halved, [(2, 8), (3, 8)])


def test_ranges_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="a range needs every size from 5 to 8"):
        made(image_body, [(1, 3, 8, width) for width in (5, 6, 8)], ranged=True)
    with pytest.raises(UsageError, match="a range of sizes is one dimension's"):
        made(image_body, [(1, 3, size, size + i) for i, size in enumerate((5, 6))], ranged=True)


def test_what_is_said_of_core_ml_s_own_part() -> None:
    _, emitted = made(image_body, [(1, 3, 8, 8), (1, 3, 8, 12)])
    assert ["#2730" in note for note in emitted.notes] == [True]
    module = Module()
    for rows in (1, 2):
        graph = Graph(module, f"rows{rows}")
        x, held = graph.add_input("x", Type("f32", (rows, 4))), graph.add_input("held", Type("f32", (4,)))
        fixed = graph.add_input("fixed", Type("f32", (4,)))
        b = Builder(graph)
        graph.outputs = [("y", b.op("add", x, held)), ("next", b.op("add", held, fixed))]
        make_states(graph, {"held": "next"})
    notes = emit_flexible(module, choose(""), True, ranged=True).notes
    assert ["#2548" in note for note in notes] == [False, True]


def test_more_shapes_than_core_ml_takes() -> None:
    with pytest.raises(UsageError, match="an input has 129 shapes, and Core ML takes 128: give a range"):
        made(lambda b, x: b.op("relu", x), [(n, 2) for n in range(1, 130)])


def test_several_flexible_inputs_need_ios_18(tmp_path: Path) -> None:
    module = Module()
    for rows in (2, 3):
        graph = Graph(module, f"rows{rows}")
        x, z = (graph.add_input(n, Type("f32", (rows, 4))) for n in "xz")
        graph.outputs = [("y", Builder(graph).op("add", x, z))]
    with pytest.raises(UsageError, match="inputs 'x', 'z' have several shapes, and up to iOS 17 one input can"):
        emit_flexible(module, choose("ios17"), False)
    evaluator = opened(written(emit_flexible(module, choose("ios18"), False), tmp_path))
    for rows in (2, 3):
        x = np.full((rows, 4), rows, np.float32)
        np.testing.assert_array_equal(evaluator.run({"x": x, "z": x})["y"], 2 * x)
