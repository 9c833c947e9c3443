"""Reductions, softmax and norms: every one as [outer][size][inner] over the middle axis."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from edgec.ir.graph import Op
from edgec.plan.plan import Pointer
from edgec.targets.c.element import Element
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, NotLowered

# kind -> start, combination, result; TOP and LOW are the dtype's limits
_FLOAT = {
    "reduce_sum": ("0", "acc + x", "acc"),
    "reduce_mean": ("0", "acc + x", "acc / (T)size"),
    "reduce_prod": ("1", "acc * x", "acc"),
    "reduce_max": ("-__builtin_inff()", "((x > acc) | (x != x)) ? x : acc", "acc"),
    "reduce_min": ("__builtin_inff()", "((x < acc) | (x != x)) ? x : acc", "acc"),
}
_INTEGER = {
    "reduce_sum": ("0", "(UT)acc + (UT)x", "acc"),
    "reduce_prod": ("1", "(UT)acc * (UT)x", "acc"),
    "reduce_max": ("LOW", "x > acc ? x : acc", "acc"),
    "reduce_min": ("TOP", "x < acc ? x : acc", "acc"),
}


def _forms(kind: str, dtype: str) -> tuple[str, str, str]:
    if dtype in ("f32", "f64", "f16") and kind in _FLOAT:
        return tuple(t.replace("(T)", f"({_summed(dtype)})") for t in _FLOAT[kind])  # type: ignore[return-value]
    if dtype == "bool" and kind in ("reduce_max", "reduce_min"):
        return ("0", "acc | x", "acc") if kind == "reduce_max" else ("1", "acc & x", "acc")
    if dtype[0] in "iu" and kind in _INTEGER:
        bits = int(dtype[1:])
        low = f"INT{bits}_MIN" if dtype[0] == "i" else "0"
        top = f"{'U' if dtype[0] == 'u' else ''}INT{bits}_MAX"
        wide = "uint64_t" if bits == 64 else "uint32_t"
        start, step, final = _INTEGER[kind]
        return start.replace("LOW", low).replace("TOP", top), step.replace("UT", wide), final
    raise NotLowered(f"{kind} of {dtype} has no kernel")


def _summed(dtype: str) -> str:
    """The C type that numbers of a dtype are combined in."""
    return CTYPES["f32" if dtype == "f16" else dtype]


def axis_runs(axes: tuple[int, ...], dims: tuple[int, ...]) -> list[tuple[int, int]]:
    """Runs [first, last) of neighbouring reduced axes; axes of length 1 join for free."""
    runs: list[tuple[int, int]] = []
    for axis in sorted(axes):
        if dims[axis] == 1:
            continue
        if runs and all(dims[i] == 1 for i in range(runs[-1][1], axis)):
            runs[-1] = (runs[-1][0], axis + 1)
        else:
            runs.append((axis, axis + 1))
    return runs


def _reduce(op: Op, ctx: Lowering) -> None:
    x, dtype = op.arg(0), op.arg(0).type.dtype
    axes: Any = op.attrs["axes"]
    start, step, final = _forms(op.kind, dtype)
    if op.result.type.size == 0:
        return
    runs = axis_runs(axes, x.type.dims)
    if not runs:
        ctx.alias(op.result, x)
        return
    if x.type.size == 0:
        raise NotLowered(f"{op.kind} over an empty axis has no kernel")
    name = f"{op.kind}_{dtype}"
    instance = f"EDGEC_REDUCE({name}, {CTYPES[dtype]}, {_summed(dtype)}, {start}, {step}, {final})"
    dims = list(x.type.dims)
    source: Pointer = ctx.read(x)
    for i, (first, last) in enumerate(runs[::-1]):
        outer, size, inner = math.prod(dims[:first]), math.prod(dims[first:last]), math.prod(dims[last:])
        dims[first:last] = [1] * (last - first)
        final_run = i == len(runs) - 1
        to = ctx.write(op.result) if final_run else ctx.temp(math.prod(dims) * x.type.numpy.itemsize, source.ctype)
        ctx.call("reduce.h", f"edgec_{name}", source, to, size, inner, tasks=outer, instances=(instance,))
        source = replace(to, write=False)


def _in_floats(op: Op, ctx: Lowering) -> Element:
    """What computes floats, and halves as floats."""
    dtype = op.arg(0).type.dtype
    if dtype not in ("f32", "f16"):
        raise NotLowered(f"{op.kind} of {dtype} has no kernel")
    return ctx.element(dtype, wide=True)


def _middle(op: Op) -> tuple[int, int, int]:
    dims, axis = op.arg(0).type.dims, int(op.attrs["axis"])  # type: ignore[arg-type]
    return math.prod(dims[:axis]), dims[axis], math.prod(dims[axis + 1 :])


def _softmax(op: Op, ctx: Lowering) -> None:
    numbers = _in_floats(op, ctx)
    outer, size, inner = _middle(op)
    if op.result.type.size:
        logarithm = int(op.kind == "log_softmax")
        ctx.call(
            numbers.header("reduce.h"), numbers.function("softmax"), ctx.read(op.arg(0)), ctx.write(op.result), size,
            inner, logarithm, tasks=outer, inplace=True,
        )  # fmt: skip


def _norm(op: Op, ctx: Lowering) -> None:
    x = op.arg(0)
    numbers = _in_floats(op, ctx)
    size = math.prod(x.type.dims[int(op.attrs["axis"]) :])  # type: ignore[arg-type]
    if not x.type.size:
        return
    scale, bias = (ctx.read(v) if v is not None else None for v in [*op.inputs[1:], None, None][:2])
    ctx.call(
        numbers.header("reduce.h"), numbers.function("norm"), ctx.read(x), scale, bias, ctx.write(op.result), size,
        float(op.attrs["eps"]), int(op.kind == "layer_norm"), tasks=x.type.size // size,  # type: ignore[arg-type]
    )  # fmt: skip


REDUCE: dict[str, LowerOp] = {
    **dict.fromkeys(_FLOAT, _reduce),
    "softmax": _softmax,
    "log_softmax": _softmax,
    "layer_norm": _norm,
    "rms_norm": _norm,
}
