"""In a graph that says what is quantised, halves between become floats: they only say how real numbers were stored
beside bytes. What becomes bytes is rounded once then, not to a half before, and scales alone say what bytes stand for.

%0: f16 = cast(dequantize %x, #s, #z)          %0: f32 = dequantize %x, #s, #z
%1: f16 = conv %0, #w: f16 quant<i8, …>   ->   %1: f32 = conv %0, #w: f32 quant<i8, …>
%2: u8 = quantize(cast %1), #t, #y             %2: u8 = quantize %1, #t, #y

Inputs, outputs, states and what is read bit by bit keep their types. onnxruntime leaves such roundings out, too, where
it has no kernels of halves: it drops casts to halves and back between two operators.
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import Quant, Type
from edgec.passes.widen_halves import HALVES


def widen_quantised(graph: Graph) -> bool:
    if not any(_says_what_is_quantised(op) for op in graph.ops):
        return False
    widening = _Widening(graph)
    widening.run()
    return widening.changed


def _says_what_is_quantised(op: Op) -> bool:
    encoded = any(_is_half(v) and v.type.encodings for v in op.inputs if v is not None)
    return op.kind in ("quantize", "dequantize") or encoded


class _Widening:
    """One walk in order. `floats` holds what is read in the place of a value: halves as floats, and what was cast back
    from them. `gone` are halves that nothing makes any more."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.floats: dict[Value, Value] = {}
        self.gone: set[Value] = set()
        self.changed = False

    def run(self) -> None:
        old, self.graph.ops = self.graph.ops, []
        for op in old:
            b = Builder(self.graph, source=op.source)
            if op.kind == "bitcast":
                op.inputs = [self._bits(b, op.arg(0))]
                self.graph.ops.append(op)
            elif self._at_border(op) or not any(_is_half(v) for v in (*op.inputs, *op.results)):
                op.inputs = [self.floats.get(v, v) if v is not None and not _is_half(v) else v for v in op.inputs]
                self.graph.ops.append(op)
            else:
                self._widen(op, b)
        b = Builder(self.graph)
        left = {v for v in self.floats if v in self.gone or not _is_half(v)}
        self.graph.replace_leaving({v: self._bits(b, v) for v in self._leaving() if v in left})
        self._drop_unread()

    def _at_border(self, op: Op) -> bool:
        """A cast between floats, or integers, and halves that stay; who reads the halves reads the floats instead."""
        if op.kind != "cast":
            return False
        x, y = op.arg(0), op.result
        if _is_half(y) and x.type.dtype == "f32":
            self.floats[y] = self.floats.get(x, x)
            return True
        if not _is_half(x) or _is_half(y) or x.const is not None or x in self.floats:
            return False
        if y.type.dtype == "f32":
            self.floats[x] = y
        return True

    def _widen(self, op: Op, b: Builder) -> None:
        self.changed = True
        operands = [self._float(b, v) for v in op.inputs]
        to = "f32" if op.attrs.get("to") in HALVES else op.attrs.get("to")
        attrs = op.attrs if to is None else {**op.attrs, "to": to}
        same = op.kind == "cast" and operands[0] is not None and operands[0].type.dtype == to
        for value, wide in zip(op.results, operands if same else b.ops(op.kind, *operands, **attrs), strict=True):
            assert wide is not None
            self.floats[value] = wide
            if wide.op is not None and wide.origin is None:
                wide.name, wide.origin = value.name, value.origin
            if _is_half(value):
                self.gone.add(value)

    def _float(self, b: Builder, value: Value | None) -> Value | None:
        if value is None or value in self.floats or not _is_half(value):
            return self.floats.get(value, value) if value is not None else None
        if value.type.encodings:
            wide = Value(value.name, Type("f32", value.type.shape, value.type.encodings), const=value.const)
            self.floats[value] = wide if _is_plain(wide) else self.graph.constant(self.graph.array(wide), value.name)
        else:
            self.floats[value] = b.op("cast", value, to="f32")
        return self.floats[value]

    def _bits(self, b: Builder, value: Value) -> Value:
        """The value in its own type."""
        if not _is_half(value):
            return self.floats.get(value, value)
        return b.op("cast", self.floats[value], to=value.type.dtype) if value in self.gone else value

    def _leaving(self) -> list[Value]:
        return [v for _, v in self.graph.outputs] + [s.output for s in self.graph.states]

    def _drop_unread(self) -> None:
        """Casts to halves that are read as floats everywhere."""
        read = {v for op in self.graph.ops for v in op.inputs} | set(self._leaving())
        kept = [op for op in self.graph.ops if op.kind != "cast" or op.result in read]
        self.changed |= len(kept) < len(self.graph.ops)
        self.graph.ops = kept


def _is_plain(value: Value) -> bool:
    """Stored in whole bytes by scales of tensors or channels. The model's other codes are floats for passes to move
    about, and own_codes.py finds them again behind these."""
    return all(isinstance(e, Quant) and e.format != "i4" and not e.group for e in value.type.encodings)


def _is_half(value: Value | None) -> bool:
    return value is not None and value.type.dtype in HALVES
