"""`--precision int8` of a package, W8A8: int8 weights with a scale a result channel, and bytes where products read.

What a convolution or matmul by constant weights reads goes through `quantize` and `dequantize` (from iOS 17 on), which
the Neural Engine joins with it from A17 Pro and M4 on; everything else computes in halves. Ranges are those of samples,
seen in the package's own arithmetic: the program in float32, run by the evaluator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.emitted_package import saved
from edgec.grids import grid_of
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.types import Quant, Type
from edgec.ir.verify import verify_module
from edgec.observers import AUTO, measure_ranges
from edgec.package_samples import Samples
from edgec.passes.quantize_weights import quantize_weights
from edgec.passes.weights import half_above
from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import Package
from edgec.runtime.coreml.program import Operation
from edgec.targets.coreml.deployment import Deployment

Array = np.ndarray[Any, Any]
PRODUCTS = ("conv", "conv_transpose", "matmul")
OTHER_PRODUCT, FACTORS, NO_VALUES = "NO_INTEGER_FORM", "FACTORS_AT_RUN_TIME", "NO_FLOATS_AT_RUN_TIME"
REASONS = {
    OTHER_PRODUCT: "Core ML's attention and recurrent operators compute in floats",
    FACTORS: "both factors are known at run time only, and only constant ones become int8 weights",
    NO_VALUES: "they read no floats that are known at run time only",
}
OBSERVER = "mse"  # where `auto` leaves the choice: nothing is tried


def package_int8(module: Module, deployment: Deployment, samples: Samples, observer: str) -> dict[str, Any]:
    """Encodes what products read and multiply by, of the only entry, on which all passes have run; what the receipt
    says of it."""
    (graph,) = module.entries.values()
    macs = total_macs(graph)
    chosen = [op for op in graph.ops if multiplies(op)]
    labels = [op.label for op in chosen]
    kept = list(_kept_in_floats(graph, chosen))
    chosen_observer = OBSERVER if observer == AUTO else observer
    values = list(dict.fromkeys(op.arg(0) for op in chosen))
    ranges = _ranges(module, deployment, samples, values, chosen_observer)
    quantize_weights(graph, least=1)
    for value in values:
        readers = [op for op in chosen if op.arg(0) is value]
        _store_in_bytes(graph, value, readers, grid_of(*ranges[value], "i8"))
    verify_module(module, after="the choice of encodings")
    on_bytes = sum(macs_of(op) for op in chosen)
    return {
        "precision": "int8",
        "observer": chosen_observer,
        "operators_on_bytes": len(chosen),
        "on_bytes": labels,
        "kept_in_floats": kept,
        "macs_on_bytes": on_bytes,
        "macs_share": macs_share(on_bytes, macs),
    }


def _kept_in_floats(graph: Graph, chosen: Sequence[Op]) -> Iterator[dict[str, str]]:
    """What multiplies and reads no bytes, and why."""
    for op in graph.ops:
        if macs_of(op) and op not in chosen:
            code = OTHER_PRODUCT if op.kind not in PRODUCTS else FACTORS if op.arg(1).const is None else NO_VALUES
            yield {"op": op.label, "kind": op.kind, "code": code, "why": REASONS[code]}


def own_bytes(graph: Graph, precision: str) -> dict[str, Any]:
    """What the receipt says of a model that is quantised already, when all passes have run."""
    reading = [op for op in graph.ops if op.kind in PRODUCTS and op.arg(0).const is None and op.arg(0).type.encodings]
    on_bytes = sum(macs_of(op) for op in reading)
    return {
        "precision": precision,
        "calibration": None,
        "operators_on_bytes": len(reading),
        "macs_on_bytes": on_bytes,
        "macs_share": macs_share(on_bytes, total_macs(graph)),
    }


def multiplies(op: Op) -> bool:
    """A convolution or matmul of floats that are known at run time by constant weights in floats."""
    if op.kind not in PRODUCTS:
        return False
    x, w = op.arg(0), op.arg(1)
    plain = not x.type.encodings and not w.type.encodings
    return plain and x.const is None and w.const is not None and x.type.dtype in ("f32", "f16") and x.type.size > 0


def _store_in_bytes(graph: Graph, value: Value, readers: Sequence[Op], grid: tuple[float, int]) -> None:
    """The readers get the value as bytes, made once in front of the first of them. Halves of the model are floats on
    the way: only those are stored in bytes."""
    scale, zero = grid
    module = graph.module
    short = half_above(np.asarray(scale, np.float32))  # what halves hold needs no cast
    encoding = Quant("i8", module.intern(short), module.intern(np.asarray(zero, np.int8)))
    first = min(readers, key=graph.ops.index)
    b = Builder(graph, before=first, source=value.op.source if value.op is not None else "")
    wide = value if value.type.dtype == "f32" else b.op("cast", value, to="f32")
    op = Op("encode", [wide], {}, b.source)
    (stored,) = graph.insert(graph.ops.index(first), op, [Type("f32", value.type.shape, (encoding,))])
    if wide is not value:
        stored = b.op("cast", stored, to=value.type.dtype)
    for reader in readers:
        reader.inputs[0] = stored


def _ranges(
    module: Module, deployment: Deployment, samples: Samples, values: Sequence[Value], observer: str
) -> dict[Value, tuple[float, float]]:  # fmt: skip
    from edgec.targets.coreml.program import emit

    emitted = emit(module, deployment, halves=False)
    features = {f.name: f.feature for f in emitted.inputs}
    names = {emitted.results[v]: v for v in values if v in emitted.results}
    with saved(emitted) as package:
        feeds = [{features[name]: x for name, x in sample.items()} for sample in samples]
        return measure_ranges(lambda: _seen(package, feeds, names), observer)


def _seen(
    package: Package, feeds: Sequence[Mapping[str, Array]], names: Mapping[str, Value]
) -> Iterator[dict[Value, Array]]:
    """Values by sample; the program's inputs are values, too."""
    found: dict[Value, Array] = {}

    def observe(_: Operation, name: str, x: Array) -> None:
        if name in names:
            found[names[name]] = x.astype(np.float32)  # squares of halves are beyond halves

    for sample in feeds:
        found.clear()
        found.update({names[name]: x.astype(np.float32) for name, x in sample.items() if name in names})
        Evaluator(package, observe=observe).run(sample)
        yield dict(found)
