"""Building ops: check operands, infer result types, fold what is already known.

    b = Builder(graph)                     # appends at the end
    y = b.op("conv", x, w, bias, strides=(1, 1), pads=(0, 0, 0, 0))
    b = Builder(graph, before=op)          # inserts in front of an op; what a pass uses

An op whose operands are all constants becomes a constant at once when that is cheap (`cost.py`); this is what makes the
exporters' shape arithmetic vanish.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.ir.cost import affordable
from edgec.ir.graph import Attr, Graph, Op, Value
from edgec.ir.moved import reshaped, transposed
from edgec.ir.ops import OPS
from edgec.ir.types import DTYPES, Type, dtype_name


class Builder:
    def __init__(self, graph: Graph, before: Op | None = None, source: str = "", fold: bool = True) -> None:
        self.graph = graph
        self.source = source or (before.source if before is not None else "")
        self.before = before
        self.fold = fold

    def op(self, kind: str, *inputs: Value | None, **attrs: Attr) -> Value:
        """The only result of a new op (or the constant it folds to)."""
        results = self.ops(kind, *inputs, **attrs)
        assert len(results) == 1, kind
        return results[0]

    def ops(self, kind: str, *inputs: Value | None, **attrs: Attr) -> list[Value]:
        """All results of a new op. Raises IRError when the operands or attributes are not legal."""
        row = OPS[kind]
        full = row.complete(attrs)
        given = [v.type.plain if v is not None else None for v in inputs]
        types = row.infer(given, full)
        known = bool(inputs) and all(v is None or v.const is not None for v in inputs)
        return self.place(kind, inputs, full, types, self.fold and known and affordable(kind, given, types, full))

    def place(
        self, kind: str, inputs: Sequence[Value | None], full: dict[str, Attr], types: Sequence[Type], fold: bool
    ) -> list[Value]:
        """Results of an op whose attributes are complete and whose types are inferred: folded, or in the graph."""
        if fold and len(inputs) == 1 and (moved := moved_constant(self.graph, kind, inputs[0], full)) is not None:
            return [moved]
        if fold:
            arrays = [self.graph.array(v) if v is not None else None for v in inputs]
            return [self.graph.constant(a) for a in OPS[kind].evaluate(arrays, full)]
        op = Op(kind, inputs, full, self.source)
        at = self.graph.ops.index(self.before) if self.before is not None else len(self.graph.ops)
        return self.graph.insert(at, op, types)

    def const(self, array: np.ndarray | float | int, dtype: str | None = None) -> Value:
        """A constant value; `dtype` is an IR name."""
        made = np.asarray(array, DTYPES[dtype] if dtype else None)
        assert dtype_name(made.dtype)
        return self.graph.constant(made)


def moved_constant(graph: Graph, kind: str, value: Value | None, attrs: dict[str, Attr]) -> Value | None:
    """An encoded constant transposed, reshaped or rounded to halves, as it is stored; None where the encoding cannot
    stay."""
    if value is None or not value.type.encodings or kind not in ("transpose", "reshape", "cast"):
        return None
    if kind == "cast":
        halved = value.type.dtype == "f32" and attrs["to"] in ("f16", "bf16")
        made = Type(str(attrs["to"]), value.type.shape, value.type.encodings)
        return graph.encoded(graph.stored(value), made, value.name) if halved else None
    if kind == "transpose":
        return transposed(graph, value, tuple(attrs["perm"]))  # type: ignore[arg-type]
    return reshaped(graph, value, tuple(attrs["shape"]))  # type: ignore[arg-type]
