"""What a graph's Core ML package gives, in the evaluator: from arrays of the graph to arrays of the graph."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from network import Network

from edgec.ir.graph import Graph
from edgec.ir.types import Type
from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import read_package
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.interface import Feature
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import Emitted, emit
from edgec.targets.coreml.routes.integer import NARROW

Array = np.ndarray[Any, Any]
STORED = {"f32": np.float32, "f16": np.float16, "i32": np.int32}


def evaluated(graph: Graph, feeds: Mapping[str, Array], name: str = "", halves: bool = False) -> dict[str, Array]:
    """Outputs by name, of a package for a deployment target."""
    return run_package(emit(graph.module, choose(name), halves), graph, feeds)


def run_package(emitted: Emitted, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The saved package, evaluated. OverflowError for integers that the interface's do not hold."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "model.mlpackage"
        for path, content in package_files(emitted).items():
            (package / path).parent.mkdir(parents=True, exist_ok=True)
            (package / path).write_bytes(content)
        given = {f.feature: as_stored(feeds[f.name], f) for f in emitted.inputs}
        found = Evaluator(read_package(package)).run(given)
    return {
        name: from_stored(np.asarray(found[f.feature]), f, value.type)
        for f, (name, value) in zip(emitted.outputs, graph.outputs, strict=True)
    }


def as_stored(array: Any, feature: Feature) -> Array:
    """An array of the graph as the package takes it."""
    given = np.asarray(array)
    if given.dtype.kind in "iu" and given.size:
        info = np.iinfo(np.int32)
        if int(given.min()) < info.min or int(given.max()) > info.max:
            raise OverflowError(f"{feature.name} has integers of more than 32 bits")
    return given.reshape(feature.shape).astype(STORED[feature.stored])


def from_stored(array: Array, feature: Feature, type: Type) -> Array:
    """A package's array as one of the graph. What is narrow in the graph must be in its range."""
    assert array.dtype == STORED[feature.stored], (feature, array.dtype)
    assert array.shape == feature.shape, (feature, array.shape)
    if type.dtype in NARROW:
        info = np.iinfo(type.numpy)
        assert info.min <= array.min() <= array.max() <= info.max, f"{feature.name} is beyond {type.dtype}"
    return array.reshape(type.dims).astype(type.numpy)


def agree(net: Network, name: str = "", halves: bool = False) -> None:
    """AssertionError with every output that is not what the interpreter gives: integers and bools exactly, floats up to
    the rounding of sums, in halves up to 1 % of the largest element."""
    found, expected = evaluated(net.graph, net.feeds, name, halves), net.expected()
    failures = []
    for output, right in expected.items():
        got = found[output]
        assert (got.dtype, got.shape) == (right.dtype, right.shape), output
        if right.dtype.kind != "f":
            same = np.array_equal(got, right)
        else:
            wide, of = right.astype(np.float64), got.astype(np.float64)
            largest = float(np.max(np.abs(wide[np.isfinite(wide)]), initial=0.0))
            same = np.allclose(of, wide, rtol=1e-5, atol=(1e-2 if halves else 1e-6) * largest, equal_nan=True)
        if not same:
            failures.append(f"{output}: {got} instead of {right}")
    assert not failures, "\n\n".join(failures)
