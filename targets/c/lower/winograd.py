"""3x3 convolutions of stride 1 by Winograd's algorithm (kernels/winograd.h), where that pays.

Such a convolution stands alone: it makes 2 or 4 rows at a time from transformed tiles in scratch, which each thread has
for itself. It looks after the image's edges and wants no columns of zeros. An infinity or NaN in the image spreads over
the tiles that read it, as the README says under limits; to do such tiles again directly would need the weights in both
forms.
"""

from __future__ import annotations

from typing import Any

from edgec.ir.graph import Graph, Op
from edgec.plan.plan import Block, Stage, Struct
from edgec.plan.rows import StageRows
from edgec.targets.c.element import element_of
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.activation import fused
from edgec.targets.c.lower.context import Lowering, Rows
from edgec.targets.c.lower.conv import operand_strides
from edgec.targets.c.lower.row_ops import row_op
from edgec.targets.c.lower.rows import fill_columns
from edgec.targets.c.winograd import Layer, best, choose_tiles, transform_weights


def winograd_convs(graph: Graph, isa: Isa) -> dict[Op, int]:
    """The convolutions that are done so, with the m of their F(m x m, 3 x 3)."""
    found = {}
    for op in graph.ops:
        if not has_winograd_form(op):
            continue
        numbers = element_of(isa, op.result.type.dtype)
        if numbers.letter != "s" and (m := best(layer_of(op), numbers.isa)):
            found[op] = m
    return found


def has_winograd_form(op: Op) -> bool:
    """A convolution of the one form that the kernel is written for, so that its price alone decides."""
    if op.kind != "conv" or op.attrs["to"] or op.arg(1).type.dims[2:] != (3, 3) or row_op(op) is None:
        return False
    if op.arg(1).type.encodings:  # transformed weights are floats, four times as many
        return False
    attrs: Any = op.attrs
    unit = attrs["strides"] == attrs["dilations"] == (1, 1) and attrs["groups"] == 1
    return unit and set(attrs["pads"]) <= {0, 1}


def layer_of(op: Op) -> Layer:
    _, oh, ow, oc = op.result.type.dims
    return Layer(oh, ow, op.arg(0).type.dims[3], oc, oh, op.result.type.numpy.itemsize)


def lower_winograd(op: Op, ctx: Lowering, m: int, x: Rows, r: Rows | None, y: Rows, threads: int) -> None:
    attrs: Any = op.attrs
    n, h, w, c = op.arg(0).type.dims
    _, oh, ow, oc = op.result.type.dims
    numbers = ctx.element(op.result.type.dtype)
    tiles = choose_tiles(numbers.isa, layer_of(op), m, numbers.letter)
    weights = tiles.pack(transform_weights(ctx.graph.array(op.arg(1)), m))
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    packed_bias = tiles.pack_bias(ctx.graph.array(bias) if bias is not None else None, oc)
    bands = max(1, min(threads, -(-oh // m)))
    share = -(-tiles.scratch_bytes(c) // 64) * 64
    scratch = ctx.pointer(
        ctx.scratch(share * bands * n, "winograd"), 0, share if bands * n > 1 else 0, numbers.dtype
    )
    form = fused(attrs["act"], numbers)
    fields = {"h": h, "w": w, "c": c, "oh": oh, "ow": ow, "oc": oc, "top": attrs["pads"][0], "left": attrs["pads"][1],
              **operand_strides("x", x), **operand_strides("y", y), **operand_strides("r", r), "lo": form.lo,
              "hi": form.hi}  # fmt: skip
    with ctx.collect() as calls:
        ctx.call(
            numbers.header("winograd.h"), numbers.function("winograd"), x.read(), ctx.pack(weights),
            ctx.pack(packed_bias), r.read() if r is not None else None, y.write(), scratch,
            Struct(numbers.function("winograd_shape"), tuple(fields.items())), tiles.struct(), form.row,
            macs=9 * oh * ow * c * oc, instances=tiles.instances(),
        )  # fmt: skip
        fill_columns(ctx, y, op.result.type.dims)
    ctx.block(Block((Stage(tuple(calls), StageRows(oh)),), n, bands, -(-oh // m) * m, ctx.source, m))
