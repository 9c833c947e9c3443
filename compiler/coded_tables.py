"""Embeddings of few bits: rows are gathered as codes, and decoded behind it.

%1 = gather #table, %i    ->   %1: u8 = gather #codes, %i    %2 = from_float8 / cast %1    %3 = gather #scales, %i
                               %4 = mul %2, %3

What is made are the very floats of the table. Four bits are two a byte, the first half of a row in the lower halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.codes_of_rows import codes_of_rows
from edgec.ir.build import Builder
from edgec.ir.encodings import FLOAT8
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.sweep import sweep
from edgec.passes.weights import LEAST

Array = np.ndarray[Any, Any]
GROUPS = (0, 32, 16)  # numbers of a row that may share a scale, the most first; 0: all


def keep_tables(graph: Graph, formats: Sequence[str]) -> list[tuple[str, str]]:
    """Rewrites gathers from tables that have codes of one of the formats; their labels, and the formats."""
    kept = []

    def form(b: Builder, op: Op) -> Value | None:
        if op.kind != "gather" or op.attrs["axis"] != 0 or op.arg(0).const is None or op.arg(0).type.encodings:
            return None
        type = op.arg(0).type
        if type.dtype != "f32" or type.rank != 2 or type.size < LEAST:
            return None
        table = graph.array(op.arg(0))
        for format in ("e4m3" if format == "e2m1" else format for format in formats):
            for group in GROUPS:
                if (group and type.dims[1] % group) or (format == "i4" and type.dims[1] % 2):
                    continue
                rows = table.reshape(-1, group or type.dims[1])
                for codes, scale, zero in codes_of_rows(rows, format, positive=False):
                    kept.append((op.label, format))
                    parts = (codes.reshape(table.shape), scale.reshape(len(table), -1), zero.reshape(len(table), -1))
                    return _decoded(b, op.arg(1), format, *parts)
        return None

    sweep(graph, form)
    return kept


def _decoded(b: Builder, at: Value, format: str, codes: Array, scale: Array, zero: Array) -> Value:
    """(code - zero) * scale of the rows `at`; codes [rows, n], scales and zero points [rows, groups]."""
    number = _numbers(b, at, format, codes)
    dims, groups = number.type.dims, scale.shape[1]
    if groups > 1:
        number = b.op("reshape", number, shape=(*dims[:-1], groups, dims[-1] // groups))

    def rows(table: Array) -> Value:
        found = b.op("gather", b.const(table), at, axis=0)
        return b.op("reshape", found, shape=(*dims[:-1], groups, 1)) if groups > 1 else found

    if format not in FLOAT8:
        offset = zero.astype(np.float32) + (8 if format == "i4" else 0)
        if np.ptp(offset):
            number = b.op("sub", number, rows(offset))
        elif np.any(offset):
            number = b.op("sub", number, b.const(float(offset[0, 0]), "f32"))
    number = b.op("mul", number, rows(scale))
    return b.op("reshape", number, shape=dims) if groups > 1 else number


def _numbers(b: Builder, at: Value, format: str, codes: Array) -> Value:
    """The codes of rows as floats, those of four bits plus 8."""
    if format in FLOAT8:
        return b.op("from_float8", b.op("gather", b.const(codes), at, axis=0), format=format, scale=1.0)
    if format != "i4":
        return b.op("cast", b.op("gather", b.const(codes), at, axis=0), to="f32")
    half = codes.shape[1] // 2
    above = (codes + 8).astype(np.uint8)
    both = b.op("gather", b.const(above[:, :half] | above[:, half:] << 4), at, axis=0)
    low = b.op("bit_and", both, b.const(15, "u8"))
    high = b.op("shr", both, b.const(4, "u8"))
    parts = [b.op("cast", v, to="f32") for v in (low, high)]
    return b.op("concat", *parts, axis=both.type.rank - 1)
