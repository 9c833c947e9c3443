"""Values and weights of float32 become halves, between casts where floats come in and where they are needed.

%1 = conv %x, #w, #b  ->  %h = cast %x {to="f16"}; %2: f16[…] = conv %h, #w', #b'; %1 = cast %2 {to="f32"}

An operator that is not narrowed reads floats again; a value is cast once each way, and a cast that nobody reads is not
made. Halves are made of bytes, and bytes of halves, without a cast between. Inputs and outputs keep their types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value

Array = np.ndarray[Any, Any]
LARGEST = 65504.0
LOSS = 0.01  # of an array's norm that rounding it to halves may cost

# Why an operator that computes floats stays as it is, by code.
NO_KERNEL, RANGE, CAST_BOUND = "NO_HALF_KERNEL", "HALF_RANGE", "CAST_BOUND"
REASONS = {
    NO_KERNEL: "there is no kernel of halves for this form of the operator: it is done in float32",
    RANGE: "a constant or value of this operator is beyond what halves hold: it is done in float32",
    CAST_BOUND: "what halves save here is less than casts between them and floats cost",
}


def narrow_to_halves(graph: Graph) -> bool:
    """Every operator whose results and constants halves can hold, as far as constants say."""
    change = any(is_float(op) and not constants_beyond(graph, op) for op in graph.ops)
    if change:
        narrow(graph, lambda op: RANGE if constants_beyond(graph, op) else "")
    return change


def constants_beyond(graph: Graph, op: Op) -> bool:
    """Whether halves cannot hold a constant of the operator."""
    constants = [v for v in op.inputs if v is not None and v.const is not None and v.type.dtype == "f32"]
    return not all(halves_hold(graph.array(v)) for v in constants)


def halves_hold(array: Array) -> bool:
    """Nothing overflows, and not much underflows. Infinities and NaNs are what they are."""
    finite = array[np.isfinite(array)].astype(np.float64)
    with np.errstate(over="ignore"):
        lost = finite - finite.astype(np.float16)
    return bool(np.sum(lost**2) <= LOSS**2 * np.sum(finite**2))


def narrow(graph: Graph, refusal: Callable[[Op], str]) -> list[tuple[Op, str]]:
    """Narrows what `refusal` has no code for; the operators that compute floats all the same, with their codes."""
    return _Narrowing(graph, refusal).run()


def makes_bytes(op: Op) -> bool:
    """Quantizes by one constant scale, as there is a kernel of halves for."""
    if op.kind != "quantize" or op.arg(1).const is None or op.arg(2).const is None:
        return False
    return op.attrs["axis"] == -1 and op.result.type.dtype in ("i8", "u8")


def is_float(op: Op) -> bool:
    """Works on float32: every operand that is a float is one, and so is the result."""
    known = op.kind not in ("cast", "dequantize")
    return known and len(op.results) == 1 and op.result.type.dtype == "f32" and not any(
        v is not None and (v.type.dtype in ("f64", "f16", "bf16") or v.type.encodings) for v in op.inputs
    )  # fmt: skip


class _Narrowing:
    """One walk in order. `halves` holds values as halves, `floats` those that only exist as halves as floats again."""

    def __init__(self, graph: Graph, refusal: Callable[[Op], str]) -> None:
        self.graph = graph
        self.refusal = refusal
        self.halves: dict[Value, Value] = {}
        self.floats: dict[Value, Value] = {}
        self.narrowed: set[Value] = set()
        self.cast: dict[Value, Value] = {}  # what the model casts to halves that are there already

    def run(self) -> list[tuple[Op, str]]:
        old, self.graph.ops = self.graph.ops, []
        wide: list[tuple[Op, str]] = []
        for op in old:
            b = Builder(self.graph, source=op.source, fold=False)
            if op.kind == "cast" and op.result.type.dtype == "f16" and op.arg(0) in self.narrowed:
                self.cast[op.result] = self.halves[op.arg(0)]
                continue
            op.inputs = [self.cast.get(v, v) if v is not None else None for v in op.inputs]
            if makes_bytes(op) and op.arg(0) in self.narrowed:
                op.inputs[0] = self.halves[op.arg(0)]
                self.graph.ops.append(op)
                continue
            code = self.refusal(op) if is_float(op) else NO_KERNEL
            if code:
                real = any(v and v.type.dtype == "f32" for v in (*op.inputs, *op.results))
                if real and op.kind not in ("cast", "quantize", "dequantize"):
                    wide.append((op, code))
                op.inputs = [self._float(b, v) for v in op.inputs]
                self.graph.ops.append(op)
                continue
            made = b.op(op.kind, *(self._half(b, v) for v in op.inputs), **op.attrs)
            made.name, made.origin, made.scaled = op.result.name, op.result.origin, op.result.scaled
            self.halves[op.result] = made
            self.narrowed.add(op.result)
        b = Builder(self.graph, fold=False)
        leaving = self.graph.output_values()
        floats = {v: self._float(b, v) or v for op in old for v in op.results if v in leaving & self.narrowed}
        self.graph.replace_leaving(floats | self.cast)
        return wide

    def _half(self, b: Builder, value: Value | None) -> Value | None:
        if value is None or value.type.dtype != "f32":
            return value
        if value not in self.halves:
            if value.const is not None:
                with np.errstate(over="ignore"):
                    self.halves[value] = b.const(self.graph.array(value).astype(np.float16))
            elif value.op is not None and value.op.kind == "cast" and value.op.arg(0).type.dtype == "f16":
                self.halves[value] = value.op.arg(0)
            elif value.op is not None and value.op.kind == "dequantize":
                self.halves[value] = b.op("dequantize", *value.op.inputs, axis=value.op.attrs["axis"], to="f16")
            else:
                self.halves[value] = b.op("cast", value, to="f16")
        return self.halves[value]

    def _float(self, b: Builder, value: Value | None) -> Value | None:
        if value is None or value not in self.narrowed:
            return value
        if value not in self.floats:
            self.floats[value] = b.op("cast", self.halves[value], to="f32")
        return self.floats[value]
