"""Values inside a graph: those that the interpreter computes, for every sample, and the graph stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import assert_close

from edgec import graph_values as module
from edgec.graph_values import graph_values
from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Module, State, Value
from edgec.ir.text import print_module
from edgec.ir.types import Type
from edgec.ir.verify import verify_module
from edgec.targets.c import toolchain

Array = np.ndarray[Any, Any]


def network() -> Graph:
    """Two branches, a second output, and operators that nothing but the end needs."""
    rng = np.random.default_rng(0)
    graph = Graph(Module())
    b = Builder(graph)

    def weights(*shape: int) -> Value:
        return b.const(rng.standard_normal(shape), "f32")

    x = graph.add_input("x", Type("f32", (1, 9, 9, 3)))
    window: dict[str, Any] = {"strides": (1, 1), "dilations": (1, 1), "layout": "nhwc"}
    wide = b.op("conv", x, weights(8, 3, 3, 3), weights(8), pads=(1, 1, 1, 1), act="relu", **window)
    deep = b.op("conv", wide, weights(8, 1, 3, 3), pads=(1, 1, 1, 1), groups=8, **window)
    left = b.op("conv", deep, weights(4, 8, 1, 1), pads=(0, 0, 0, 0), **window)
    right = b.op("conv", wide, weights(4, 8, 1, 1), pads=(0, 0, 0, 0), act="clip:0.0:6.0", **window)
    graph.outputs = [("y", b.op("tanh", b.op("add", left, right))), ("z", deep)]
    return graph


def samples(graph: Graph, count: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    return [{v.name: rng.standard_normal(v.type.dims).astype(v.type.numpy) for v in graph.inputs} for _ in range(count)]


def by_interpreter(graph: Graph, values: list[Value], feeds: dict[str, Array]) -> list[Array]:
    outputs, graph.outputs = graph.outputs, [(f"v{i}", v) for i, v in enumerate(values)]
    found = interp.run(graph, feeds)
    graph.outputs = outputs
    return list(found.values())


def test_what_differs_in_weights_alone_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def compile_c(folder: Path, source: str, *rest: Any) -> None:
        compiled.append(source)
        as_it_is(folder, source, *rest)

    as_it_is = toolchain.compile_c
    monkeypatch.setattr(toolchain, "compile_c", compile_c)
    for scale in (1.0, -3.0, 0.25):
        graph = Graph(Module())
        b = Builder(graph)
        # a name of its own, so that no other test has compiled the same
        x = graph.add_input("compiled_once", Type("f32", (5, 7)))
        y = b.op("matmul", x, b.const(scale * np.eye(7, 3), "f32"))
        graph.outputs = [("y", y)]
        (feeds,) = samples(graph, 1)
        with graph_values(graph, [y]) as taps:
            np.testing.assert_array_equal(taps(feeds)[y], np.float32(scale) * feeds["compiled_once"][:, :3])
    assert compiled.count("values.c") == 1


@pytest.mark.parametrize("group_bytes", [1, 5000, 1 << 20])
def test_every_value_of_every_sample(group_bytes: int) -> None:
    graph = network()
    before = print_module(graph.module)
    values = list(graph.values())
    data = samples(graph, 3)
    seen: dict[tuple[Value, int], Array] = {}
    with graph_values(graph, reversed(values), group_bytes) as taps:
        assert print_module(graph.module) == before
        for number, found in taps.stream(data):
            assert sum(a.nbytes for a in found.values()) <= group_bytes or len(found) == 1
            for value, array in found.items():
                assert (value, number) not in seen
                seen[value, number] = array
        assert set(taps(data[0])) == set(values)
    assert taps.executed_on.startswith("host:")
    assert len(seen) == 3 * len(values)
    for number, feeds in enumerate(data):
        for value, expected in zip(values, by_interpreter(graph, values, feeds), strict=True):
            assert_close(seen[value, number], expected, f"{value!r} of sample {number}")
    assert print_module(graph.module) == before
    verify_module(graph.module)


def test_values_early_in_the_graph_need_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    seen = []
    plan_of: Callable[..., Any] = module.make_plan
    monkeypatch.setattr(module, "make_plan", lambda *a: seen.append([op.kind for op in graph.ops]) or plan_of(*a))
    deep = graph.ops[1].result
    with graph_values(graph, [deep]) as taps:
        (found,) = taps(samples(graph, 1)[0]).values()
    assert found.shape == deep.type.dims
    assert seen == [["conv", "conv"]]
    assert len(graph.ops) == 6


def test_a_state_starts_anew_for_each_sample() -> None:
    graph = Graph(Module())
    b = Builder(graph)
    x, old = graph.add_input("x", Type("f32", (4,))), graph.add_input("s", Type("f32", (4,)))
    total = b.op("add", x, old)
    graph.outputs = [("y", b.op("tanh", total))]
    graph.states = [State(old, total, graph.module.intern(np.full(4, 10.0, np.float32)))]
    feeds = {"x": np.ones(4, np.float32)}
    with graph_values(graph, [total, old, x]) as taps:
        for found in (taps(feeds), taps(feeds)):
            np.testing.assert_array_equal(found[total], np.full(4, 11.0))
            np.testing.assert_array_equal(found[old], np.full(4, 10.0))
            np.testing.assert_array_equal(found[x], np.ones(4))


def test_a_machine_without_a_host_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(cpu: str) -> Any:
        raise UsageError("--target host needs AVX2 or AArch64, and this s390x machine has neither")

    monkeypatch.setattr(module.TARGETS["host"], "choose", choose)
    graph = network()
    values, (feeds,) = list(graph.values()), samples(graph, 1)
    with graph_values(graph, values, 5000) as taps:
        found = taps(feeds)
    assert taps.executed_on == (
        "edgec's interpreter (--target host needs AVX2 or AArch64, and this s390x machine has neither)"
    )
    for value, expected in zip(values, by_interpreter(graph, values, feeds), strict=True):
        np.testing.assert_array_equal(found[value], expected)


def test_the_graph_is_restored_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    before = print_module(graph.module)
    monkeypatch.setattr(module, "make_plan", lambda *a: 1 // 0)
    with pytest.raises(ZeroDivisionError), graph_values(graph, [graph.ops[0].result]):
        pass
    assert print_module(graph.module) == before
    with (
        pytest.raises(AssertionError, match="1 values are neither inputs nor results"),
        graph_values(graph, [network().ops[0].result]),
    ):
        pass
