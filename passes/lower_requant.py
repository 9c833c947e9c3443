"""Operators on encoded values become operators on bytes (ir/ops/integer.py); encodings are gone afterwards.

%1: f32[…] quant<i8, scale=#s, zero=#z> = conv %0, #w, #b   ->   %1: i8[…] = qconv %0, #w, #b', #m, #s {x_zero=-5}

Functions of bytes that follow one another are one table, and nothing is rounded between them where no encoding says so.
An operator that has no integer form is done in floats, between a `dequantize` and a `quantize`. `byte` is how the
target stores bytes, i8 or u8: encodings of the other kind move by 128.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.origin import Scaled
from edgec.ir.types import DTYPES, Quant, Type
from edgec.passes.absorb_qdq import encoding_of
from edgec.passes.form import Form, numbers_of
from edgec.passes.requant import Grid, Looked, NotInIntegers
from edgec.passes.requant_forms import FORMS
from edgec.passes.table_forms import looked_up, passed_on, rescaled


def lower_requant(graph: Graph, byte: str = "i8") -> bool:
    if not any(v.type.encodings for op in graph.ops for v in (*op.results, *op.inputs) if v is not None):
        return False
    requantise(graph, byte)
    return True


def requantise(graph: Graph, byte: str) -> list[tuple[str, str]]:
    """The same for a graph with encodings; operators that are done in floats all the same, each with its code of
    requant.REASONS."""
    lowering = _Lowering(graph, byte)
    lowering.run()
    return lowering.refused


class _Lowering:
    """One walk in order. `bytes` holds encoded values as bytes, `floats` values as plain tensors, made when asked."""

    def __init__(self, graph: Graph, byte: str) -> None:
        self.graph = graph
        self.byte = byte
        self.bytes: dict[Value, Value] = {}
        self.floats: dict[Value, Value] = {}
        self.looked: dict[Value, tuple[Value, Looked]] = {}  # functions of bytes that are not tables yet
        self.renamed: dict[Value, Value] = {}
        self.refused: list[tuple[str, str]] = []

    def run(self) -> None:
        users, leaving = self.graph.users(), self.graph.output_values()
        between = {op for op in self.graph.ops if is_between(op, users) and op.result not in leaving}
        old, self.graph.ops = self.graph.ops, []
        for op in old:
            b = Builder(self.graph, source=op.source)
            values = [v for v in (*op.results, *op.inputs) if v is not None]
            # a constant that meets no encoded value is a float one
            encoded = any((v.type.encodings and v.const is None) or v in self.looked for v in values)
            if not encoded and op.kind != "encode":
                op.inputs = [self._float(b, v) if v is not None else None for v in op.inputs]
                self.graph.ops.append(op)
                continue
            if op not in between or not self._passed_on(op, b):
                self._op(op, b)
        self.graph.replace_leaving(self.renamed)

    def _op(self, op: Op, b: Builder) -> None:
        result = self._grid(op.result) if len(op.results) == 1 and op.result.type.encodings else None
        made, code = None, "NO_INTEGER_FORM"
        if op.kind == "encode":
            self._encode(op, b, result)
            return
        if op.kind in ("quantize", "dequantize") and self._bytes_named(op, b, result):
            return
        if op.kind in FORMS and len(op.results) == 1:
            operands = [self._operand(b, v) for v in op.inputs]
            at = len(self.graph.ops)
            try:
                made = FORMS[op.kind](Form(op, b, operands, result))
            except NotInIntegers as refusal:
                code = str(refusal)
                del self.graph.ops[at:]
        if made is not None:
            self._name(op.result, made, result is not None)
            return
        self.refused.append((op.label, code))
        values = b.ops(op.kind, *(self._float(b, v) if v is not None else None for v in op.inputs), **op.attrs)
        for value, y in zip(op.results, values, strict=True):
            if value.type.encodings:
                self._name(value, self._quantized(b, y, self._grid(value)), True)
            else:
                self._name(value, y, False)

    def _passed_on(self, op: Op, b: Builder) -> bool:
        """A function of bytes that the next operator goes on with."""
        found = passed_on(Form(op, b, [self._operand(b, v) for v in op.inputs], None))
        if found is not None:
            self.looked[op.result] = found
        return found is not None

    def _encode(self, op: Op, b: Builder, result: Grid | None) -> None:
        x = op.arg(0)
        if result is None:
            self._name(op.result, self._float(b, x), False)
        elif x.type.encodings and x.const is None:
            self._name(op.result, rescaled(b, self.bytes[x], self._grid(x), result), True)
        else:
            self._name(op.result, self._quantized(b, self._float(b, x), result), True)

    def _bytes_named(self, op: Op, b: Builder, result: Grid | None) -> bool:
        """Bytes that come in or leave, and are an encoded value as they are."""
        x, said = op.arg(0), encoding_of(op)
        x = self.floats.get(x, x)
        if said is None:
            return False
        if op.kind == "dequantize" and result is not None and op.result.type.encodings == (said,):
            self._name(op.result, turned(b, x, result.dtype), True)
            return True
        if op.kind == "quantize" and x in self.bytes and x.type.encodings == (said,):
            self._name(op.result, turned(b, self.bytes[x], said.stored), False)
            return True
        return False

    def _name(self, value: Value, made: Value, encoded: bool) -> None:
        if encoded:
            self.bytes[value] = made
            made.name = made.name or value.name
            if made.origin is None and made.scaled is None:
                grid = self._grid(value)
                bytes_of = Scaled((grid.scale,), grid.zero)
                made.origin = value.origin
                made.scaled = bytes_of.times(value.scaled.scale) if value.scaled is not None else bytes_of
        else:
            self.floats[value] = self.renamed[value] = made

    def _operand(self, b: Builder, value: Value | None) -> tuple[Value | None, Grid | None]:
        if value is None:
            return None, None
        if value in self.looked:
            return self.looked[value]
        if value in self.bytes:
            return self.bytes[value], self._grid(value)
        if value.const is not None and _is_byte(value):
            grid = self._grid(value)
            offset = {"i8": -128, "u8": 0}
            lowest = self.graph.stored(value).astype(np.int64) - offset[value.type.stored.dtype]
            return b.const((lowest + offset[grid.dtype]).astype(DTYPES[grid.dtype])), grid
        return self.floats.get(value, value), None

    def _grid(self, value: Value) -> Grid:
        """Of an encoded value, in the target's bytes."""
        encoding = value.type.encodings[0]
        assert isinstance(encoding, Quant)
        assert encoding.axis is None, f"{value!r} is stored as {encoding}"
        constants = self.graph.module.constants
        scale, zero = float(constants[encoding.scale]), int(constants[encoding.zero])
        assert encoding.format != "i4", f"{value!r}: only constants have four bits"
        if encoding.stored in ("i8", "u8") and encoding.stored != self.byte:
            zero += 128 if self.byte == "u8" else -128
            return Grid(self.byte, scale, zero)
        return Grid(encoding.stored, scale, zero)

    def _float(self, b: Builder, value: Value) -> Value:
        """The value as a plain tensor."""
        if value in self.looked and value not in self.floats:
            x, looked = self.looked[value]
            self.floats[value] = b.op("table", x, b.const(looked.made))
        if value in self.floats or not value.type.encodings:
            return self.floats.get(value, value)
        if value.const is not None:
            made = b.const(self.graph.array(value))
        else:
            grid = self._grid(value)
            made = b.op("dequantize", self.bytes[value], *numbers_of(b, grid))
            made.stand_for(value)
        self.floats[value] = made
        return made

    def _quantized(self, b: Builder, y: Value, grid: Grid) -> Value:
        return b.op("quantize", y, *numbers_of(b, grid))


def is_between(op: Op, users: Mapping[Value, list[Op]]) -> bool:
    """A function whose plain result only another one reads: both are one table."""
    if looked_up(op) is None or len(op.results) != 1 or op.result.type != Type("f32", op.result.type.shape):
        return False
    (reader, *others) = users.get(op.result) or [op]
    at = looked_up(reader)
    return reader is not op and not others and at is not None and reader.arg(at) is op.result


def _is_byte(value: Value) -> bool:
    """Stored in bytes, with one scale."""
    (encoding, *others) = value.type.encodings or (None,)
    return isinstance(encoding, Quant) and not others and encoding.axis is None and encoding.stored in ("i8", "u8")


def turned(b: Builder, x: Value, dtype: str) -> Value:
    """The same numbers as bytes of the other kind, which are 128 off."""
    if x.type.dtype == dtype:
        return x
    info = np.iinfo(DTYPES[dtype])
    return b.op("table", x, b.const(np.arange(info.min, info.max + 1, dtype=DTYPES[dtype])))
