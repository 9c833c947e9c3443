"""Values seen inside a running artifact, whole blocks, rings, slices and phases included, beside the interpreter's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import PLAIN, assert_close
from network import Network
from test_blocks import network, squeeze_excite

from edgec.artifact import staged, to_json
from edgec.build_facts import manifest_of
from edgec.graph_values import tapped
from edgec.ir import interp
from edgec.ir.errors import ToolError, UsageError
from edgec.ir.graph import Graph
from edgec.layer_values import LayerValue, layer_values
from edgec.options import BuildOptions
from edgec.plan.schedule import Segment
from edgec.plan_facts import FILE, plan_facts
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import read_manifest
from edgec.step_costs import step_costs
from edgec.target_table import TARGETS
from edgec.targets.c.build import make_files, make_plan
from edgec.targets.c.emit import Identity


def seen(graph: Graph, target: str, feeds: Any, segments: list[Segment] | None = None) -> list[LayerValue]:
    """The layers of an artifact for three threads."""
    family, _, cpu = target.partition(":")
    device, platform = TARGETS[family].choose(cpu), TARGETS[family].platform("linux")
    plan = make_plan(graph, device, "unit", 3, segments)
    facts = to_json(plan_facts(plan, step_costs(plan, device)))
    built = make_files(plan, device, Identity("test", target), platform, lambda _: None)
    manifest = manifest_of(plan, device, family, BuildOptions(), platform.triple, "")
    with staged({**built.files, FILE: facts}, manifest) as folder:
        found = layer_values(read_manifest(folder), feeds, None)
    assert found.as_shipped
    return list(found.layers)


def check(graph: Graph, layers: list[LayerValue], feeds: Any) -> None:
    """Each layer is what the interpreter says of the operator's result."""
    results = {op.label: op.result for op in graph.ops}
    assert len(results) == len(graph.ops), "labels tell the operators apart"
    with tapped(graph, list(results.values())) as names:
        expected = interp.run(graph, feeds)
    for layer in layers:
        meant = expected[names[results[layer.op]]]
        known = np.ones(meant.shape, np.bool_) if layer.known is None else layer.known
        assert known.mean() > 0.4, layer.op
        assert_close(np.where(known, layer.stored, 0), np.where(known, meant, 0), layer.op)


def labelled(graph: Graph) -> Graph:
    for i, op in enumerate(graph.ops):
        op.source = f"node {i}"
    return graph


@pytest.mark.parametrize("target", PLAIN)
@pytest.mark.parametrize("images", [1, 2])
def test_one_block_of_everything(target: str, images: int) -> None:
    graph = labelled(network(images))
    feeds = {"x": np.random.default_rng(0).standard_normal((images, 3, 23, 19)).astype(np.float32)}
    layers = seen(graph, target, feeds, [Segment(tuple(graph.ops), 2)])
    assert [layer.op for layer in layers] == [op.label for op in graph.ops]
    check(graph, layers, feeds)


@pytest.mark.parametrize("target", PLAIN)
def test_as_scheduled(target: str) -> None:
    graph = labelled(squeeze_excite(2))
    feeds = {"x": np.random.default_rng(1).standard_normal((2, 13, 9, 12)).astype(np.float32)}
    layers = seen(graph, target, feeds)
    assert [layer.op for layer in layers] == [op.label for op in graph.ops]
    check(graph, layers, feeds)


@pytest.mark.parametrize("target", PLAIN)
def test_slices_are_parts_of_one_value(target: str) -> None:
    net = Network(2)
    plain: Any = dict(strides=(1, 1), dilations=(1, 1), layout="nhwc")
    x = net.floats(1, 9, 7, 8)
    y = net.build.op("conv", x, net.const(48, 8, 1, 1), net.const(48), pads=(0,) * 4, act="relu", **plain)
    y = net.build.op("conv", y, net.const(48, 1, 3, 3), net.const(48), pads=(1,) * 4, groups=48, **plain)
    net.done(net.build.op("conv", y, net.const(8, 48, 1, 1), net.const(8), x, pads=(0,) * 4, **plain))
    graph = labelled(net.graph)
    layers = seen(graph, target, net.feeds, [Segment(tuple(graph.ops), 3, 3)])
    assert [layer.op for layer in layers] == [op.label for op in graph.ops]
    assert layers[0].stored.shape == (1, 9, 7, 48)
    check(graph, layers, net.feeds)


def test_phases_of_a_transposed_convolution() -> None:
    net = Network(3)
    attrs: Any = dict(strides=(2, 2), dilations=(1, 1), pads=(1, 1, 1, 1), layout="nhwc")
    y = net.build.op("conv_transpose", net.floats(1, 8, 7, 6), net.const(6, 4, 4, 4), net.const(4), groups=1,
                     output_padding=(0, 0), **attrs)  # fmt: skip
    y = net.build.op("conv", y, net.const(5, 4, 3, 3), net.const(5), **(attrs | {"strides": (1, 1)}))
    net.done(net.build.op("relu", y))
    graph = labelled(net.graph)
    layers = seen(graph, PLAIN[0], net.feeds, [Segment(tuple(graph.ops), 1)])
    check(graph, layers, net.feeds)
    assert len(layers) == 3


def test_rows_that_nobody_needs_are_unknown() -> None:
    net = Network(4)
    plain: Any = dict(dilations=(1, 1), layout="nhwc", pads=(0,) * 4)
    y = net.build.op("conv", net.floats(1, 10, 6, 5), net.const(7, 5, 1, 1), net.const(7), strides=(1, 1), **plain)
    net.done(net.build.op("conv", y, net.const(3, 7, 1, 1), net.const(3), strides=(2, 2), **plain))
    graph = labelled(net.graph)
    first, last = seen(graph, PLAIN[0], net.feeds, [Segment(tuple(graph.ops), 1)])
    assert last.known is None
    assert first.known is not None
    np.testing.assert_array_equal(first.known[0, :, 0, 0], [True, False] * 5)
    check(graph, [first, last], net.feeds)


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network(5)
    net.done(net.build.op("relu", net.floats(4, 4)))
    monkeypatch.setattr("edgec.layer_values.VERIFY_BYTES", 10)
    with pytest.raises(ToolError, match="take 64 bytes; at most 10"):
        seen(labelled(net.graph), PLAIN[0], net.feeds)
    monkeypatch.setattr("edgec.plan_facts._layer", dict)
    monkeypatch.setattr("edgec.layer_values.PLAN", "of-old.json")
    with pytest.raises(RunError, match="did not say where layers lie: build it again"):
        layer_values(read_manifest(_old(tmp_path)), net.feeds, None)


def _old(folder: Path) -> Path:
    """A manifest that names no plan."""
    facts = {"format": 1, "name": "unit", "target": "host", "inputs": [], "outputs": [], "scratch_bytes": 0,
             "state_bytes": 0, "files": {}}  # fmt: skip
    (folder / "manifest.json").write_bytes(to_json(facts))
    return folder


def test_where_it_cannot_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network(6)
    net.done(net.build.op("relu", net.floats(4, 4)))
    monkeypatch.delattr("edgec.runtime.host.HostRunner.watch")
    with pytest.raises(UsageError, match=r"seen on the host or in the emulator, and .*unit runs on host"):
        seen(labelled(net.graph), PLAIN[0], net.feeds)
