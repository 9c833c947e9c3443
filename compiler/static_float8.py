"""`--precision fp8-e4m3` and `fp8-e5m2`: weights and the values that they are multiplied with as 8-bit floats.

Values are stored as bytes, with one scale each; arithmetic is float32, on what decoding gives. Weights have a scale a
result channel. Scales are powers of two (X. Wu et al., "ZeroQuant-FP", 2023, section 4): a format of four or five bits
of exponent loses nothing by them but a part of a step at its ends, and scaling is exact. What reads no weights stays in
floats: sums, normalisation, softmax; with a bound on what may be lost, so do the products that disturb most.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.calibration import Calibration
from edgec.encode_weights import (
    ROWS,
    decoded,
    encodable,
    encode_weights,
    floats_because,
    in_blocks,
    largest_of,
    met_by,
    products_of,
    with_plain_weights,
)
from edgec.forms_within import Form, Forms, Wanted, forms_within
from edgec.graph_values import GraphValues, graph_values
from edgec.ir.encodings import nearest_float8
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.ops.recurrent import GATES
from edgec.ir.types import Float8, Type
from edgec.ir.verify import verify_module
from edgec.islands import computed
from edgec.layer_noise import noise_of_layers
from edgec.low_rank import check_rank, low_rank_facts, rank_for
from edgec.observers import measure_ranges
from edgec.operand_rows import Met, group_count, operand_rows
from edgec.passes.lower_float8 import lower_float8
from edgec.passes.split_recurrent import split_recurrent
from edgec.quantize import HEAVY
from edgec.search import beyond_bound

Array = np.ndarray[Any, Any]
BATCHES = 8  # of operators whose weights are rounded together, each of which costs a build
FORMATS: Mapping[str, Form] = {"fp8-e4m3": "e4m3", "fp8-e5m2": "e5m2"}


def static_float8(
    module: Module, precision: str, data: Calibration, rank: int = 0, wanted: Wanted | None = None, lanes: int = 4
) -> dict[str, Any]:
    """Makes the module's graph, which stands behind all passes, one on 8-bit floats; what the receipt says of it. What
    takes the model beyond a bound stays in floats. `lanes`: the floats of a register, which factors of a rank are
    filled up to."""
    (graph,) = module.entries.values()
    split_recurrent(graph)
    format = FORMATS[precision]
    before = Counter(op.kind for op in graph.ops)
    every = [op for op in graph.ops if reads_float8(op) or (op.kind in GATES and encodable(op))]
    check_rank(filter(encodable, every), rank, lanes)
    forms: Forms = dict.fromkeys(every, format)
    searched: dict[str, Any] = {}
    if wanted is not None:

        def encode(copied: Graph, forms: Forms) -> None:
            _encode(copied, list(forms), format, data, (rank, lanes))

        forms, searched = forms_within(graph, forms, encode, wanted)
    readers = list(forms)
    values_in_bytes = len(_stored(readers))
    results = [op.results[0] for op in readers]
    with graph_values(graph, results) as made:
        first = made(data.samples[0])
    weights = _encode(graph, readers, format, data, (rank, lanes))
    verify_module(module, after="lower_float8")
    layers = noise_of_layers(graph, results, [first[v] for v in results], data.samples[0])
    left = before - Counter(op.kind for op in readers)
    kept = with_plain_weights(graph)
    return {
        "precision": precision,
        "calibration": {**data.facts(), "observer": "minmax"},
        **searched,
        "rounded_in_blocks": in_blocks(weights),
        **low_rank_facts(weights, rank, lanes),
        "values_in_bytes": values_in_bytes,
        "coded_operators": len(weights),
        "coded_macs_share": macs_share(sum(macs_of(op) for op in readers), total_macs(graph)),
        "operators_in_floats": dict(sorted(left.items())),
        "kept_in_floats": beyond_bound(op for op in every if op not in forms),
        "weights_in_floats": [op.label for op in kept],
        "refused": [floats_because(op) for op in kept if not encodable(op)],
        "weights": list(weights.values()),
        "layers": layers,
    }


def _encode(
    graph: Graph, readers: Sequence[Op], format: str, data: Calibration, rank: tuple[int, int]
) -> dict[Op, dict[str, Any]]:
    """Makes operands and weights of these operators, in a graph of floats, 8-bit floats; what the receipt says of
    weights."""
    states = [op for op in readers if op.kind in GATES]  # floats, as all that no product reads as bytes
    readers = [op for op in readers if op.kind not in GATES]
    operands = {op: op.arg(0) for op in readers}
    beside = _floats_beside(graph, readers)
    weights = {op: encode_weights(graph, op, format, met) for op, met in met_by(graph, states, data.learned)}
    with graph_values(graph, operands.values()) as wide:
        ranges = measure_ranges(lambda: (found for _, found in wide.stream(data.learned)), "minmax")
        scales = {v: scale_of(max(abs(end) for end in ranges[v]), format) for v in _stored(readers)}
        for batch in _batches(readers):
            met = _met(graph, [op for op in batch if encodable(op)], operands, scales, format, wide, data)
            weights |= {
                op: encode_weights(graph, op, format, met[op], rank=rank_for(op, *rank)) for op in batch if op in met
            }
            stored = {op.arg(0): scales[op.arg(0)] for op in batch if op.arg(0) in scales}
            encode_values(graph, batch, stored, format, beside)
            lower_float8(graph)
    return weights


def _stored(readers: Sequence[Op]) -> list[Value]:
    """Operands that become bytes. An input is there as floats: bytes of it would be there besides."""
    return [v for v in dict.fromkeys(op.arg(0) for op in readers if op.kind not in GATES) if computed(v)]


def _floats_beside(graph: Graph, readers: Collection[Op]) -> set[Value]:
    """What is needed as floats even where one of the readers takes bytes: outputs, and operands of products that are in
    floats for accuracy. Sums and what else reads no weights take what there is."""
    wide = {op.arg(0) for op in graph.ops if reads_float8(op) and op not in readers}
    return wide | graph.output_values()


def _batches(ops: Sequence[Op]) -> list[Sequence[Op]]:
    """In order, at most BATCHES: those behind meet what those in front have become."""
    size = -(-len(ops) // BATCHES) or 1
    return [ops[i : i + size] for i in range(0, len(ops), size)]


def _met(
    graph: Graph, ops: Sequence[Op], operands: Mapping[Op, Value], scales: Mapping[Value, float], format: str,
    wide: GraphValues, data: Calibration,
) -> dict[Op, Met]:  # fmt: skip
    """What the weights of these ops meet in the graph as it is now, and in the float model."""
    found = {op: Met(group_count(op), products_of(op)) for op in ops}
    if not ops:
        return found
    with graph_values(graph, {op.arg(0) for op in ops}) as narrow:
        for sample in data.learned:
            real, now = wide(sample), narrow(sample)
            for op in ops:
                x = now[op.arg(0)]
                if op.arg(0) in scales:
                    scale = np.float32(scales[op.arg(0)])
                    x = decoded(nearest_float8(x, scale, format), format) * scale  # type: ignore[arg-type]
                found[op].add(operand_rows(op, real[operands[op]], ROWS), operand_rows(op, x, ROWS))
    return found


def reads_float8(op: Op) -> bool:
    """A convolution or matmul by constant weights, whose first operand is then stored as bytes."""
    known = op.kind in HEAVY and op.arg(1).const is not None and op.arg(0).const is None
    return known and op.arg(0).type.dtype == op.result.type.dtype == "f32" and op.arg(0).type.size > 0


def scale_of(largest: float, format: str) -> float:
    """The least power of two with which the format holds a number of this size."""
    if largest <= 0 or not math.isfinite(largest):
        return 1.0
    return float(2.0 ** min(max(math.ceil(math.log2(largest / largest_of(format))), -100), 100))


def encode_values(
    graph: Graph, readers: Sequence[Op], scales: Mapping[Value, float], format: str, beside: Collection[Value]
) -> None:  # fmt: skip
    """Sets the encodings of results, and encodes what comes from elsewhere, or is needed as floats `beside`, in front
    of its first reader."""
    outside: dict[Value, Value] = {}
    for value, scale in scales.items():
        key = graph.module.intern(np.array(scale, np.float32))
        encoded = Type("f32", value.type.shape, (Float8(format, key),))
        if value.op is not None and value not in beside:
            value.type = encoded
            continue
        at = min(graph.ops.index(op) for op in readers if op.arg(0) is value)
        encode = Op("encode", [value], {}, value.op.source if value.op is not None else "")
        (outside[value],) = graph.insert(at, encode, [encoded])
        outside[value].name = value.name
    for op in readers:
        op.inputs[0] = outside.get(op.arg(0), op.arg(0))
