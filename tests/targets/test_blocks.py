"""Blocks: the same bits however ops are cut into segments, rows into steps, and work over threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import assert_close, compiled

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type
from edgec.plan.plan import Block
from edgec.plan.schedule import Segment
from edgec.runtime.session import load
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


# lengths of segments and rows a step
CUTS = [([12], 1), ([12], 3), ([2, 10], 2), ([1, 1, 3, 3, 4], 1), ([5, 3, 2, 2], 5)]


def cut(graph: Graph, lengths: list[int], step: int) -> list[Segment]:
    segments, at = [], 0
    for n in lengths:
        segments.append(Segment(tuple(graph.ops[at : at + n]), step if n > 1 else 0))
        at += n
    assert at == len(graph.ops)
    return segments


@pytest.mark.parametrize(("target", "images", "cuts"), [("host", 2, CUTS), ("host:avx2", 1, CUTS[1:2]),
                                                       ("arm", 1, CUTS[2:4])])  # fmt: skip
def test_same_bits_however_it_is_cut(target: str, images: int, cuts: Any, tmp_path: Path) -> None:
    graph = network(images)
    feeds = {"x": np.random.default_rng(6).standard_normal((images, 3, 23, 19)).astype(np.float32)}
    alone = [Segment((op,), 0) for op in graph.ops]
    (tmp_path / "alone").mkdir()
    with compiled(graph, target, tmp_path / "alone", 1, alone) as session:
        expected = session.run(None, feeds)[0]
    assert_close(expected, interp.run(graph, feeds)["y"], target)
    for i, (lengths, step) in enumerate(cuts):
        folder = tmp_path / str(i)
        folder.mkdir()
        with compiled(graph, target, folder, 3, cut(graph, lengths, step)) as session:
            np.testing.assert_array_equal(session.run(None, feeds)[0], expected, f"{lengths} {step}")
        if target != "arm":  # one thread: every task goes on where the last one stopped
            with load(folder) as session:
                np.testing.assert_array_equal(session.run(None, feeds)[0], expected, f"{lengths} {step}, one thread")


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
