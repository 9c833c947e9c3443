"""Blocks: the same bits however ops are cut into segments, rows into steps, and work over threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import assert_close, compiled
from network import Network

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type
from edgec.plan.plan import Block
from edgec.plan.schedule import Segment
from edgec.runtime.session import Session, load
from edgec.targets.arm import target as arm
from edgec.targets.c.build import make_plan


def network(images: int) -> Graph:
    """Stem from channels first, inverted residual with its addition, a strided one, dilation, pooling, a 5x5."""
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(5)

    def conv(x: Any, o: int, k: int, *more: Any, stride: int = 1, pad: int = 0, dil: int = 1, depthwise: bool = False,
             act: str = "") -> Any:  # fmt: skip
        c = x.type.dims[3]
        o = c if depthwise else o
        weights = b.const(rng.standard_normal((o, 1 if depthwise else c, k, k)) / (k * 3), "f32")
        bias = b.const(rng.standard_normal(o), "f32")
        attrs: Any = dict(strides=(stride, stride), pads=(pad,) * 4, dilations=(dil, dil), layout="nhwc", act=act)
        return b.op("conv", x, weights, bias, *more, groups=c if depthwise else 1, **attrs)

    x = b.op("transpose", graph.add_input("x", Type("f32", (images, 3, 23, 19))), perm=(0, 2, 3, 1))
    x = conv(x, 8, 3, stride=2, pad=1, act="relu")
    y = conv(x, 20, 1, act="clip:0.0:6.0")
    y = conv(y, 0, 3, pad=1, depthwise=True, act="clip:0.0:6.0")
    x = conv(y, 8, 1, x)
    y = conv(x, 36, 1, act="silu")
    y = conv(y, 0, 3, stride=2, pad=1, depthwise=True)
    y = conv(y, 12, 1)
    y = conv(y, 12, 3, pad=2, dil=2, act="relu")
    y = b.op("max_pool", y, kernel=(3, 3), strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), layout="nhwc")
    y = conv(y, 0, 5, pad=2, depthwise=True)
    y = conv(y, 5, 3, act="tanh")
    graph.outputs.append(("y", y))
    return graph


def squeeze_excite(images: int) -> Graph:
    """Two inverted residuals with squeeze-and-excitation: the wide value is read by its sink and by the scaling."""
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(8)
    plain: Any = dict(strides=(1, 1), dilations=(1, 1), layout="nhwc", pads=(0, 0, 0, 0))

    def pointwise(x: Any, o: int, *more: Any, act: str = "") -> Any:
        weights = b.const(rng.standard_normal((o, x.type.dims[3], 1, 1)) / 3, "f32")
        return b.op("conv", x, weights, b.const(rng.standard_normal(o), "f32"), *more, **plain, act=act)

    x = graph.add_input("x", Type("f32", (images, 13, 9, 12)))
    for kind in ("reduce_mean", "reduce_max"):
        y = pointwise(x, 20, act="hard_swish")
        taps = b.const(rng.standard_normal((20, 1, 3, 3)) / 3, "f32")
        y = b.op("conv", y, taps, None, **{**plain, "pads": (1, 1, 1, 1)}, groups=20)
        y = b.op("silu", y)
        gate = pointwise(b.op(kind, y, axes=(1, 2), keepdims=True), 5, act="relu")
        y = b.op("mul", y, pointwise(gate, 20, act="sigmoid"))
        y = b.op("slice", b.op("concat", y, y, axis=3), starts=(0, 0, 0, 5), stops=(images, 13, 9, 25), steps=(1,) * 4)
        y = b.op("softmax", b.op("pad", y, before=(0, 0, 0, 1), after=(0, 0, 1, 2)), axis=3)
        y = b.op("slice", y, starts=(0, 0, 0, 0), stops=(images, 13, 9, 20), steps=(1,) * 4)
        x = pointwise(y, 12, x)
    graph.outputs.append(("y", x))
    return graph


def transformer(images: int) -> Graph:
    """Norm, feed-forward with an addition, norm, gated feed-forward, over tokens; one value leaves half way."""
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(9)

    def matmul(x: Any, n: int, *more: Any, act: str = "") -> Any:
        return b.op("matmul", x, b.const(rng.standard_normal((x.type.dims[-1], n)) / 4, "f32"), *more, act=act)

    x = b.op("add", graph.add_input("x", Type("f32", (images, 53, 24))), b.const(rng.standard_normal((53, 24)), "f32"))
    scale, shift = b.const(rng.standard_normal(24), "f32"), b.const(rng.standard_normal(24), "f32")
    y = b.op("layer_norm", x, scale, shift, axis=2, eps=1e-5)
    y = matmul(y, 70, b.const(rng.standard_normal(70), "f32"), act="gelu")
    x = matmul(y, 24, x)
    y = b.op("rms_norm", x, scale, axis=2, eps=1e-5)
    y = b.op("mul", matmul(y, 40, act="silu"), matmul(y, 40))
    x = matmul(y, 24, x)
    graph.outputs += [("half", graph.ops[3].result), ("y", x)]
    return graph


def upwards(images: int) -> Graph:
    """What decoders do: transposed convolutions, resizing, and what was there before beside it."""
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(12)
    x = graph.add_input("x", Type("f32", (images, 7, 6, 10)))

    def up(
        y: Any, o: int, k: int, pad: int, stride: tuple[int, int], dilation: int, extra: int, groups: int = 1
    ) -> Any:
        weights = b.const(rng.standard_normal((y.type.dims[3], o // groups, k, k)) / k, "f32")
        return b.op(
            "conv_transpose", y, weights, b.const(rng.standard_normal(o), "f32"), strides=stride, pads=(pad,) * 4,
            dilations=(dilation,) * 2, output_padding=(extra, extra), groups=groups, layout="nhwc", act="relu",
        )  # fmt: skip

    def size(y: Any, rows: int, columns: int, mode: str, coord: str) -> Any:
        n, h, w, c = y.type.dims
        return b.op("resize", y, sizes=(n, rows, columns, c), scales=(1.0, rows / h, columns / w, 1.0), mode=mode,
                    coord=coord)  # fmt: skip

    y = up(x, 12, 3, 1, (2, 2), 1, 1)
    y = b.op("concat", size(x, 14, 12, "nearest", "asymmetric"), y, axis=3)
    y = up(y, 6, 4, 1, (3, 2), 1, 0, groups=2)
    y = up(y, 5, 2, 0, (1, 2), 2, 0)
    weights = b.const(rng.standard_normal((9, 5, 3, 3)) / 3, "f32")
    y = b.op("conv", y, weights, None, strides=(2, 1), pads=(1, 1, 1, 1), dilations=(1, 1), layout="nhwc")
    y = size(size(y, 33, y.type.dims[2], "linear", "half_pixel"), 20, 31, "cubic", "align_corners")
    graph.outputs.append(("y", y))
    return graph


# lengths of segments and rows a step
CUTS = [([12], 1), ([12], 3), ([2, 10], 2), ([1, 1, 3, 3, 4], 1), ([5, 3, 2, 2], 5)]
SQUEEZE = [([4, 2, 7, 4, 2, 7], 1), ([4, 1, 1, 3, 4, 3, 1, 2, 7], 4)]
UP = [([8], 1), ([1, 2, 2, 3], 4), ([8], 7)]
TOKENS = [([4, 5], 16), ([2, 2, 1, 4], 32), ([1, 3, 5], 53), ([4, 5], 18)]


def cut(graph: Graph, lengths: list[int], step: int) -> list[Segment]:
    segments, at = [], 0
    for n in lengths:
        segments.append(Segment(tuple(graph.ops[at : at + n]), step if n > 1 else 0))
        at += n
    assert at == len(graph.ops)
    return segments


@pytest.mark.parametrize(
    ("network", "target", "images", "cuts"),
    [
        (network, "host", 2, CUTS), (network, "host:avx2", 1, CUTS[1:2]), (network, "arm", 1, CUTS[2:4]),
        (squeeze_excite, "host", 2, SQUEEZE), (squeeze_excite, "arm", 1, SQUEEZE),
        (upwards, "host", 2, UP), (upwards, "arm", 1, UP[:2]),
        (transformer, "host", 1, TOKENS), (transformer, "host:avx2", 1, TOKENS[:1]),
        (transformer, "arm", 1, TOKENS[:1]),
    ],
)  # fmt: skip
def test_same_bits_however_it_is_cut(network: Any, target: str, images: int, cuts: Any, tmp_path: Path) -> None:
    graph = network(images)
    feeds = {"x": np.random.default_rng(6).standard_normal(graph.inputs[0].type.dims).astype(np.float32)}
    alone = [Segment((op,), 0) for op in graph.ops]
    (tmp_path / "alone").mkdir()
    with compiled(graph, target, tmp_path / "alone", 1, alone) as session:
        expected = session.run(None, feeds)
    for found, right in zip(expected, interp.run(graph, feeds).values(), strict=True):
        assert_close(found, right, target)
    for i, (lengths, step) in enumerate(cuts):
        folder = tmp_path / str(i)
        folder.mkdir()

        def same(session: Session, label: str) -> None:
            for found, right in zip(session.run(None, feeds), expected, strict=True):
                np.testing.assert_array_equal(found, right, label)

        with compiled(graph, target, folder, 3, cut(graph, lengths, step)) as session:
            same(session, f"{lengths} {step}")
        if target != "arm":  # one thread: every task goes on where the last one stopped
            with load(folder) as session:
                same(session, f"{lengths} {step}, one thread")


def sliced_image() -> Graph:
    """Expand, depthwise, activation, a vector for all, pooling, project with addition and clamp to part of a vector."""
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(10)
    plain: Any = dict(strides=(1, 1), dilations=(1, 1), layout="nhwc", pads=(0, 0, 0, 0))
    around: Any = {**plain, "pads": (1, 1, 1, 1)}
    x = graph.add_input("x", Type("f32", (2, 11, 14, 20)))
    wide = b.const(rng.standard_normal((96, 20, 1, 3)) / 9, "f32"), b.const(rng.standard_normal(96), "f32")
    y = b.op("conv", x, *wide, **{**plain, "pads": (0, 1, 0, 1)}, act="hard_swish")
    y = b.op("conv", y, b.const(rng.standard_normal((96, 1, 3, 3)), "f32"), wide[1], **around, groups=96)
    y = b.op("mul", b.op("silu", y), b.const(rng.standard_normal(96), "f32"))
    y = b.op("max_pool", y, kernel=(3, 3), **around)
    narrow = b.const(rng.standard_normal((20, 96, 1, 1)) / 9, "f32"), b.const(rng.standard_normal(20), "f32")
    graph.outputs.append(("y", b.op("conv", y, *narrow, x, **plain, act="clip:-1.0:2.0")))
    return graph


def sliced_tokens() -> Graph:
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(11)
    x = graph.add_input("x", Type("f32", (1, 56, 20)))
    wide = b.const(rng.standard_normal((96, 20)) / 4, "f32"), b.const(rng.standard_normal(96), "f32")
    y = b.op("gelu", b.op("matmul", x, *wide, trans_b=True))
    graph.outputs.append(("y", b.op("matmul", y, b.const(rng.standard_normal((96, 20)) / 9, "f32"), x, act="tanh")))
    return graph


@pytest.mark.parametrize(
    ("network", "target", "ways"),
    [
        (sliced_image, "host", [(1, 2), (3, 6)]), (sliced_image, "host:avx2", [(2, 3)]),
        (sliced_image, "arm", [(4, 2)]),
        (sliced_tokens, "host", [(16, 2), (24, 3)]), (sliced_tokens, "arm", [(56, 6)]),
    ],
)  # fmt: skip
def test_same_bits_in_slices_of_channels(network: Any, target: str, ways: Any, tmp_path: Path) -> None:
    graph = network()
    feeds = {"x": np.random.default_rng(6).standard_normal(graph.inputs[0].type.dims).astype(np.float32)}
    (tmp_path / "alone").mkdir()
    with compiled(graph, target, tmp_path / "alone", 1, [Segment((op,), 0) for op in graph.ops]) as session:
        expected = session.run(None, feeds)[0]
    assert_close(expected, interp.run(graph, feeds)["y"], target)
    for step, slices in ways:
        folder = tmp_path / f"{step}-{slices}"
        folder.mkdir()
        with compiled(graph, target, folder, 3, [Segment(tuple(graph.ops), step, slices)]) as session:
            np.testing.assert_array_equal(session.run(None, feeds)[0], expected, f"{step} {slices}")


def test_squeeze_and_excitation_is_two_blocks() -> None:
    """The first ends in the sink and stores the wide value once, the second begins with the scaling."""
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(7)
    plain: Any = dict(strides=(1, 1), dilations=(1, 1), layout="nhwc", pads=(0, 0, 0, 0))

    def pointwise(x: Any, o: int) -> Any:
        return b.op("conv", x, b.const(rng.standard_normal((o, x.type.dims[3], 1, 1)), "f32"), **plain)

    x = graph.add_input("x", Type("f32", (1, 96, 96, 16)))
    taps = b.const(rng.standard_normal((96, 1, 3, 3)), "f32")
    wide = b.op("conv", pointwise(x, 96), taps, **{**plain, "pads": (1, 1, 1, 1)}, groups=96)
    gate = pointwise(pointwise(b.op("reduce_mean", wide, axes=(1, 2), keepdims=True), 4), 96)
    graph.outputs.append(("y", pointwise(b.op("mul", wide, gate), 16)))
    plan = make_plan(graph, arm.choose(""), "unit", 1)
    assert [len(s.stages) for s in plan.steps if isinstance(s, Block) and s.images * len(s.stages) > 1] == [3, 2]
    assert wide.type.nbytes < plan.scratch_bytes < 1.1 * wide.type.nbytes


def test_a_feed_forward_layer_is_one_block() -> None:
    """Four times as wide inside as outside, for many tokens: the inner value is never stored whole."""
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(7)
    x = graph.add_input("x", Type("f32", (1, 1000, 64)))
    wide = b.op("matmul", x, b.const(rng.standard_normal((64, 256)), "f32"), act="gelu")
    graph.outputs.append(("y", b.op("matmul", wide, b.const(rng.standard_normal((256, 64)), "f32"), x)))
    plan = make_plan(graph, arm.choose(""), "unit", 1)
    assert [len(s.stages) for s in plan.steps if isinstance(s, Block)] == [2]
    assert plan.scratch_bytes < wide.type.nbytes // 8


def test_the_schedule_keeps_wide_values_in_rings() -> None:
    """An inverted residual over a large image: its two wide values are never stored whole."""
    graph = Graph(Module())
    b = Builder(graph)
    rng = np.random.default_rng(7)
    x = graph.add_input("x", Type("f32", (1, 96, 96, 16)))
    attrs: Any = dict(strides=(1, 1), dilations=(1, 1), layout="nhwc", pads=(0, 0, 0, 0))
    wide = b.op("conv", x, b.const(rng.standard_normal((96, 16, 1, 1)), "f32"), **attrs, act="relu")
    depthwise = b.const(rng.standard_normal((96, 1, 3, 3)), "f32")
    y = b.op("conv", wide, depthwise, **{**attrs, "pads": (1, 1, 1, 1)}, groups=96, act="relu")
    graph.outputs.append(("y", b.op("conv", y, b.const(rng.standard_normal((16, 96, 1, 1)), "f32"), **attrs)))
    plan = make_plan(graph, arm.choose(""), "unit", 1)
    assert [len(s.stages) for s in plan.steps if isinstance(s, Block)] == [3]
    assert plan.scratch_bytes < wide.type.nbytes // 10


@pytest.mark.parametrize("target", ["host", "arm"])
def test_a_number_known_at_run_time_beside_an_image_of_one_row(target: str, tmp_path: Path) -> None:
    """It has as many rows as the image: one."""
    net = Network(3)
    x = net.floats(1, 1, 508, 64)
    factor = net.build.op("reduce_max", net.floats(4), axes=(0,), keepdims=False)
    net.op("relu", net.build.op("mul", net.build.op("tanh", x), factor))
    net.check(target, tmp_path)
