"""Core ML packages of whole models against onnxruntime: `python benchmarks/coreml.py MODELS [NAME ...] [--target T]`.

The bytes of each package are evaluated (runtime/coreml) and compared with onnxruntime, optimisations off, as
max|a - b| / max|b| of the worst output:

float32  bar 1e-4
float16  a bound of its own for each model. The same program is evaluated in float32 with every number that halves
         round, weights included, moved as far as a rounding can (2^-11 of it, 2^-25 at least) in a random direction.
         What that moves the outputs by, at most, in RUNS runs, is the bound: real roundings are as many, and smaller.
         It is no proof: chance is in it, and roundings are taken to be independent. It fails where halves overflow and
         where a rounding is larger than one of its operator's result.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from model_set import Model, read_models

from edgec.ir.graph import Graph
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.passes import COREML
from edgec.pipeline import run_pipeline
from edgec.runtime.coreml.call import Item, Operand
from edgec.runtime.coreml.datatypes import FP16, DataType
from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import Package, read_package
from edgec.runtime.coreml.program import Named, Operation, TensorType
from edgec.sample_inputs import sample_inputs
from edgec.targets.coreml.deployment import DEFAULT, Deployment, choose
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import Emitted, emit

Array = np.ndarray[Any, Any]
BAR = 1e-4
RUNS = 6
UNIT, LEAST = 2.0**-11, 2.0**-25
# what only moves or chooses elements rounds nothing
EXACT = {
    "clip", "concat", "depth_to_space", "expand_dims", "fill", "gather", "gather_along_axis", "gather_nd", "identity",
    "max_pool", "maximum", "minimum", "pad", "pixel_shuffle", "reduce_max", "reduce_min", "relu", "relu6", "reshape",
    "reverse", "select", "slice_by_index", "slice_by_size", "space_to_depth", "split", "squeeze", "stack", "tile",
    "topk", "transpose", "upsample_nearest_neighbor",
}  # fmt: skip


class Moved(Evaluator):
    """In float32, with every number that halves would round moved by a whole rounding in a random direction."""

    def __init__(self, package: Package, seed: int) -> None:
        super().__init__(package, halves=False)
        self.rng = np.random.default_rng(seed)

    def _stored(self, operation: Operation, named: Named, item: Item, dtype: DataType | None) -> Item:
        stored = super()._stored(operation, named, item, dtype)
        return stored if operation.type in EXACT else self._moved(stored, named)

    def _constant(self, operation: Operation) -> Operand:
        found = super()._constant(operation)
        return Operand(self._moved(found.item, operation.outputs[0]), found.type, found.constant)

    def _moved(self, item: Item, named: Named) -> Item:
        if not isinstance(named.type, TensorType) or named.type.dtype is not FP16 or not isinstance(item, np.ndarray):
            return item
        wide = item.astype(np.float32)
        signs = self.rng.integers(0, 2, wide.shape).astype(np.float32) * 2 - 1
        moved = wide + signs * np.maximum(np.abs(wide) * np.float32(UNIT), np.float32(LEAST))
        return np.asarray(np.where(np.isfinite(wide) & (wide != 0), moved, wide))


@dataclass(frozen=True)
class Row:
    wide: float
    halves: float
    bound: float
    seconds: float

    @property
    def right(self) -> bool:
        return self.wide <= BAR and self.halves <= self.bound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("names", nargs="*", metavar="MODEL")
    parser.add_argument("--target", default=DEFAULT)
    options = parser.parse_args()
    rows = []
    for model in read_models(options.models, options.names):
        row = measured(model, choose(options.target))
        rows.append(row)
        shown = f"float32 {row.wide:.1e}, float16 {row.halves:.1e} of {row.bound:.1e}"
        print(f"{model.name:28} {shown}  {'right' if row.right else 'WRONG'}  {row.seconds:.1f} s", flush=True)
    print(f"{sum(row.right for row in rows)} of {len(rows)}")


def measured(model: Model, deployment: Deployment) -> Row:
    start = time.perf_counter()
    module = import_model(model.path, ImportOptions(shapes=model.shapes, consts=model.consts))
    run_pipeline(module, COREML)
    graph = module.entries["main"]
    feeds = sample_inputs([(v.name, v.type) for v in graph.inputs], 0, model.ranges)
    expected = reference(model, {**feeds, **model.consts})
    with tempfile.TemporaryDirectory(prefix="edgec-coreml-") as work:
        wide, halves = (emit(module, deployment, half) for half in (False, True))
        floats, rounded = written(wide, Path(work) / "f32"), written(halves, Path(work) / "f16")
        exact = outputs(Evaluator(floats), wide, graph, feeds)
        found = outputs(Evaluator(rounded), halves, graph, feeds)
        still = outputs(Evaluator(rounded, halves=False), halves, graph, feeds)
        moved = [outputs(Moved(rounded, seed), halves, graph, feeds) for seed in range(RUNS)]
    bounds = {name: max(distance(m[name], still[name], expected[name]) for m in moved) for name in expected}
    misses = {name: distance(found[name], expected[name], expected[name]) for name in expected}
    worst = max(expected, key=lambda name: misses[name] / max(bounds[name], 1e-30))
    return Row(
        max(distance(exact[name], expected[name], expected[name]) for name in expected),
        misses[worst],
        bounds[worst],
        time.perf_counter() - start,
    )


def reference(model: Model, feeds: Mapping[str, Array]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])
    found = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})
    return dict(zip((o.name for o in session.get_outputs()), found, strict=True))


def written(emitted: Emitted, folder: Path) -> Package:
    for path, content in package_files(emitted).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return read_package(folder)


def outputs(evaluator: Evaluator, emitted: Emitted, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """By the model's names, in its shapes."""
    given = {f.feature: np.reshape(feeds[f.name], f.shape) for f in emitted.inputs}
    found = evaluator.run(given)
    named: Iterable[Any] = zip(emitted.outputs, graph.outputs, strict=True)
    return {name: np.reshape(np.asarray(found[f.feature]), value.type.dims) for f, (name, value) in named}


def distance(a: Array, b: Array, of: Array) -> float:
    """max|a - b| in parts of the largest number; infinite where one is no number."""
    off = np.abs(a.astype(np.float64) - b)
    largest = float(np.abs(of.astype(np.float64)).max())
    return float(off.max()) / max(largest, 1e-30) if np.isfinite(off).all() else np.inf


if __name__ == "__main__":
    main()
