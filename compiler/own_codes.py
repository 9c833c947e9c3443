"""Models whose weights are stored in few bits (MatMulNBits, constants of int4, int8, float8): they stay codes where
kernels can.

The importer makes floats of such constants, and passes move and transpose those. Afterwards the codes are found again:
where all products of a channel, or each 32 or 16 of them, are one float times numbers of the model's format, with zero
points or without, the weights are encoded so. What codes stand for is every float, bit by bit, so that the artifact
computes what the float model does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgec.coded_tables import keep_tables
from edgec.codes_of_rows import codes_of_rows, formats_of
from edgec.encode_weights import encodable, form_for, products_axis, with_plain_weights
from edgec.flat_weights import matrix_of, weights_at, weights_of
from edgec.ir.encodings import E2M1, FLOAT8
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.types import Encoding, Float8, Palette, Quant, Scale, Type
from edgec.ir.verify import verify_module
from edgec.passes.split_recurrent import split_recurrent
from edgec.passes.weights import grouped, ungrouped
from edgec.targets.c.coded import form_of

Array = np.ndarray[Any, Any]
PRECISION = "few bits, the model's own"
REASONS = {
    "NO_CODED_KERNEL": "kernels of this operator read weights in floats",
    "FEW_PRODUCTS": "scales would be as large as what they save",
    "NO_CODES": "16 products have several scales or a zero point that is no integer, or were multiplied since",
}
GROUPS = (0, 32, 16)  # products that may share a scale, the most first; 0: all of a channel
BYTES = {"i8": "int8", "u8": "uint8"}  # formats of encoded constants -> ONNX's names


def keep_codes(module: Module) -> dict[str, Any]:
    """Encodes the weights of the module's graph, which stands behind all passes; what the receipt says of it."""
    (graph,) = module.entries.values()
    formats = formats_of(module.narrow)
    kept: list[tuple[Op, str]] = []
    refused = []
    split_recurrent(graph)
    for op in with_plain_weights(graph):
        found = _encode(graph, op, formats)
        if found in REASONS:
            refused.append({"op": op.label, "code": found, "why": REASONS[found]})
        else:
            kept.append((op, found))
    tables = keep_tables(graph, formats)
    verify_module(module, after="the search for codes")
    return {
        "precision": PRECISION,
        "calibration": None,
        "rounding": "none",
        "low_rank": 0,
        "numbers_in_the_model": dict(sorted(module.narrow.items())),
        "coded_operators": len(kept),
        "coded_macs_share": macs_share(sum(macs_of(op) for op, _ in kept), total_macs(graph)),
        "weights_in_floats": [row["op"] for row in refused],
        "refused": refused,
        "tables": [{"op": label, "format": format} for label, format in tables],
        "weights": [{"op": op.label, "format": format, "signal_to_noise_db": None} for op, format in kept],
    }


def count_bytes(module: Module) -> None:
    """Constants that the importer encoded as bytes are numbers of the model in few bits, too."""
    for graph in module.entries.values():
        for value in dict.fromkeys(v for op in graph.ops for v in op.inputs if v is not None and v.const is not None):
            encoding = value.type.encodings[0] if value.type.encodings else None
            if isinstance(encoding, Quant) and encoding.format in BYTES:
                module.narrow[BYTES[encoding.format]] += value.type.size


def bytes_of_codes(module: Module) -> None:
    """Weights of few bits that meet encoded values become bytes with a scale a result channel, which kernels of bytes
    multiply; where a channel has several scales, they stay floats."""
    (graph,) = module.entries.values()
    if "i4" not in formats_of(module.narrow):
        return
    for op in graph.ops:
        if op.kind not in ("conv", "matmul") or op.arg(1).const is None or op.arg(1).type.encodings:
            continue
        if not op.arg(0).type.encodings or op.arg(1).type.rank < 2:
            continue
        axis = weights_of(op)[0]
        groups = np.moveaxis(graph.array(op.arg(1)), axis, 0)
        for codes, scale, zeros in codes_of_rows(groups.reshape(len(groups), -1), "i4", positive=True):
            steps = (codes.astype(np.int16) - zeros[:, None]).astype(np.int8).reshape(groups.shape)
            zero = graph.module.intern(np.zeros(len(groups), np.int8))
            type = Type("f32", op.arg(1).type.shape, (Quant("i8", graph.module.intern(scale), zero, axis),))
            stored = np.ascontiguousarray(np.moveaxis(steps, 0, axis))
            op.inputs[1] = graph.encoded(stored, type, op.arg(1).name)
            break


def _encode(graph: Graph, op: Op, formats: list[str]) -> str:
    """The format that the weights got, or a code of REASONS."""
    if not encodable(op):
        return "NO_CODED_KERNEL"
    few = form_for(op, "i4") != "i4"
    channels, products = weights_of(op)[0], products_axis(op)
    numbers = graph.array(matrix_of(op))
    for format in formats:
        for group in GROUPS[: 1 if few else None]:
            for made in _encoded(graph, matrix_of(op), numbers, format, products if group else channels, group):
                if form_of(graph, made, channels, products) is not None:
                    op.inputs[weights_at(op)] = made
                    return format
    return "FEW_PRODUCTS" if few else "NO_CODES"


def _encoded(
    graph: Graph, value: Value, numbers: Array, format: str, axis: int, group: int
) -> Iterator[Value]:
    """The constants of a format that are the very numbers: with a scale for each place along the axis, or `group`."""
    if group:
        groups = grouped(numbers, axis, group)
        rows = groups.reshape(-1, group)
    else:
        groups = np.moveaxis(numbers, axis, 0)
        rows = groups.reshape(len(groups), -1)

    def placed(scales: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(scales.reshape(groups.shape[:-1]), -1, axis)) if group else scales

    for codes, scales, zeros in codes_of_rows(rows, format, positive=not group):
        stored = codes.reshape(groups.shape)
        stored = ungrouped(stored, axis, numbers.shape[axis]) if group else np.moveaxis(stored, 0, axis)
        scale = graph.module.intern(placed(scales))
        if format in FLOAT8:
            encodings: tuple[Encoding, ...] = (Float8(format, scale, axis, group),)
        elif format == "e2m1":
            encodings = (Scale(scale, axis, group), Palette(4, graph.module.intern(E2M1)))
        else:
            encodings = (Quant(format, scale, graph.module.intern(placed(zeros)), axis, group),)
        yield graph.encoded(np.ascontiguousarray(stored), Type("f32", numbers.shape, encodings), value.name)
