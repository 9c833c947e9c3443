"""Ops that read or write where run-time indices say, or that give indices: gather, scatter, top-k, arg, cumsum."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgec.ir.graph import Op, Value
from edgec.plan.plan import Pointer
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.strides import collapse, dense


@dataclass(frozen=True)
class Form:
    """An element type in C: as stored, as computed in, and the EDGEC_GET_x / EDGEC_PUT_x of half.h between the two."""

    stored: str
    wide: str
    get: str

    @property
    def macro(self) -> str:
        return f"{self.stored}, {self.wide}, {self.get}"


def element_form(dtype: str) -> Form:
    stored = CTYPES[dtype]
    if dtype in ("f16", "bf16"):
        return Form(stored, "float", dtype.upper())
    return Form(stored, stored, "BOOL" if dtype == "bool" else "SAME")


_FLOAT = {
    "add": "x + z",
    "mul": "x * z",
    "max": "x > z || x != x ? x : z",
    "min": "x < z || x != x ? x : z",
}
_INTEGER = {"add": "(UT)x + (UT)z", "mul": "(UT)x * (UT)z", "max": "x > z ? x : z", "min": "x < z ? x : z"}
_BOOL = {"add": "x | z", "mul": "x & z", "max": "x | z", "min": "x & z"}


def _reduction(op: Op) -> tuple[str, str]:
    """Name and macro arguments of a scatter's element type, without the index type; and its expression."""
    dtype, kind = op.arg(0).type.dtype, str(op.attrs["reduction"])
    if kind == "none":
        bits = 8 * op.arg(0).type.numpy.itemsize
        return f"{bits}", f"uint{bits}_t, uint{bits}_t, SAME, TI, z"
    if dtype[0] in "iu":
        text = _INTEGER[kind].replace("UT", "uint64_t" if dtype.endswith("64") else "uint32_t")
    else:
        text = (_BOOL if dtype == "bool" else _FLOAT)[kind]
    return f"{kind}_{dtype}", f"{element_form(dtype).macro}, TI, {text}"


def _check_source(op: Op, x: Value) -> None:
    if not x.type.size:
        raise NotLowered(f"{op.kind} from an empty tensor has no kernel")


def _gather_elements(op: Op, ctx: Lowering) -> None:
    x, index, y = op.arg(0), op.arg(1), op.result
    axis = int(op.attrs["axis"])  # type: ignore[arg-type]
    if not y.type.size:
        return
    _check_source(op, x)
    own = dense(x.type.dims)
    dims, (sx,) = collapse(y.type.dims, [[0 if i == axis else s for i, s in enumerate(own)]])
    bits, ti = 8 * x.type.numpy.itemsize, CTYPES[index.type.dtype]
    ctx.call(
        "index.h", f"edgec_gather_elements_{bits}_{ti}", ctx.read(x, f"uint{bits}_t"), ctx.read(index),
        ctx.write(y, f"uint{bits}_t"), ctx.sizes(dims), ctx.sizes(sx), len(dims), own[axis], x.type.dims[axis],
        tasks=math.prod(dims[:-1]), instances=(f"EDGEC_GATHER_ELEMENTS({bits}, {ti})",),
    )  # fmt: skip


def _tuples(x: Value, batch_dims: int, depth: int, ctx: Lowering) -> tuple[Pointer, Pointer, int]:
    """Lengths of the indexed axes, their strides in pieces, and the elements of a piece."""
    sizes = x.type.dims[batch_dims : batch_dims + depth]
    return ctx.sizes(sizes), ctx.sizes(dense(sizes)), math.prod(x.type.dims[batch_dims + depth :])


def _gather_nd(op: Op, ctx: Lowering) -> None:
    x, index, y = op.arg(0), op.arg(1), op.result
    batch_dims = int(op.attrs["batch_dims"])  # type: ignore[arg-type]
    if not y.type.size:
        return
    _check_source(op, x)
    depth, ti = index.type.dims[-1], CTYPES[index.type.dtype]
    sizes, strides, inner = _tuples(x, batch_dims, depth, ctx)
    batches = math.prod(x.type.dims[:batch_dims])
    pieces = math.prod(x.type.dims[batch_dims : batch_dims + depth])
    rows = index.type.size // depth
    ctx.call(
        "index.h", f"edgec_gather_nd_{ti}", ctx.read(x, "uint8_t"), ctx.read(index), ctx.write(y, "uint8_t"), sizes,
        strides, depth, rows // batches, pieces, inner * x.type.numpy.itemsize, tasks=rows,
        instances=(f"EDGEC_TUPLE({ti})", f"EDGEC_GATHER_ND({ti})"),
    )  # fmt: skip


def _start(op: Op, ctx: Lowering) -> bool:
    """The result begins as the operand; False when that is all."""
    x, y = op.arg(0), op.result
    if not y.type.size:
        return False
    if not op.arg(2).type.size:
        ctx.alias(y, x)
        return False
    ctx.call("index.h", "edgec_scatter_start", ctx.read(x, "void"), ctx.write(y, "void"), y.type.nbytes, inplace=True)
    return True


def _scatter_elements(op: Op, ctx: Lowering) -> None:
    x, index, y = op.arg(0), op.arg(1), op.result
    axis = int(op.attrs["axis"])  # type: ignore[arg-type]
    if not _start(op, ctx):
        return
    own = dense(x.type.dims)
    dims, (sy,) = collapse(index.type.dims, [[0 if i == axis else s for i, s in enumerate(own)]])
    rows = math.prod(dims[:-1])
    apart = len(dims) > 1 and sy[0] != 0
    name, macro = _reduction(op)
    ti, stored = CTYPES[index.type.dtype], macro.partition(",")[0]
    ctx.call(
        "index.h", f"edgec_scatter_elements_{name}_{ti}", ctx.read(index), ctx.read(op.arg(2), stored),
        ctx.write(y, stored), ctx.sizes(dims), ctx.sizes(sy), len(dims), own[axis], x.type.dims[axis],
        rows // dims[0] if apart else rows, tasks=dims[0] if apart else 1,
        instances=(f"EDGEC_SCATTER_ELEMENTS({name}, {macro.replace('TI', ti)})",),
    )  # fmt: skip


def _scatter_nd(op: Op, ctx: Lowering) -> None:
    x, index, y = op.arg(0), op.arg(1), op.result
    if not _start(op, ctx):
        return
    depth, ti = index.type.dims[-1], CTYPES[index.type.dtype]
    sizes, strides, inner = _tuples(x, 0, depth, ctx)
    name, macro = _reduction(op)
    stored = macro.partition(",")[0]
    ctx.call(
        "index.h", f"edgec_scatter_nd_{name}_{ti}", ctx.read(index), ctx.read(op.arg(2), stored), ctx.write(y, stored),
        sizes, strides, depth, index.type.size // depth, inner,
        instances=(f"EDGEC_TUPLE({ti})", f"EDGEC_SCATTER_ND({name}, {macro.replace('TI', ti)})"),
    )  # fmt: skip


def _middle(op: Op) -> tuple[int, int, int]:
    dims, axis = op.arg(0).type.dims, int(op.attrs["axis"])  # type: ignore[arg-type]
    return math.prod(dims[:axis]), dims[axis], math.prod(dims[axis + 1 :])


def _topk(op: Op, ctx: Lowering) -> None:
    x, (values, places) = op.arg(0), op.results
    if not values.type.size:
        return
    outer, size, inner = _middle(op)
    dtype, largest = x.type.dtype, op.attrs["largest"]
    whole = dtype[0] in "iu" or dtype == "bool"
    order = ("EDGEC_MORE" if whole else "EDGEC_ABOVE") if largest else ("EDGEC_LESS" if whole else "EDGEC_BELOW")
    name = f"{'top' if largest else 'bottom'}k_{dtype}"
    ctx.call(
        "topk.h", f"edgec_{name}", ctx.read(x), ctx.write(values), ctx.write(places), size, int(op.attrs["k"]), inner,  # type: ignore[arg-type]
        tasks=outer * inner, instances=(f"EDGEC_TOPK({name}, {element_form(dtype).macro}, {order})",),
    )  # fmt: skip


def _arg(op: Op, ctx: Lowering) -> None:
    dtype = op.arg(0).type.dtype
    if not op.result.type.size:
        return
    outer, size, inner = _middle(op)
    whole = dtype[0] in "iu" or dtype == "bool"
    order = (
        ("EDGEC_MORE" if whole else "EDGEC_ABOVE") if op.kind == "argmax" else f"EDGEC_{'LESS' if whole else 'LEAST'}"
    )
    better = f"!{order}(best, x)" if op.attrs["last"] else f"{order}(x, best)"
    name = f"{op.kind}{'_last' if op.attrs['last'] else ''}_{dtype}"
    ctx.call(
        "topk.h", f"edgec_{name}", ctx.read(op.arg(0)), ctx.write(op.result), size, inner, tasks=outer,
        instances=(f"EDGEC_ARG_EXTREME({name}, {element_form(dtype).macro}, {better})",),
    )  # fmt: skip


def _cumsum(op: Op, ctx: Lowering) -> None:
    dtype = op.arg(0).type.dtype
    if not op.result.type.size:
        return
    outer, size, inner = _middle(op)
    form = element_form(dtype)
    # sums of integers wrap where they are stored
    wide = form.wide if dtype in ("f32", "f64", "f16", "bf16") else "uint64_t"
    ctx.call(
        "topk.h", f"edgec_cumsum_{dtype}", ctx.read(op.arg(0)), ctx.write(op.result), size, inner,
        int(bool(op.attrs["exclusive"])), int(bool(op.attrs["reverse"])), tasks=outer, inplace=True,
        instances=(f"EDGEC_CUMSUM({dtype}, {form.stored}, {wide}, {form.get})",),
    )  # fmt: skip


INDEX: dict[str, LowerOp] = {
    "gather_elements": _gather_elements,
    "gather_nd": _gather_nd,
    "scatter_elements": _scatter_elements,
    "scatter_nd": _scatter_nd,
    "topk": _topk,
    "argmax": _arg,
    "argmin": _arg,
    "cumsum": _cumsum,
}
