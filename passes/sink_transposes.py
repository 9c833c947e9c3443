"""Moves transposes below the ops that do not care, where pairs meet and cancel.

%1 = transpose %x {perm=(0, 3, 1, 2)}         %1 = relu %x
%2 = relu %1                            ->    %2 = transpose %1 {perm=(0, 3, 1, 2)}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops import OPS
from edgec.passes.sweep import sweep

Perm = tuple[int, ...]
BYTES = ("to_float8", "from_float8")  # element by element, too


def sink_transposes(graph: Graph) -> bool:
    return sweep(graph, _sunk)


def _under(value: Value | None) -> tuple[Value, Perm] | None:
    """What a transposed value is a transpose of."""
    if value is None or value.op is None or value.op.kind != "transpose":
        return None
    perm: Any = value.op.attrs["perm"]
    return value.op.arg(0), tuple(perm)


def _sunk(b: Builder, op: Op) -> Value | None:
    """The same value with the transpose after the op, or None where no rule fits."""
    first = next((u for v in op.inputs if (u := _under(v)) is not None), None)
    if first is None:
        return None
    source, perm = first
    attrs: dict[str, Any] = dict(op.attrs)
    if op.kind == "transpose":
        whole = tuple(perm[p] for p in attrs["perm"])
        return source if whole == tuple(range(len(whole))) else b.op("transpose", source, perm=whole)
    if op.kind in ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_prod"):
        return _reduced(b, op, source, perm)
    if op.kind == "reshape":
        return _reshaped(b, source, perm, attrs["shape"])
    if OPS[op.kind].family == "elementwise" or op.kind in BYTES:
        operands: list[Value | None] = [_aligned(b, v, perm, op.result.type.rank) for v in op.inputs]
        if any(v is None for v in operands):
            return None
    elif op.kind == "concat":
        operands = [_aligned(b, v, perm, op.result.type.rank) for v in op.inputs]
        if any(v is None for v in operands):
            return None
        attrs["axis"] = perm[attrs["axis"]]
    elif op.kind in ("softmax", "log_softmax"):
        operands = [source]
        attrs["axis"] = perm[attrs["axis"]]
    elif op.kind in ("quantize", "dequantize"):
        operands = [source, *op.inputs[1:]]
        if attrs["axis"] >= 0:
            attrs["axis"] = perm[attrs["axis"]]
    elif op.kind in ("pad", "slice", "resize"):
        operands = [source]
        for name in ("before", "after", "starts", "stops", "steps", "sizes", "scales"):
            if name in attrs:
                attrs[name] = _moved(attrs[name], perm)
        if attrs.get("roi"):
            starts, ends = attrs["roi"][: len(perm)], attrs["roi"][len(perm) :]
            attrs["roi"] = _moved(starts, perm) + _moved(ends, perm)
    else:
        return None
    return b.op("transpose", b.op(op.kind, *operands, **attrs), perm=perm)


def _moved(numbers: Sequence[Any], perm: Perm) -> tuple[Any, ...]:
    """One number an axis, for the axes as they are before the transpose."""
    return tuple(numbers[perm.index(i)] for i in range(len(perm)))


def _aligned(b: Builder, value: Value | None, perm: Perm, rank: int) -> Value | None:
    """The operand as it stands before the transpose: its own source, a permuted constant, or a scalar."""
    if value is None or len(perm) != rank:
        return None
    under = _under(value)
    if under is not None:
        return under[0] if under[1] == perm else None
    if value.type.size == 1 and value.type.rank == 0:
        return value
    if value.const is None:
        return None
    full = b.op("reshape", value, shape=(1,) * (rank - value.type.rank) + value.type.dims)
    inverse = tuple(perm.index(i) for i in range(rank))
    return b.op("transpose", full, perm=inverse)


def _reduced(b: Builder, op: Op, source: Value, perm: Perm) -> Value | None:
    axes: Any = op.attrs["axes"]
    inner = tuple(sorted(perm[a] for a in axes))
    made = b.op(op.kind, source, axes=inner, keepdims=op.attrs["keepdims"])
    if op.attrs["keepdims"]:
        return b.op("transpose", made, perm=perm)
    kept = [perm[i] for i in range(len(perm)) if i not in axes]
    order = sorted(kept)
    rest = tuple(order.index(k) for k in kept)
    return made if rest == tuple(range(len(rest))) else b.op("transpose", made, perm=rest)


def _reshaped(b: Builder, source: Value, perm: Perm, shape: tuple[int, ...]) -> Value | None:
    """The reshape before the transpose, where it splits axes or merges those that are neighbours in the source, too."""
    dims = source.type.dims
    if not source.type.size:
        return None
    old = [p for p in perm if dims[p] != 1]  # source axes in the order in which the reshape sees them
    new = [i for i, d in enumerate(shape) if d != 1]
    groups: list[tuple[int, list[int]]] = []  # first source axis, axes of the result
    while old or new:
        first, taken = [old.pop(0)], [new.pop(0)]
        inside, outside = dims[first[0]], shape[taken[0]]
        while inside != outside:
            if inside < outside:
                first.append(old.pop(0))
                inside *= dims[first[-1]]
            else:
                taken.append(new.pop(0))
                outside *= shape[taken[-1]]
        between = [p for p in range(first[0], first[-1] + 1) if dims[p] != 1] if first == sorted(first) else []
        if between != first:
            return None
        groups.append((first[0], taken))
    ones = [i for i, d in enumerate(shape) if d == 1]
    order = [*ones, *(i for _, taken in sorted(groups) for i in taken)]
    made = b.op("reshape", source, shape=tuple(shape[i] for i in order))
    return b.op("transpose", made, perm=tuple(order.index(i) for i in range(len(shape))))
