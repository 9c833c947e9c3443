"""States: inside of a package from iOS 18 on, inputs and outputs before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coreml_package import opened, packaged

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.errors import UnsupportedError, UsageError
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type
from edgec.states import make_states


def summing(dtype: str = "f32") -> Graph:
    """total = old + x; y = 2 total."""
    graph = Graph(Module())
    build = Builder(graph)
    old, x = graph.add_input("old", Type(dtype, (2, 3))), graph.add_input("x", Type(dtype, (2, 3)))
    total = build.op("add", old, x)
    graph.outputs = [("y", build.op("add", total, total)), ("total", total)]
    return graph


def cache() -> Graph:
    """all = [past, new] along axis 1; y = sum over the entries."""
    graph = Graph(Module())
    build = Builder(graph)
    past, new = graph.add_input("past", Type("f32", (1, 4, 2))), graph.add_input("new", Type("f32", (1, 1, 2)))
    both = build.op("concat", past, new, axis=1)
    graph.outputs = [("y", build.op("reduce_sum", both, axes=(1,), keepdims=False)), ("all", both)]
    return graph


def test_a_state_of_a_package(tmp_path: Path) -> None:
    graph = summing()
    make_states(graph, {"old": "total"})
    emitted, package = packaged(graph.module, tmp_path, halves=True)
    assert [f.name for f in (*emitted.inputs, *emitted.outputs)] == ["x", "y"]
    evaluator = opened(package)
    assert [(f.name, str(f.type)) for f in evaluator.interface.states] == [("old", "state of fp16[2,3]")]
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for times in (1, 2, 3):
        np.testing.assert_array_equal(evaluator.run({"x": x})["y"], 2 * times * x)
    evaluator.reset()
    np.testing.assert_array_equal(evaluator.run({"x": x})["y"], 2 * x)


def test_a_window_over_a_cache(tmp_path: Path) -> None:
    graph = cache()
    make_states(graph, {"past": "all:last"})
    _, package = packaged(graph.module, tmp_path, halves=True)
    evaluator, state = opened(package), {}
    for number in range(1, 8):
        new = np.full((1, 1, 2), number, np.float32)
        found = evaluator.run({"new": new})["y"]
        last = range(max(1, number - 4), number + 1)
        np.testing.assert_array_equal(found, np.full((1, 2), sum(last)))
        np.testing.assert_array_equal(found, interp.run(graph, {"new": new}, state)["y"])


def test_inputs_and_outputs_where_there_are_no_states(tmp_path: Path) -> None:
    graph = summing()
    make_states(graph, {"old": "total"})
    emitted, package = packaged(graph.module, tmp_path, "ios17")
    assert [f.feature for f in emitted.inputs] == ["old", "x"]
    assert [f.feature for f in emitted.outputs] == ["y", "old_next"]
    old, x = np.full((2, 3), 5, np.float32), np.ones((2, 3), np.float32)
    found = opened(package).run({"old": old, "x": x})
    np.testing.assert_array_equal(found["old_next"], old + x)


def test_a_state_that_is_read_behind_its_writer(tmp_path: Path) -> None:
    """Two states that change places: each must be read before either is written."""
    graph = Graph(Module())
    build = Builder(graph)
    a, b, x = (graph.add_input(n, Type("f32", (2,))) for n in "abx")
    graph.outputs = [("y", build.op("add", a, x)), ("c", build.op("add", b, x)), ("d", build.op("sub", a, x))]
    make_states(graph, {"a": "c", "b": "d"})
    _, package = packaged(graph.module, tmp_path, halves=True)
    evaluator, state = opened(package), {}
    for number in (1.0, 2.0, 4.0, 8.0):
        feeds = {"x": np.array([number, -number], np.float32)}
        np.testing.assert_array_equal(evaluator.run(feeds)["y"], interp.run(graph, feeds, state)["y"])


def test_states_that_core_ml_cannot_keep(tmp_path: Path) -> None:
    graph = summing()
    make_states(graph, {"old": "total"})
    with pytest.raises(UsageError, match="keeps states in float16, and this package computes in float32"):
        packaged(graph.module, tmp_path)
    graph.states[0].initial = graph.module.intern(np.full((2, 3), 7, np.float32))
    with pytest.raises(UsageError, match="'old' does not begin with zeros"):
        packaged(graph.module, tmp_path, halves=True)
    whole = summing("i32")
    make_states(whole, {"old": "total"})
    with pytest.raises(UnsupportedError, match=r"state 'old' is i32\[2,3\], and Core ML's states hold float16 only"):
        packaged(whole.module, tmp_path, halves=True)


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ({"older": "y"}, "the model has no input 'older'; it has old, x"),
        ({"old": "sum"}, "the model has no output 'sum'; it has y, total"),
        ({"old": "total", "x": "total"}, "the output 'total' feeds two states"),
        ({"old": "total", "x": "y"}, "every output became a state"),
        ({"old": "total:last"}, r"f32\[2,3\] is not f32\[2,3\] with more entries along one axis"),
    ],
)
def test_pairs_that_do_not_fit(pairs: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make_states(summing(), pairs)


def test_a_longer_output_needs_to_be_said_so() -> None:
    with pytest.raises(UsageError, match=r"the input is f32\[1,4,2\] and the output f32\[1,5,2\]; write all:last"):
        make_states(cache(), {"past": "all"})
